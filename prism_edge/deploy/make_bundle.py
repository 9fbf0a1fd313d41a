"""A bundle is made beside its place and renamed into it; what is there already is used again."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename

from prism_edge.deploy.bundle import (
    FILE,
    WHEELS,
    Bundle,
    Wheel,
    read_bundle,
    write_bundle,
)
from prism_edge.deploy.content import local
from prism_edge.deploy.repack import repack
from prism_edge.deploy.target import Target
from prism_edge.deploy.wheel_file import unpacked_bytes
from prism_edge.deploy.wheels import download
from prism_edge.errors import ClusterError


def make_bundle(
    target: Target,
    out: Path,
    *,
    find_links: Sequence[Path] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """The bundle in ``out`` has the prism-edge that runs here and all it needs on the target.

    Wheels of a bundle that is there already are used again if they are what it promised. While they
    are all that is needed, nothing else is looked at: the environments that boards have stay valid.
    Newer packages come with another ``out``, or with ``find_links``.
    """
    out = out.absolute()
    with beside(out) as made:
        wheels = made / WHEELS
        wheels.mkdir()
        own, old = repack(wheels), there(out)
        good = {file for file in old.wheels if old.problem(file) is None} if old else set()
        fit = old is not None and fits(target, old) and not find_links
        if old and fit and good == set(old.wheels) and old.wheels.get(own.name) == wheel(own):
            tell(f"{len(good)} wheels are there already and are all that is needed")
            return old
        with tempfile.TemporaryDirectory(dir=made) as kept:
            for file in good - {old.own} if old else ():
                link(out / WHEELS / file, Path(kept))
            if not (fit and resolved(own, target, wheels, Path(kept), tell)):
                tell(f"asking pip for Python {target.python} on {target.machine}")
                download(own, target, wheels, [Path(kept), *find_links], tell)
        tell("hashing")
        bundle = Bundle(
            directory=out,
            python=target.python,
            machine=target.machine,
            pins=target.pins,
            wheels={path.name: wheel(path) for path in sorted(wheels.glob("*.whl"))},
            own=own.name,
        )
        write_bundle(bundle, made)
        replace(out, made)
    return bundle


def fits(target: Target, old: Bundle) -> bool:
    """It was made for this target, perhaps for other needs of prism-edge."""
    if (old.python, old.machine, old.pins) != (target.python, target.machine, target.pins):
        return False
    brought = Requirement(f"torch=={target.torch}").specifier if target.torch else None
    versions = [one.version for one in old.wheels.values() if one.name == "torch"]
    return brought is None or any(brought.contains(one, prereleases=True) for one in versions)


def resolved(
    own: Path, target: Target, wheels: Path, kept: Path, tell: Callable[[str], None]
) -> bool:
    """pip has found all that is needed in ``kept``; it looked nowhere else."""
    try:
        download(own, target, wheels, [kept], lambda _: None, index=False)
    except ClusterError:
        return False
    tell("all wheels that are needed are there already")
    return True


def there(out: Path) -> Bundle | None:
    """The bundle in ``out``; None: nothing, or one of another schema, which is made afresh."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / FILE).is_file():
        raise ClusterError(f"{out}: is there and no bundle; name another place, or remove it")
    try:
        return read_bundle(out)
    except ClusterError:
        return None


def link(path: Path, directory: Path) -> Path:
    """The same file in ``directory``: a hard link where the file system has them."""
    target = directory / path.name
    try:
        target.hardlink_to(path)
    except OSError:
        shutil.copy2(path, target)
    return target


def wheel(path: Path) -> Wheel:
    """What bundle.json says of it."""
    name, version, _, _ = parse_wheel_filename(path.name)
    found = local(path)
    return Wheel(
        sha256=found.sha256,
        bytes=found.bytes,
        unpacked_bytes=unpacked_bytes(path),
        name=name,
        version=str(version),
    )


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """A new directory next to ``out``, gone afterwards unless it was renamed."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            made.chmod(0o755)
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise ClusterError(f"{out}: cannot be written: {error.strerror}") from error


def replace(out: Path, made: Path) -> None:
    """``out`` is what was made; what was there before is gone."""
    with beside(out) as old:
        if out.exists():
            os.rename(out, old / "old")
        os.rename(made, out)

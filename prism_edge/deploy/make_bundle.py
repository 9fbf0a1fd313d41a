"""A bundle is made beside its place and renamed into it; what is there already is used again."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from prism_edge.deploy.complete import Package, follow
from prism_edge.deploy.content import local
from prism_edge.deploy.repack import repack
from prism_edge.deploy.target import Target, constraints, markers
from prism_edge.deploy.wheel_file import requirements_in, unpacked_bytes
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

    Wheels of a bundle that is there already are used again if they are what it promised. If they
    still are all that is needed, pip is not asked at all: the environments that boards have stay
    valid. Newer packages come with another ``out``, or with ``find_links``.
    """
    out = out.absolute()
    with beside(out) as made:
        wheels = made / WHEELS
        wheels.mkdir()
        own = repack(wheels)
        old = there(out)
        with tempfile.TemporaryDirectory(prefix=".kept-", dir=out.parent) as kept:
            good = [link(path, Path(kept)) for path in intact(old)] if old else []
            if find_links or not fits(target, old) or any(compare(target, own, good)):
                tell(f"asking pip for Python {target.python} on {target.machine}")
                download(own, target, wheels, [Path(kept), *find_links], tell)
            else:
                tell(f"{len(good)} wheels are there already and are all that is needed")
                for path in good:
                    link(path, wheels)
        third_party = [path for path in sorted(wheels.glob("*.whl")) if path != own]
        missing, _ = compare(target, own, third_party)
        if missing:
            raise ClusterError(f"{out}: pip left the bundle incomplete: {'; '.join(missing)}")
        tell("hashing")
        bundle = Bundle(
            directory=out,
            python=target.python,
            machine=target.machine,
            pins=target.pins,
            wheels={path.name: wheel(path) for path in (own, *third_party)},
            own=own.name,
        )
        if bundle != old or any(map(old.problem, old.wheels)):
            write_bundle(bundle, made)
            replace(out, made)
    return bundle


def compare(
    target: Target, own: Path, wheels: Iterable[Path]
) -> tuple[tuple[str, ...], frozenset[str]]:
    """What is missing from these wheels, as sentences, and which packages are there for nothing."""
    packages = {name: Package(version=version) for name, version in target.pins.items()}
    for path in wheels:
        name, version, _, _ = parse_wheel_filename(path.name)
        packages[name] = Package(version=str(version), requires=requirements_in(path))
    wanted = [*requirements_in(own), *map(Requirement, constraints(target))]
    reached, missing = follow(packages, wanted, markers(target))
    return missing, frozenset(packages) - set(target.pins) - reached


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


def fits(target: Target, old: Bundle | None) -> bool:
    """It was made for this target, perhaps for other needs of prism-edge."""
    wanted = (target.python, target.machine, target.pins)
    return old is not None and (old.python, old.machine, old.pins) == wanted


def intact(old: Bundle) -> list[Path]:
    """Its third-party wheels that are as promised."""
    return [old.local(file).path for file in old.third_party if old.problem(file) is None]


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

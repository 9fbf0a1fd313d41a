"""Third-party wheels for another machine, resolved and downloaded by pip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from prism_edge.deploy.target import Target, constraints, markers, platforms
from prism_edge.deploy.wheel_file import write_wheel
from prism_edge.errors import ClusterError

FOREIGN_PIP = Path(__file__).with_name("foreign_pip.py")
ADVICE = "To fix this you could try"
# What pip said, and what to do about it; the first that fits.
NEXT = (
    ("Retrying", "pip does not reach its index; make the bundle where it does, and carry it here"),
    ("conflict", "what boards have (--have) stays; name other versions, or bring torch (--torch)"),
    ("No matching", "what an index lacks can be built on a board (pip wheel): --find-links FOLDER"),
)
SHOWN = 8  # lines of an error of pip


def download(
    own: Path,
    target: Target,
    directory: Path,
    find_links: Iterable[Path],
    tell: Callable[[str], None],
    *,
    index: bool = True,
) -> None:
    """``directory`` holds the wheel ``own`` and all that it needs on the target; from
    ``find_links`` and, with ``index``, from where pip is configured to look.

    Packages that the boards have are stubs in the resolution and never downloaded. ``tell`` hears
    what pip is at. Raises ``ClusterError`` with pip's words where there is no such set of wheels.
    """
    with tempfile.TemporaryDirectory(prefix="prism-edge-") as name:
        work = Path(name)
        stubs = write_stubs(work, target.pins)
        limits = work / "constraints.txt"
        limits.write_text("".join(f"{line}\n" for line in constraints(target)), encoding="utf-8")
        wanted = [str(own), *map(str, stubs), *([f"torch=={target.torch}"] if target.torch else [])]
        options = [
            *("--dest", str(directory), "--only-binary=:all:", "--constraint", str(limits)),
            *("--no-input", "--disable-pip-version-check", "--progress-bar=off"),
            *("--implementation", "cp", "--python-version", target.python),
            *("--abi", f"cp{target.python.replace('.', '')}"),
            *(f"--platform={tag}" for tag in platforms(target)),
            *(f"--find-links={path}" for path in find_links),
            *(() if index else ("--no-index",)),
        ]
        arguments = [json.dumps(markers(target)), "download", *options, *wanted]
        alone = {} if index else {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
        run_pip(arguments, work, target, tell, alone)
        for path in stubs:
            (directory / path.name).unlink(missing_ok=True)


def run_pip(
    arguments: Sequence[str],
    work: Path,
    target: Target,
    tell: Callable[[str], None],
    more: Mapping[str, str],
) -> None:
    """pip is through, or ``ClusterError``. It ends with us whatever happens; what it leaves then is
    below ``work``."""
    command = [sys.executable, str(FOREIGN_PIP), *arguments]
    # errors where they belong between the lines
    environment = os.environ | {"TMPDIR": str(work), "PYTHONUNBUFFERED": "1"} | dict(more)
    said: list[str] = []
    pip = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert pip.stdout is not None
    try:
        for line in pip.stdout:
            said.append(line.strip())
            if said[-1].startswith("Downloading "):
                tell(said[-1])
        code = pip.wait()
    finally:
        pip.kill()
        pip.stdout.close()
        pip.wait()
    if code:
        reasons = words(said)
        then = next((f"\n{do}" for word, do in NEXT if any(word in line for line in said)), "")
        raise ClusterError(
            f"no wheels for Python {target.python} on {target.machine}:\n{reasons}{then}"
        )


def words(said: Sequence[str]) -> str:
    """What pip gave as reasons: from its first error on, or its last lines where it marked none."""
    starts = (index for index, line in enumerate(said) if line.startswith("ERROR:"))
    reasons = [line for line in said[next(starts, -SHOWN) :] if line]
    advice = (index for index, line in enumerate(reasons) if line.startswith(ADVICE))
    return "\n".join(f"  {line}" for line in reasons[: next(advice, SHOWN)][:SHOWN])


def write_stubs(directory: Path, pins: Mapping[str, str]) -> list[Path]:
    """A package that boards have (name to version) as a wheel of metadata only, the least that pip
    accepts. It requires nothing: what the board's own package needs is there with it."""
    head = "Metadata-Version: 2.1\nName: {}\nVersion: {}\n"
    return [
        write_wheel(directory, name, version, {}, {"METADATA": head.format(name, version).encode()})
        for name, version in pins.items()
    ]

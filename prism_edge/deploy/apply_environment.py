"""An environment on a board: third-party wheels installed without an index, the board's own torch
left exactly as it was, or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from shlex import quote

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from prism_edge.deploy import paths
from prism_edge.deploy.gather import torch_digest
from prism_edge.deploy.must import CLEAN, must
from prism_edge.deploy.runner import Runner
from prism_edge.deploy.step import MakeEnvironment
from prism_edge.errors import ClusterError

_INSTALL_S = 1800.0  # torch, transformers and pandas on one slow core
_REMOVE_S = 600.0  # a gigabyte of small files, from a memory card
_BEGIN = """
set -eu
umask 022
mkdir -p {parent}
rm -rf {parent}/.making-* {parent}/.removing-*
making=$(mktemp -d {parent}/.making-{id}.XXXXXX)
chmod 755 "$making"
echo "$making"
"""
# Serving goes on beside it, so it is polite. No script of it is ever run, and scripts would name
# the directory that is about to be renamed, so only python stays.
_INSTALL = """
set -eu
umask 022
nice -n 10 {clean} PIP_CONSTRAINT={making}/constraints.txt PIP_CONFIG_FILE=/dev/null \
    {making}/bin/python -m pip --quiet --disable-pip-version-check --no-input --no-cache-dir \
    install --no-index --find-links {wheels} --require-hashes --no-compile \
    --requirement {making}/requirements.txt 2>&1
find {making}/bin -type f -delete
"""
_VERSIONS = (
    "import json, sys; from importlib.metadata import version; "
    "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
)


def make_environment(
    step: MakeEnvironment, runner: Runner, progress: Callable[[str], None]
) -> None:
    """The environment is there and complete; the board's own torch is what ``step`` says it was.

    Raises ``ClusterError``, and then there is no such environment.
    """
    target = f"{paths.ENVIRONMENTS}/{step.id}"
    if runner.run(f"test -e {quote(target)}", root=True).code == 0:
        return
    failed = f"environment {step.id} cannot be made"
    progress("reading the board's torch")
    before = torch_digest(runner, step.python)
    begin = _BEGIN.format(parent=paths.ENVIRONMENTS, id=quote(step.id))
    then = "is the disk full or read-only?"
    making = must(runner, failed, begin, then=then, timeout_s=_REMOVE_S).strip()
    try:
        _fill(step, runner, making, progress)
        progress("looking whether the board's own torch is as it was")
        _check_torch(step, runner, making, before)
        finish = f"sync -f {making} && mv -T {making} {quote(target)} && sync {paths.ENVIRONMENTS}"
        must(runner, failed, finish, then=then, timeout_s=600)
    except ClusterError:
        runner.run(f"rm -rf {making}", root=True, timeout_s=_REMOVE_S)
        raise


def _fill(
    step: MakeEnvironment, runner: Runner, making: str, progress: Callable[[str], None]
) -> None:
    progress(f"installing {len(step.wheels)} packages")
    system = "--system-site-packages" if step.own_torch else ""
    must(
        runner,
        f"{step.python} makes no virtual environment",
        f"umask 022; {CLEAN} {quote(step.python)} -m venv {system} {making}",
        then="install python3-venv there (apt install python3-venv)",
        timeout_s=300,
    )
    runner.put(requirements_txt(step.wheels).encode(), f"{making}/requirements.txt")
    runner.put(constraints_txt(step.pins).encode(), f"{making}/constraints.txt")
    must(
        runner,
        f"environment {step.id}: pip does not install the bundle",
        _INSTALL.format(clean=CLEAN, making=making, wheels=paths.WHEELS),
        then="nothing was changed; is the bundle made for this board's Python and torch, and each "
        "of its wheels whole? `unzip -t` tells",
        timeout_s=_INSTALL_S,
    )


def _check_torch(step: MakeEnvironment, runner: Runner, making: str, before: str | None) -> None:
    """Seen from the environment the pins hold; seen from outside nothing has changed."""
    names = " ".join(quote(name) for name in sorted(step.pins))
    asked = f"{CLEAN} {making}/bin/python -c {quote(_VERSIONS)} {names}"
    then = "is the board's torch installed for all users, not below a home directory?"
    said = must(runner, "its own packages are not seen from an environment", asked, then=then)
    found: Mapping[str, str] = json.loads(said)
    for name, version in step.pins.items():
        if Version(found[name]) != Version(version):
            raise ClusterError(
                f"board {runner.name}: an environment would have {name} {found[name]}, the board "
                f"has {version}; nothing was changed; make the bundle for this board "
                f"(--have {name}=={version})"
            )
    after = torch_digest(runner, step.python)
    if after != before:
        was, now = ((word or "none")[:12] for word in (before, after))
        raise ClusterError(
            f"board {runner.name}: the board's own torch is not what it was before this push "
            f"(digest {now}, before {was}), and the environment was removed again; has somebody "
            f"else installed packages there meanwhile? Push again; if it happens again, report it"
        )


def requirements_txt(wheels: Mapping[str, str]) -> str:
    """The file for ``pip install --require-hashes``: these wheels (file name to sha256)."""
    lines = []
    for file, sha256 in sorted(wheels.items()):
        name, version, _, _ = parse_wheel_filename(file)
        lines.append(f"{name}=={version} --hash=sha256:{sha256}\n")
    return "".join(lines)


def constraints_txt(pins: Mapping[str, str]) -> str:
    """The file for ``PIP_CONSTRAINT``: what the board has may be nothing else afterwards."""
    return "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))

"""A release on a board: a small venv of its own over a shared environment, complete or not there.

It is built under a temporary name and renamed. What knows its own path (the script, the .pth) is
written with the final one, so a rename makes it right; it is run once under either name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from shlex import quote

from prism_edge.deploy import paths
from prism_edge.deploy.must import CLEAN, must
from prism_edge.deploy.runner import Runner
from prism_edge.deploy.step import MakeRelease
from prism_edge.errors import ClusterError

SCRIPT = """#!{release}/venv/bin/python
import sys

from prism_edge.cli import main

sys.exit(main())
"""
PATH_FILE = "prism-edge-environment.pth"
# A wheel of ours is pure Python, and to install it is to unpack it.
_VENV = """
set -eu
umask 022
mkdir -p {parent}
making=$(mktemp -d {parent}/.making-{id}.XXXXXX)
chmod 755 "$making"
system=
if grep -qi '^include-system-site-packages *= *true' {environment}/pyvenv.cfg; then
    system=--system-site-packages
fi
{clean} {python} -m venv --without-pip $system "$making/venv"
find "$making/venv/bin" -type f -delete
mkdir "$making/etc"
packages=$({clean} "$making/venv/bin/python" -c \
    'import sysconfig; print(sysconfig.get_path("purelib"))')
{clean} "$making/venv/bin/python" -m zipfile -e {wheel} "$packages"
theirs={environment}${{packages#"$making/venv"}}
test -d "$theirs"
echo "import site; site.addsitedir('$theirs')" >"$packages/{path_file}"
echo "$making"
"""
# All of ours, because that is quick; of the thousands of modules of torch and others what a start
# imports, once per environment.
_COMPILE = """
set -eu
umask 022
nice -n 10 {clean} {making}/venv/bin/python -m compileall -q {making}/venv/lib
if ! [ -e {environment}/compiled ]; then
    nice -n 10 {clean} {making}/venv/bin/python -m prism_edge.deploy.compiled {environment}
    touch {environment}/compiled
fi
"""


def make_release(step: MakeRelease, runner: Runner, progress: Callable[[str], None]) -> None:
    """The release is there, complete, and its ``prism-edge --version`` has run."""
    target = paths.release(step.id)
    if runner.run(f"test -e {quote(target)}", root=True).code == 0:
        return
    environment = f"{paths.ENVIRONMENTS}/{step.environment}"
    failed = f"release {step.id} cannot be made"
    command = _VENV.format(
        parent=paths.RELEASES,
        id=quote(step.id),
        wheel=quote(f"{paths.WHEELS}/{step.wheel}"),
        environment=quote(environment),
        clean=CLEAN,
        python=quote(step.python),
        path_file=PATH_FILE,
    )
    then = "push again; is the disk full?"
    must(
        runner,
        f"the wheel {step.wheel} is damaged on the board, or gone",
        f"cd {paths.WHEELS} && echo {step.wheel_sha256}'  '{quote(step.wheel)} | "
        f"sha256sum --check --quiet -",
        then="push again, which sends it anew",
    )
    making = must(runner, failed, command, then=then, timeout_s=900).strip()
    try:
        for name, (content, mode) in _files(step).items():
            runner.put(content, f"{making}/{name}", mode=mode)
        _runs(runner, step, f"{making}/venv/bin/python {making}/venv/bin/prism-edge")
        progress("compiling what a start imports")
        compiling = _COMPILE.format(clean=CLEAN, making=making, environment=quote(environment))
        advice = "is the board's torch one that works there? see `prism-edge check`"
        must(runner, f"release {step.id} does not start", compiling, then=advice, timeout_s=600)
        finish = f"sync -f {making} && mv -T {making} {quote(target)} && sync {paths.RELEASES}"
        must(runner, failed, finish, then=then, timeout_s=600)
        making = target
        _runs(runner, step, f"{target}/venv/bin/prism-edge")
    except ClusterError:
        runner.run(f"rm -rf {quote(making)}", root=True, timeout_s=600)
        raise


def _files(step: MakeRelease) -> dict[str, tuple[bytes, int]]:
    """Content and mode of what is not made on the board, by path within the release."""
    script = SCRIPT.format(release=paths.release(step.id)).encode()
    manifest = json.dumps(step.manifest, indent=2, sort_keys=True).encode() + b"\n"
    return {
        "venv/bin/prism-edge": (script, 0o755),
        **{f"etc/{name}": (content, 0o644) for name, content in step.etc.items()},
        "release.json": (manifest, 0o644),
    }


def _runs(runner: Runner, step: MakeRelease, program: str) -> None:
    """It says the version that it should have."""
    then = "push again; if it happens again, report it"
    about = f"release {step.id} does not run"
    said = must(runner, about, f"{CLEAN} {program} --version", then=then).strip()
    if said != step.manifest["version"]:
        raise ClusterError(
            f"board {runner.name}: {about}: it says version {said}, not "
            f"{step.manifest['version']}; {then}"
        )

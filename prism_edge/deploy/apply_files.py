"""Single files and the user that the service runs as, on a board."""

from __future__ import annotations

import posixpath
import re
from shlex import quote

from prism_edge.deploy import paths
from prism_edge.deploy.must import must
from prism_edge.deploy.runner import Runner
from prism_edge.deploy.step import MakeUser, Prune, PutFile
from prism_edge.errors import ClusterError

UNITS = posixpath.dirname(paths.UNIT_FILE)
_USER = """
set -eu
id -u {user} >/dev/null 2>&1 || useradd --system --user-group --home-dir {state} --no-create-home \
    --shell /usr/sbin/nologin {user}
for group in {groups}; do
    if getent group "$group" >/dev/null; then usermod --append --groups "$group" {user}; fi
done
install -d -m 0755 {root}
install -d -m 0755 -o {user} -g {user} {state}
install -d -m 0755 {models} {profiles}
"""
_FILE = """
set -eu
chown {owner} {part}
chmod {mode:o} {part}
sync {part}
mv -fT {part} {path}
"""
# Nothing is removed that serves, or that a switch may go back to.
_PRUNE = """
set -eu
root={root}
for link in current previous; do
    if [ -L "$root/$link" ] && [ "$(readlink -f "$root/$link")" = {path} ]; then
        echo "$link points to it" >&2
        exit 1
    fi
done
if [ -e {path} ]; then
    rm -rf {away}
    mv -T {path} {away}
    rm -rf {away}
fi
"""

# The drop-in is last, because it is what shows that there is a mesh of ours.
_STOP_MESH = """
set -eu
systemctl disable --quiet --now wg-quick@{interface}
rm -f {conf}
rm -f {drop_in}
rmdir --ignore-fail-on-non-empty "$(dirname {drop_in})"
systemctl daemon-reload
"""
_HALF = re.compile(r"\.(making|removing)")


def make_user(step: MakeUser, runner: Runner, _: object) -> None:
    """The user and its directories are there; it is in those groups that the board has."""
    command = _USER.format(
        user=paths.USER,
        root=paths.ROOT,
        state=paths.STATE,
        models=paths.MODELS,
        profiles=paths.PROFILES,
        groups=" ".join(quote(group) for group in step.groups),
    )
    must(
        runner,
        f"the user {paths.USER} cannot be made",
        command,
        then="does another account or group of that name stand in the way?",
    )


def put_file(step: PutFile, runner: Runner, _: object) -> None:
    """The file has its content, mode and owner, all at once."""
    directory, name = posixpath.split(step.path)
    part = posixpath.join(directory, f".{name}.part")
    failed = f"{step.path} cannot be written"
    then = "is the disk full or read-only?"
    must(runner, failed, f"umask 022; mkdir -p {quote(directory)}", then=then)
    runner.put(step.content, part, mode=0o600)
    command = _FILE.format(
        owner=quote(step.owner), mode=step.mode, part=quote(part), path=quote(step.path)
    )
    must(runner, failed, command, then=f"does {step.owner} exist there?")
    if f"{directory}/".startswith(f"{UNITS}/"):
        must(
            runner,
            f"systemd does not take {step.path}",
            "systemctl daemon-reload",
            then=f"see `systemd-analyze verify {step.path}` there",
        )


def prune(step: Prune, runner: Runner, _: object) -> None:
    """The paths are gone, each at once."""
    for path in step.paths:
        directory, name = posixpath.split(posixpath.normpath(path))
        stem, suffix = posixpath.splitext(name)
        away = posixpath.join(directory, f".removing-{name}")
        if path in paths.SHARED or (directory in paths.PRUNED and _HALF.match(name)):
            command = f"rm -rf {quote(path)}"
        elif directory in paths.PRUNED and not name.startswith("."):
            command = _PRUNE.format(root=paths.ROOT, path=quote(path), away=quote(away))
        elif path == paths.mesh_conf(stem) and suffix:
            drop_in = quote(paths.mesh_drop_in(stem))
            command = _STOP_MESH.format(interface=quote(stem), conf=quote(path), drop_in=drop_in)
        else:
            raise ClusterError(f"board {runner.name}: {path} is nothing that a push removes")
        must(
            runner,
            f"{path} cannot be removed",
            command,
            then="nothing depends on it; the next push tries again",
            timeout_s=600,
        )

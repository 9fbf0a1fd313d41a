"""One deploy at a time on a board, also between laptops: a lease in a file there.

A lease and no process: a board cannot tell a laptop that went away from one that is silent, and
time tells. Its clock is the board's uptime, which nobody sets and which a boot begins anew.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from shlex import quote

from prism_edge.deploy import paths
from prism_edge.deploy.must import last_words
from prism_edge.deploy.runner import Runner
from prism_edge.errors import ClusterError

LEASE_S = 60.0
_EVERY_S = 15.0
_TAKEN = 75  # the exit code for: somebody else has it
# The file: boot, uptime in seconds at the last sign of life, a word only the holder knows, when it
# was taken, who. flock keeps two from looking at the same moment.
_TAKE = """
set -eu
umask 022
mkdir -p {root}
exec 9>{root}/.lock.guard
flock 9
boot=$(cat /proc/sys/kernel/random/boot_id)
read -r up _ </proc/uptime
up=${{up%.*}}
if [ -e {lock} ]; then
    {{ read -r there seen word since; read -r who; }} <{lock}
    if [ "$there" = "$boot" ] && [ $((up - seen)) -lt {lease} ]; then
        echo "$since $((up - seen)) $who"
        exit {taken}
    fi
fi
since=$(date -u +%Y-%m-%dT%H:%M:%SZ)
printf '%s\\n' "$boot $up {word} $since" {who} >{lock}.part
mv -fT {lock}.part {lock}
"""
# Only a lock that is still there, and still ours.
_RENEW = """
set -eu
umask 022
exec 9<{root}/.lock.guard
flock 9
{{ read -r boot seen word since; read -r who; }} <{lock}
[ "$word" = {word} ]
read -r up _ </proc/uptime
printf '%s\\n' "$boot ${{up%.*}} $word $since" "$who" >{lock}.part
mv -fT {lock}.part {lock}
"""
# Not in the middle of a renewal, which would bring it back.
_GIVE = """
[ -e {root}/.lock.guard ] || exit 0
exec 9<{root}/.lock.guard
flock 9
if [ -e {lock} ]; then
    read -r _ _ word _ <{lock}
    [ "$word" != {word} ] || rm -f {lock}
fi
"""


@contextlib.contextmanager
def held(runner: Runner, who: str) -> Iterator[None]:
    """The board is ours to change. Raises ``ClusterError`` naming who has it and since when."""
    word = secrets.token_hex(8)
    _take(runner, who, word)
    over = threading.Event()
    renewing = threading.Thread(
        target=_renew, args=(runner, word, over), name=f"lock {runner.name}", daemon=True
    )
    renewing.start()
    try:
        yield
    finally:
        over.set()
        renewing.join(_EVERY_S)
        with contextlib.suppress(ClusterError):  # a lost board frees itself
            runner.run(_GIVE.format(root=paths.ROOT, lock=paths.LOCK, word=word), root=True)


def _take(runner: Runner, who: str, word: str) -> None:
    command = _TAKE.format(
        root=paths.ROOT,
        lock=paths.LOCK,
        lease=f"{LEASE_S:.0f}",
        word=word,
        who=quote(" ".join(who.split())),
        taken=_TAKEN,
    )
    done = runner.run(command, root=True)
    if done.code == _TAKEN:
        since, silent_s, holder = done.out.strip().split(" ", 2)
        raise ClusterError(
            f"board {runner.name}: {holder} has been deploying to it since {since} (last sign of "
            f"life {silent_s} s ago); wait for it to end; if it was killed, the board is free in "
            f"{LEASE_S - int(silent_s):.0f} s"
        )
    if done.code:
        raise ClusterError(
            f"board {runner.name}: it cannot be locked: {last_words(done.err)}; is its disk full "
            f"or read-only?"
        )


def _renew(runner: Runner, word: str, over: threading.Event) -> None:
    command = _RENEW.format(root=paths.ROOT, lock=paths.LOCK, word=word)
    while not over.wait(_EVERY_S):
        with contextlib.suppress(ClusterError):  # what else runs there will say so
            runner.run(command, root=True)

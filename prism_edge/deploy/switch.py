"""A board switches its release by itself; here one only asks for it and waits for what came of it.

``deploy/activate.sh`` runs in a unit of its own, so nothing that happens to the connection or to
the laptop stops it half way. What it says lies in a file, and can be read later too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from shlex import quote

from prism_edge.deploy import paths
from prism_edge.deploy.must import last_words, must
from prism_edge.deploy.runner import Done, Runner
from prism_edge.deploy.step import Activate
from prism_edge.errors import ClusterError, UnreachableError

UNIT = "prism-edge-activate.service"
SAID = f"{paths.ROOT}/.activate.said"  # what the last switch said; ends with its exit code
_LIMIT_S = 900.0  # the unit's own limits for two starts are shorter
_LOST_S = 120.0  # as long may a board be out of reach meanwhile
_AWAY_S = 2.0
_START = """
set -eu
if systemctl --quiet is-active {unit}; then
    echo 'a switch is under way on this board' >&2
    exit 1
fi
rm -f {said}
systemd-run --quiet --collect --unit={unit} /bin/sh -c {line}
"""
# Waits on the board, so that one question is enough for many seconds.
_WAIT = """
n=0
while [ $n -lt 100 ] && systemctl --quiet is-active {unit}; do sleep 0.2; n=$((n + 1)); done
systemctl --quiet is-active {unit} && echo under way || echo over
cat {said}
"""


def activate(step: Activate, runner: Runner, progress: Callable[[str], None]) -> None:
    """The board has switched itself to the release, which is on it.

    Raises ``ClusterError`` if it could not begin, the release was not taken, or the board was
    restarted meanwhile; ``UnreachableError`` if the board was out of reach for too long to know.
    """
    release = step.id
    asked = "--back" if step.back else quote(release)
    line = f'{paths.ACTIVATE} {asked} >{SAID} 2>&1; echo "exit $?" >>{SAID}'
    must(
        runner,
        f"the switch to {release} cannot begin",
        _START.format(unit=UNIT, said=SAID, line=quote(line)),
        then="wait for the other one, or see `prism-edge deploy status`",
    )
    progress(f"starting {release}")
    until_s = time.monotonic() + _LIMIT_S
    while time.monotonic() < until_s:
        state, _, said = _ask(runner).out.partition("\n")
        if state == "over":
            return _judge(runner, release, said)
    raise ClusterError(
        f"board {runner.name}: the switch to {release} has not come to an end in {_LIMIT_S:g} s; "
        f"it goes on there; see `prism-edge deploy status`"
    )


def _ask(runner: Runner) -> Done:
    """What it has said so far, however often the board is lost for a while."""
    until_s = time.monotonic() + _LOST_S
    while True:
        try:
            return runner.run(_WAIT.format(unit=UNIT, said=SAID), root=True, timeout_s=60)
        except UnreachableError as error:
            if time.monotonic() > until_s:
                raise UnreachableError(
                    f"{error}; the switch goes on there without us: the board ends up on the new "
                    f"release or on the one before, see `prism-edge deploy status`"
                ) from error
            time.sleep(_AWAY_S)


def _judge(runner: Runner, release: str, said: str) -> None:
    *lines, last = said.rstrip().splitlines() or [""]
    if not last.startswith("exit "):
        raise ClusterError(
            f"board {runner.name}: the switch to {release} was cut off ({last_words(said)}); was "
            f"the board restarted? It then goes back by itself; see `prism-edge deploy status`"
        )
    if last != "exit 0":
        raise ClusterError(
            f"board {runner.name}: release {release} was not taken (activate: {last}): "
            f"{' / '.join(lines)}; see `prism-edge deploy logs --cluster FILE {runner.name}`"
        )

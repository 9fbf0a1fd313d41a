"""What a board serves now, and since when; read without root."""

from __future__ import annotations

from dataclasses import dataclass

from prism_edge.deploy import paths
from prism_edge.deploy.must import last_words
from prism_edge.deploy.runner import Runner
from prism_edge.errors import ClusterError

_COMMAND = f"""
for link in current previous; do
    if [ -L {paths.ROOT}/$link ]; then echo "$link=$(basename "$(readlink {paths.ROOT}/$link)")"; fi
done
if [ -e {paths.PENDING} ]; then read -r new _ <{paths.PENDING}; echo "pending=$new"; fi
read -r up _ </proc/uptime
echo "up=$up"
systemctl show {paths.UNIT} --property=LoadState,ActiveState,NRestarts,StatusText,\
ActiveEnterTimestampMonotonic
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardState:
    """``current``, ``previous``, ``pending``: releases; ``service``: systemd's word for it, None:
    no such unit; ``since_s``: how long it has been active; ``says``: the daemon's own words."""

    current: str | None = None
    previous: str | None = None
    pending: str | None = None
    service: str | None = None
    since_s: float | None = None
    restarts: int | None = None
    says: str | None = None

    @property
    def serving(self) -> bool:
        return self.service == "active"


def board_state(runner: Runner) -> BoardState:
    """What the board serves now."""
    done = runner.run(_COMMAND)
    if done.code:
        raise ClusterError(
            f"board {runner.name}: its state cannot be read: {last_words(done.err)}; does it run "
            f"systemd?"
        )
    return parse(done.out)


def parse(text: str) -> BoardState:
    """The state that the command's lines ``key=value`` tell."""
    said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    there = said.get("LoadState") not in (None, "not-found")
    active = there and said.get("ActiveState") == "active"
    since_us = float(said.get("ActiveEnterTimestampMonotonic") or 0)
    return BoardState(
        current=said.get("current"),
        previous=said.get("previous"),
        pending=said.get("pending"),
        service=said.get("ActiveState") if there else None,
        since_s=max(0.0, float(said["up"]) - since_us / 1e6) if active else None,
        restarts=int(said["NRestarts"]) if there and said.get("NRestarts") else None,
        says=said.get("StatusText") or None,
    )

"""Releases that hold no prism-edge, only a unit that starts, dies or hangs: for the switch between
releases, which does not care what it starts."""

from __future__ import annotations

from boards.machine import Board
from prism_edge.deploy import paths
from prism_edge.deploy.sources import source

UNIT = """
[Unit]
Description=Stand-in {id}
ConditionPathExists=/opt/prism-edge/current
StartLimitIntervalSec=0
[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/sh /opt/prism-edge/current/serve
Restart=on-failure
RestartSec=1
TimeoutStartSec={limit_s}
[Install]
WantedBy=multi-user.target
"""
GOOD = "echo {id} >/run/serving; systemd-notify --ready; exec sleep infinity"
FAILS = "echo no engine here >&2; exit 1"
# long before it has served for as long as a switch wants it to
DIES = "echo {id} >/run/serving; systemd-notify --ready; sleep 0.5; exit 1"
HANGS = "exec sleep infinity"
HANGS_S, STARTS_S = 4, 60  # for which is waited


def furnish(board: Board) -> None:
    """The board has what a push puts beside releases."""
    write(board, paths.ACTIVATE, source("activate.sh").read_text(), 0o755)
    unit = "prism-edge-settle.service"
    write(board, f"/etc/systemd/system/{unit}", source(unit).read_text())


def lay(board: Board, release: str, program: str) -> None:
    """The release is there; nothing serves it yet."""
    where = paths.release(release)
    write(board, f"{where}/serve", program.format(id=release))
    limit_s = HANGS_S if program == HANGS else STARTS_S
    write(board, f"{where}/etc/{paths.UNIT}", UNIT.format(id=release, limit_s=limit_s))
    write(board, f"{where}/release.json", "{}")


def write(board: Board, path: str, text: str, mode: int = 0o644) -> None:
    target = board.root / path.removeprefix("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)


def clear(board: Board) -> None:
    """Nothing of ours is left on it."""
    board.sh(
        f"systemctl disable --now {paths.UNIT} prism-edge-settle.service 2>/dev/null; "
        f"rm -rf {paths.ROOT} {paths.STATE} {paths.ETC} {paths.UNIT_FILE} /run/serving "
        f"/etc/systemd/system/prism-edge-settle.service; systemctl daemon-reload; "
        f"systemctl reset-failed"
    )


def serving(board: Board) -> str:
    """The release that serves now; empty: none."""
    return board.sh(
        f"systemctl --quiet is-active {paths.UNIT} && cat /run/serving", check=False
    ).strip()


def links(board: Board) -> dict[str, str]:
    """Where current, previous and pending point to, as far as they are there."""
    found = {}
    for name in ("current", "previous"):
        link = board.root / f"{paths.ROOT}/{name}".removeprefix("/")
        if link.is_symlink():
            found[name] = link.readlink().name
    pending = board.root / paths.PENDING.removeprefix("/")
    if pending.exists():
        found["pending"] = pending.read_text().split()[0]
    return found

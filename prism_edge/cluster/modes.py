"""Which kind of lab this machine allows, and whether with WireGuard: tried out, not guessed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from prism_edge.cluster.state import Mode
from prism_edge.cluster.step import Step, run_step, tool_environment
from prism_edge.errors import LabError

Wish = Literal["auto", "root", "rootless", "paced"]

# Everything a lab asks of the kernel, in a namespace that is gone when the shell ends.
_TRIAL = (
    "ip link add br0 type bridge && ip link add port1 type veth peer name eth0 && "
    "tc qdisc add dev port1 root tbf rate 1mbit burst 3200 limit 65536"
)
_TRIALS: dict[Mode, tuple[str, ...]] = {
    "root": ("unshare", "--net", "sh", "-c"),
    "rootless": ("unshare", "--user", "--map-root-user", "--net", "sh", "-c"),
}
_TUN = Path("/dev/net/tun")


def obstacle(mode: Mode) -> str | None:
    """Why this machine refuses labs of that mode; None when it does not."""
    if mode == "paced":
        return None
    try:
        _try(mode, _TRIAL)
    except LabError as error:
        return str(error).split("; the command was")[0]
    return None


def choose(wish: Wish) -> tuple[Mode, str]:
    """The best mode there is, and why not a better one ('' for the best of all).

    Raises ``LabError`` when the mode that was asked for is refused by the kernel.
    """
    if wish != "auto":
        refused = obstacle(wish)
        if refused is None:
            return wish, ""
        raise LabError(f"{refused}; try --mode auto, which falls back to what this machine allows")
    reasons: list[str] = []
    for mode in _TRIALS:
        refused = obstacle(mode)
        if refused is None:
            return mode, "; ".join(reasons)
        reasons.append(refused)
    return "paced", "; ".join(reasons)


def require_wireguard(mode: Mode) -> None:
    """Raises ``LabError`` with the packages when boards cannot be given a mesh."""
    if mode == "paced":
        raise LabError("--wireguard: mode paced has no network that could carry a mesh")
    programs = {"wg": "wireguard-tools"}
    try:
        _try(mode, "ip link add wg0 type wireguard")
    except LabError:  # wireguard-go, then
        programs["wireguard-go"] = "wireguard-go"
        if not _TUN.is_char_device():
            raise LabError(
                f"--wireguard: the kernel has no WireGuard, and wireguard-go lacks {_TUN}; "
                f"modprobe tun, or let the container have that device"
            ) from None
    path = tool_environment()["PATH"]
    absent = [name for name in programs if shutil.which(name, path=path) is None]
    if absent:
        raise LabError(
            f"--wireguard: no program {', '.join(absent)}; install the packages "
            f"{' and '.join(programs[name] for name in absent)}"
        )


def _try(mode: Mode, commands: str) -> None:
    run_step(Step(argv=(*_TRIALS[mode], commands), why=f"mode {mode}"))

"""A lab's network as steps: pure. Names, addresses, the order of commands; nothing runs here.

::

    root       the machine itself is the laptop, .254 --veth-- switch [bridge] --veth-- boards
    rootless   one user namespace:  laptop, .254  =  switch [bridge] --veth-- boards

Every word is a network namespace; every cable to a board has a tbf at both ends. The bridge has a
namespace of its own also for root: in the machine's, Docker's rules would drop what it forwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from prism_edge.cluster.processes import MARKER
from prism_edge.cluster.shaping import Link, plug, shape
from prism_edge.cluster.state import BoardState, LabState, Mode, prefix
from prism_edge.cluster.step import Step
from prism_edge.errors import LabError

SWITCH = "switch"
LAPTOP = "laptop"
_LAPTOP_HOST = 254
# Says its pid, then holds no pipe open: who reads it sees the end at once.
_NAPPING = "echo $$; exec sleep infinity </dev/null >/dev/null 2>&1"


def laptop_address(state: LabState) -> str:
    """Where boards reach the laptop."""
    return f"{prefix(state.mode)}.{state.subnet}.{_LAPTOP_HOST}"


def laptop_interface(state: LabState) -> str:
    """The one interface a root lab has in the host's namespace."""
    return f"pe{state.token[:8]}"


def marker_of(state: LabState, member: str) -> str:
    """The value of the environment variable ``MARKER`` in every process of that member."""
    return f"{state.token}/{member}"


def enter(mode: Mode, pid: str) -> tuple[str, ...]:
    """The command prefix that leads into the namespaces held by the keeper ``pid``."""
    if mode == "paced":
        return ()
    if mode == "root":
        return ("nsenter", "--target", pid, "--net", "--")
    return ("nsenter", "--target", pid, "--user", "--net", "--preserve-credentials", "--")


def members(state: LabState) -> tuple[str, ...]:
    """Who needs a keeper, in the order they are made."""
    return () if state.mode == "paced" else (SWITCH, *(board.name for board in state.boards))


def keeper_step(state: LabState, member: str, pids: Mapping[str, str]) -> Step:
    """A keeper in a new network namespace; it prints its pid and sleeps until it is killed."""
    user = ("--user", "--map-root-user") if member == SWITCH and state.mode == "rootless" else ()
    into = enter(state.mode, pids[SWITCH]) if member != SWITCH and state.mode == "rootless" else ()
    unshare = ("unshare", *user, "--net", "--", "sh", "-c", _NAPPING)
    mark = ("env", f"{MARKER}={marker_of(state, member)}")
    return Step(
        argv=("setsid", "--fork", *mark, *into, *unshare), why=f"{member}: hold a network namespace"
    )


def network_steps(state: LabState, pids: Mapping[str, str], *, ipv6: bool) -> list[Step]:
    """Every command between keepers that sleep and boards that reach each other."""
    switch = enter(state.mode, pids[SWITCH])
    steps = [
        _ip(switch, "link set dev lo up", "switch: loopback"),
        _ip(switch, "link add br0 type bridge", "switch: the bridge"),
        *_silent(switch, "br0", "switch", ipv6),
        _ip(switch, "link set dev br0 up", "switch: bridge on"),
        *_laptop_steps(state, switch, pids[SWITCH], ipv6),
    ]
    for number, board in enumerate(state.boards, 1):
        inside = enter(state.mode, pids[board.name])
        port, name = f"port{number}", board.name
        cable = f"link add {port} type veth peer name eth0 netns {pids[name]}"
        steps += [
            _ip(switch, cable, f"{name}: cable to the switch"),
            *_silent(switch, port, name, ipv6),
            *_silent(inside, "eth0", name, ipv6),
            _ip(switch, f"link set dev {port} master br0 up", f"{name}: cable into the bridge"),
            _ip(inside, "link set dev lo up", f"{name}: loopback"),
            _ip(inside, f"addr add {board.address}/24 dev eth0", f"{name}: address"),
            _ip(inside, "link set dev eth0 up", f"{name}: network on, no way out of it"),
            *rate_steps(state, board, board.link, pids),
        ]
    return steps


def _laptop_steps(
    state: LabState, switch: tuple[str, ...], switch_pid: str, ipv6: bool
) -> list[Step]:
    address = f"{laptop_address(state)}/24"
    if state.mode == "rootless":
        return [_ip(switch, f"addr add {address} dev br0", "laptop: address")]
    name = laptop_interface(state)
    cable = f"link add {name} type veth peer name laptop netns {switch_pid}"
    return [
        _ip((), cable, "laptop: cable to the switch"),
        *_silent((), name, "laptop", ipv6),
        *_silent(switch, "laptop", "laptop", ipv6),
        _ip((), f"addr add {address} dev {name}", "laptop: address"),
        _ip((), f"link set dev {name} up", "laptop: network on"),
        _ip(switch, "link set dev laptop master br0 up", "laptop: cable into the bridge"),
    ]


def rate_steps(
    state: LabState, board: BoardState, link: Link, pids: Mapping[str, str]
) -> list[Step]:
    """The board's cable carries ``link.rate_bps`` in both directions."""
    return [
        Step(
            argv=(*enter(state.mode, pids[board.name]), *shape("eth0", link)),
            why=f"{board.name}: rate of what it sends",
        ),
        Step(
            argv=(*enter(state.mode, pids[SWITCH]), *shape(_port(state, board), link)),
            why=f"{board.name}: rate of what it receives",
        ),
    ]


def plug_step(state: LabState, board: BoardState, link: Link, pids: Mapping[str, str]) -> Step:
    """The board's cable is plugged in or pulled, at the switch: the board keeps its address."""
    return Step(
        argv=(*enter(state.mode, pids[SWITCH]), *plug(_port(state, board), link)),
        why=f"{board.name}: {'plug in' if link.up else 'unplug'}",
    )


def keeper_pids(state: LabState) -> dict[str, str]:
    """The keepers' process ids as text; a name such as $EDGE_1 for those that do not exist yet."""
    return {
        name: "$" + name.upper().replace("-", "_") if keeper is None else str(keeper.pid)
        for name, keeper in state.keepers().items()
    }


def free_subnet(taken: frozenset[int]) -> int:
    """The lowest x for which no 10.77.x.0/24 is in use."""
    for x in range(256):
        if x not in taken:
            return x
    raise LabError("all of 10.77.0.0/16 is in use on this machine; lab down some labs")


def taken_subnets(routes: str) -> frozenset[int]:
    """Every x of an address 10.77.x.* in the output of ip route."""
    return frozenset(int(x) for x in re.findall(r"\b10\.77\.(\d{1,3})\.", routes))


def _port(state: LabState, board: BoardState) -> str:
    return f"port{1 + [b.name for b in state.boards].index(board.name)}"


def _ip(inside: tuple[str, ...], command: str, why: str) -> Step:
    return Step(argv=(*inside, "ip", *command.split()), why=why)


def _silent(inside: tuple[str, ...], device: str, who: str, ipv6: bool) -> list[Step]:
    """No IPv6 address, so none of its chatter either: the link carries what users send."""
    command = f"link set dev {device} addrgenmode none"
    return [_ip(inside, command, f"{who}: no IPv6")] if ipv6 else []

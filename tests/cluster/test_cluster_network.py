"""The steps of a lab's network, without a network: who is entered, what is shaped."""

from __future__ import annotations

import pytest

from prism_edge.cluster import network
from prism_edge.cluster.processes import MARKER
from prism_edge.cluster.shaping import Link
from prism_edge.cluster.state import Keeper, LabState, Mode, plan_state
from prism_edge.cluster.step import Step
from prism_edge.errors import LabError

PIDS = {"switch": "100", "edge-1": "101", "edge-2": "102"}


def state(mode: Mode) -> LabState:
    return plan_state(
        name="lab",
        mode=mode,
        token="0123456789abcdef",
        boot_id="boot",
        subnet=3,
        boards=2,
        rate_bps=100e6,
        cores=(0,),
    )


def steps(mode: Mode, ipv6: bool = True) -> list[Step]:
    return network.network_steps(state(mode), PIDS, ipv6=ipv6)


def split(step: Step) -> tuple[str | None, str]:
    """The pid of the keeper that is entered, and the command run there."""
    if step.argv[0] != "nsenter":
        return None, " ".join(step.argv)
    return step.argv[2], " ".join(step.argv[step.argv.index("--") + 1 :])


def test_root_touches_one_interface_of_the_machine() -> None:
    """What is not run inside a namespace of the lab concerns the laptop's cable, by name."""
    outside = [command for pid, command in map(split, steps("root")) if pid is None]
    assert outside
    assert all("pe01234567" in command for command in outside)


def test_rootless_touches_nothing_of_the_machine() -> None:
    assert all(pid is not None for pid, _ in map(split, steps("rootless")))


@pytest.mark.parametrize("mode", ["root", "rootless"])
def test_every_board_is_shaped_at_both_ends(mode: Mode) -> None:
    shaped = {
        (pid, command.split()[4]) for pid, command in map(split, steps(mode)) if "tbf" in command
    }
    assert shaped == {("101", "eth0"), ("102", "eth0"), ("100", "port1"), ("100", "port2")}


@pytest.mark.parametrize("mode", ["root", "rootless"])
def test_the_laptop_is_not_shaped_and_boards_have_no_way_out(mode: Mode) -> None:
    commands = [command for _, command in map(split, steps(mode))]
    assert not [c for c in commands if "tbf" in c and ("laptop" in c or "br0" in c or "pe0" in c)]
    assert not [c for c in commands if "route" in c]
    assert "addr add 10.77.3.254/24" in " / ".join(commands)


@pytest.mark.parametrize("mode", ["root", "rootless"])
def test_addresses_are_set_inside_the_board_they_belong_to(mode: Mode) -> None:
    where = {command: pid for pid, command in map(split, steps(mode))}
    assert where["ip addr add 10.77.3.1/24 dev eth0"] == "101"
    assert where["ip addr add 10.77.3.2/24 dev eth0"] == "102"


def test_ipv6_is_silenced_only_where_there_is_ipv6() -> None:
    assert [s for s in steps("root", ipv6=True) if "addrgenmode" in s.argv]
    assert not [s for s in steps("root", ipv6=False) if "addrgenmode" in s.argv]


def test_keepers_of_root_need_nothing_but_a_network_namespace() -> None:
    for member in network.members(state("root")):
        argv = network.keeper_step(state("root"), member, PIDS).argv
        assert "--user" not in argv
        assert f"{MARKER}=0123456789abcdef/{member}" in argv


def test_rootless_boards_are_made_inside_the_switchs_user_namespace() -> None:
    switch = network.keeper_step(state("rootless"), "switch", PIDS).argv
    board = network.keeper_step(state("rootless"), "edge-1", PIDS).argv
    assert "--map-root-user" in switch
    assert "nsenter" not in switch
    assert board.index("nsenter") < board.index("unshare")
    assert board[board.index("--target") + 1] == "100"
    assert "--map-root-user" not in board


def test_a_paced_lab_needs_no_keeper_and_enters_nothing() -> None:
    assert network.members(state("paced")) == ()
    assert network.enter("paced", "1") == ()


def test_a_rate_change_is_two_steps_and_a_plug_is_one() -> None:
    lab = state("root")
    link = Link(rate_bps=20e6, up=False)
    rate = network.rate_steps(lab, lab.board("edge-2"), link, PIDS)
    assert [split(s)[0] for s in rate] == ["102", "100"]
    assert all("20000000bit" in s.argv for s in rate)
    plug = network.plug_step(lab, lab.board("edge-2"), link, PIDS)
    assert split(plug) == ("100", "ip link set dev port2 down")


def test_process_ids_to_come_have_names_that_a_shell_could_hold() -> None:
    lab = state("root").with_keeper("edge-1", Keeper(pid=77, start_ticks=1))
    assert network.keeper_pids(lab) == {"switch": "$SWITCH", "edge-1": "77", "edge-2": "$EDGE_2"}


def test_subnets_in_use_are_found_in_routes_and_left_alone() -> None:
    routes = (
        "default via 192.0.2.1 dev eth0\n10.77.0.0/24 dev pe1 src 10.77.0.254\n"
        "10.77.2.0/24 dev x\n10.7.1.0/24 dev y\n110.77.1.0/24 dev z\n"
    )
    assert network.taken_subnets(routes) == {0, 2}
    assert network.free_subnet(frozenset({0, 2})) == 1
    assert network.free_subnet(frozenset()) == 0


def test_no_subnet_left_is_an_error() -> None:
    with pytest.raises(LabError, match=r"10\.77\.0\.0/16 is in use"):
        network.free_subnet(frozenset(range(256)))


def test_names_differ_between_labs_and_fit_the_kernel() -> None:
    name = network.laptop_interface(state("root"))
    assert len(name) <= 15
    assert name == "pe01234567"
    assert network.laptop_address(state("paced")) == "127.77.3.254"

"""A probe moves the bytes it says, in the direction it says, between the ranks it says."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.echo import PROBE, Echo, Probe, follow_echo, lead_echo
from prism_edge.errors import InputError, OutOfStepError
from prism_edge.transport import Transport
from prism_edge.transport.loopback import loopback_group, run_ranks
from prism_edge.wire import Header, receive_header

SIZE, REPEATS = 5000, 4


def probed(size: int, probe: Probe) -> tuple[list[Echo], list[int]]:
    """The echoes, and the payload bytes that each rank has sent."""

    def run(group: Transport) -> tuple[list[Echo], int]:
        if group.rank == 0:
            return lead_echo(group, probe, REPEATS), group.sent_bytes
        if group.rank in probe.ranks:
            header = receive_header(group)
            assert header.model == PROBE
            follow_echo(header, group)
        return [], group.sent_bytes

    found = run_ranks([partial(run, group) for group in loopback_group(size, timeout_s=20.0)])
    return found[0][0], [sent for _, sent in found]


@pytest.mark.parametrize("loaded", [False, True])
def test_all_ranks_of_an_exchange_send_to_each_other(loaded: bool) -> None:
    echoes, sent = probed(
        3, Probe(operation="exchange", ranks=(0, 1, 2), bytes=SIZE, loaded=loaded)
    )
    assert len(echoes) == REPEATS
    assert all(echo.seconds > 0 for echo in echoes)
    assert all((echo.cpu_s is None) == loaded for echo in echoes)
    assert all(2 * SIZE * REPEATS <= count < 2 * SIZE * REPEATS + 2000 for count in sent)


def test_the_leader_can_have_two_others_exchange() -> None:
    echoes, sent = probed(4, Probe(operation="exchange", ranks=(1, 3), bytes=SIZE))
    assert len(echoes) == REPEATS
    assert sent[0] < 2000  # headers and single bytes
    assert sent[2] == 0
    assert all(SIZE * REPEATS <= sent[rank] < SIZE * REPEATS + 200 for rank in (1, 3))


@pytest.mark.parametrize("ranks", [(0, 1), (1, 0)])
def test_one_way_has_a_direction(ranks: tuple[int, int]) -> None:
    echoes, sent = probed(2, Probe(operation="oneway", ranks=ranks, bytes=SIZE))
    assert all(echo.seconds > 0 for echo in echoes)
    src, dst = ranks
    assert SIZE * REPEATS <= sent[src] < SIZE * REPEATS + 1000
    assert sent[dst] < 1000


@pytest.mark.parametrize("ranks", [(0, 1, 2), (1, 2), (0,)])
def test_one_way_is_between_the_leader_and_another(ranks: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="rank 0 has to be one of two"):
        Probe(operation="oneway", ranks=ranks, bytes=1)


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(InputError, match="sideways"):
        Probe(operation="sideways", ranks=(0, 1), bytes=1)  # type: ignore[arg-type]


@given(
    st.lists(st.integers(0, 7), min_size=2, max_size=8, unique=True),
    st.integers(0, 1 << 24),
    st.booleans(),
)
def test_a_probe_survives_its_header(ranks: list[int], size: int, loaded: bool) -> None:
    probe = Probe(operation="exchange", ranks=tuple(ranks), bytes=size, loaded=loaded)
    assert Probe.of(Header.decode(probe.header(3).encode())) == probe


@pytest.mark.parametrize("name", ["exchange", "exchange/0+x/idle", "oneway/1+2/idle"])
def test_another_header_is_out_of_step(name: str) -> None:
    probe = Probe(operation="exchange", ranks=(0, 1), bytes=1).header(1)
    header = Header(PROBE, probe.plan, 1, 1, None, ((name, "u8", (1,)),))
    with pytest.raises(OutOfStepError, match="does not parse"):
        Probe.of(header)

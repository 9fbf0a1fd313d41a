"""The leader's view of its boards: what it hands out, refuses, records and says."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from engine_puppet import FINGERPRINT, READY

from prism_edge.energy.clocks import offsets
from prism_edge.energy.journal import Journal, read
from prism_edge.engine.client import EngineGoneError
from prism_edge.engine.manifest import PROTOCOL
from prism_edge.engine.messages import Message
from prism_edge.errors import InputError
from prism_edge.mesh import MeshSettings
from prism_edge.serve.cluster import Cluster
from prism_edge.serve.lifecycle import SILENCE_S
from prism_edge.serve.metrics import Metrics
from prism_edge.serve.models import served_models
from prism_edge.serve.record import Record
from prism_edge.settings import BoardSettings, Settings

ORDERS = list[tuple[str, dict[str, Any]]]


@dataclass
class Engine:
    """A supervisor and its engine in one, for those who only send orders."""

    instance: str = "a1"
    orders: ORDERS = field(default_factory=list)
    gone: bool = False

    @property
    def client(self) -> Engine:
        return self

    def send(self, kind: str, **fields: Any) -> None:
        if self.gone:
            raise EngineGoneError("gone")
        self.orders.append((kind, fields))


class Board:
    """The cluster as worker b and the leader's engine meet it."""

    def __init__(self, directory: Path, boards: str = "ab", subnet: str = "") -> None:
        settings = Settings(
            name="c",
            leader="a",
            profiles=directory,
            boards=tuple(
                BoardSettings(name=name, address=f"10.0.0.{k + 1}") for k, name in enumerate(boards)
            ),
            mesh=MeshSettings(subnet=subnet),
        )
        self.path = directory / "journal.sqlite"
        self.journal = Journal.open(self.path, cluster="c", kind="boards", power={})
        self.metrics = Metrics()
        self.cluster = Cluster(settings, Record(self.journal, self.metrics), self.metrics)
        self.engine = Engine()
        self.cluster.engine = self.engine  # type: ignore[assignment]

    def hello(self, board: str = "b", **changes: object) -> dict[str, Any] | None:
        said = {
            "board": board,
            "instance": f"{board}1",
            "ready": True,
            "models": {"m": FINGERPRINT},
            "protocol": PROTOCOL,
            "seat": None,
            "left": None,
            "power": [],
            **changes,
        }
        answer = self.cluster.hello(said)
        assert abs(answer["now_s"] - time.time()) < 60
        seat: dict[str, Any] | None = answer["seat"]
        return seat

    def engine_says(self, kind: str, **fields: Any) -> None:
        models = served_models(Message("ready", READY))
        self.cluster.engine_event(Message(kind, fields), models)

    def open(self) -> None:
        self.engine_says("ready", **READY)
        self.hello()
        self.hello(seat=1)
        self.engine_says("joined", epoch=1, rank=0, size=2)

    def events(self) -> list[tuple[str, str]]:
        self.journal.flush()
        return [(event.kind, event.detail or "") for event in read(self.path).events]


@pytest.fixture
def board(tmp_path: Path) -> Any:
    board = Board(tmp_path)
    yield board
    board.journal.close()


def test_on_a_mesh_boards_meet_there_and_are_named_by_their_addresses_there(tmp_path: Path) -> None:
    board = Board(tmp_path, subnet="10.99.0.0/24")
    board.engine_says("ready", **READY)
    seat = board.hello()
    assert seat is not None
    assert seat["store_host"] == "10.99.0.1"
    board.hello(seat=1)
    assert board.engine.orders[0][1]["store_host"] == "10.99.0.1"
    said = "rank 0: lost rank 1: Connection closed by peer [10.99.0.2]:4711"
    assert board.cluster.name_boards(said, "ab").endswith("by peer b [10.99.0.2]:4711")
    board.journal.close()


def test_a_seat_says_where_to_meet_and_the_engine_is_told_once_it_is_taken(board: Board) -> None:
    board.engine_says("ready", **READY)
    seat = board.hello()
    where = {"epoch": 1, "size": 2, "store_host": "10.0.0.1", "store_port": 4242}
    assert seat == {**where, "rank": 1}
    assert board.engine.orders == []
    board.hello(seat=1)
    assert board.engine.orders == [("join", {**where, "rank": 0})]
    assert (board.cluster.in_service(), board.cluster.ranks()) == (1, ("a",))
    board.engine_says("joined", epoch=1, rank=0, size=2)
    assert (board.cluster.in_service(), board.cluster.ranks()) == (2, ("a", "b"))
    assert "prism_edge_boards 2.0" in board.metrics.render().decode()


def test_without_a_ready_engine_or_its_gloo_nobody_is_seated(board: Board) -> None:
    assert board.hello() is None
    board.engine_says("ready", **{**READY, "gloo": False, "store_port": None})
    assert board.hello() is None


def test_a_lost_board_is_recorded_and_the_engine_told_to_leave_at_once(board: Board) -> None:
    board.open()
    assert board.hello(left=1) is None
    assert board.engine.orders[-1] == ("leave", {"epoch": 1, "now": True})
    assert board.cluster.ranks() == ("a",)
    assert ("lost", "closing: board b: it left the group") in board.events()


def test_what_the_engine_lost_is_recorded_by_the_boards_name(board: Board) -> None:
    board.open()
    said = "rank 0: lost rank 1: Connection closed by peer [10.0.0.2]:4711"
    board.engine_says("left", epoch=1, reason=said)
    assert board.cluster.ranks() == ("a",)
    assert board.events()[-1] == (
        "lost",
        "a: lost b: Connection closed by peer b [10.0.0.2]:4711",
    )


def test_why_a_batch_was_lost_is_what_the_agent_saw_if_it_gave_the_board_up(board: Board) -> None:
    board.open()
    said = "rank 0: lost rank 1: Socket closed"
    assert board.cluster.why_lost(said, ("a", "b"), 0.0) == "a: lost b: Socket closed"
    board.hello(left=1)
    assert board.cluster.why_lost(said, ("a", "b"), 0.0) == "board b: it left the group"
    # that was before this batch began
    assert board.cluster.why_lost(said, ("a", "b"), float("inf")) == "a: lost b: Socket closed"


def test_a_leader_that_was_kept_from_working_calls_nobody_silent(board: Board) -> None:
    """Hellos of that time still wait in its sockets."""
    board.open()
    time.sleep(SILENCE_S + 0.1)
    board.cluster.tick()
    assert board.cluster.ranks() == ("a", "b")
    end_s = time.monotonic() + 60  # the control: now it does listen, and nobody speaks
    while board.cluster.ranks() == ("a", "b"):
        assert time.monotonic() < end_s
        time.sleep(0.05)
        board.cluster.tick()
    assert "board b: silent for" in board.events()[-1][1]


def test_an_engine_that_is_gone_changes_nothing_else(board: Board) -> None:
    board.open()
    board.engine.gone = True
    board.engine_says("gone", code=-9)
    assert board.cluster.ranks() == ("a",)
    assert ("engine", "ended with code -9") in board.events()
    board.engine = Engine(instance="a2")
    board.cluster.engine = board.engine  # type: ignore[assignment]
    board.engine_says("ready", **READY)
    assert board.hello() is None  # not at once after a loss


def test_a_board_comes_in_after_the_current_batch_and_that_is_no_loss(tmp_path: Path) -> None:
    three = Board(tmp_path, "abc")
    try:
        three.open()
        assert three.hello("c") is None
        assert three.engine.orders[-1] == ("leave", {"epoch": 1, "now": False})
        assert three.hello(seat=1) is not None  # b stays where it is
        three.engine_says("left", epoch=1, reason="asked to leave")
        seat, other = three.hello(left=1), three.hello("c")
        assert [kind for kind, _ in three.events() if kind == "lost"] == []
        assert seat is not None
        assert other is not None
        assert (seat["epoch"], seat["rank"], other["rank"]) == (2, 1, 2)
    finally:
        three.journal.close()


def test_what_lies_beside_the_power_travels_too(board: Board) -> None:
    beside = {"gap": "started again", "events": {"oc1": 2}}
    board.hello(power=[[100.0, 5.0, "sensor"], [100.5, 7.0, "sensor", beside]])
    board.journal.flush()
    found = read(board.path)
    assert [sample.gap for sample in found.samples] == [None, "started again"]
    assert {event.kind for event in found.events} >= {"gap", "throttle"}


def test_clock_offsets_are_written_down_when_they_say_something_new(board: Board) -> None:
    for clock in ([0.5, 0.01], [0.505, 0.01], None, [0.504, 0.003], [-3600.0, 0.01]):
        board.hello(**({} if clock is None else {"clock": clock}))
    board.journal.flush()
    told = offsets(read(board.path).events)["b"]
    assert [offset.offset_s for _, offset in told] == [0.5, 0.504, -3600.0]


def test_power_in_a_hello_reaches_journal_and_metrics(board: Board) -> None:
    board.hello(power=[[100.0, 5.0, "modelled"], [100.5, 7.0, "modelled"]])
    board.journal.flush()
    found = [(s.board, s.t_s, s.power_w, s.source) for s in read(board.path).samples]
    assert found == [("b", 100.0, 5.0, "modelled"), ("b", 100.5, 7.0, "modelled")]
    text = board.metrics.render().decode()
    assert 'prism_edge_power_watts{board="b",source="modelled"} 7.0' in text
    assert 'prism_edge_energy_joules_total{board="b",source="modelled"} 3.0' in text


@pytest.mark.parametrize(
    "changes",
    [
        {"board": "x"},
        {"board": "a"},  # the leader is no worker
        {"models": ["m"]},
        {"models": None},
        {"seat": "one"},
        {"power": [[1.0, 2.0]]},
        {"power": [["x", 2.0, "sensor"]]},
        {"power": [[1.0, 2.0, "guessed"]]},
        {"power": [[1.0, float("nan"), "sensor"]]},
        {"power": 3},
        {"clock": [1.0]},
        {"clock": [1.0, -1.0]},
        {"clock": ["soon", 1.0]},
    ],
)
def test_a_stranger_and_nonsense_are_refused_and_change_nothing(
    changes: dict[str, Any], board: Board
) -> None:
    board.engine_says("ready", **READY)
    with pytest.raises(InputError, match=r"not a worker|not a hello"):
        board.hello(**changes)
    assert board.cluster.status()["epoch"] is None


def test_half_a_hello_is_refused(board: Board) -> None:
    with pytest.raises(InputError, match="not a hello"):
        board.cluster.hello({"board": "b"})


def test_status_shows_who_is_there(board: Board) -> None:
    board.open()
    status = board.cluster.status()
    assert status["epoch"] == 1
    boards = status["boards"]
    assert isinstance(boards, list)
    assert [(b["name"], b["ready"], b["in_group"]) for b in boards] == [
        ("a", True, True),
        ("b", True, True),
    ]
    assert boards[0]["silent_s"] is None
    assert boards[1]["silent_s"] >= 0
    assert [b["why_out"] for b in boards] == [None, None]
    for _ in range(2):  # the first closes the epoch and is forgotten with it
        board.hello(protocol=PROTOCOL + 1)
    odd = board.cluster.status()["boards"]
    assert isinstance(odd, list)
    assert odd[1]["why_out"].startswith(f"it speaks wire protocol {PROTOCOL + 1}, the leader")
    assert odd[1]["silent_s"] >= 0


def test_a_board_that_was_lost_is_silent_since_it_was_last_heard(board: Board) -> None:
    board.open()
    board.hello(left=1)  # ends the epoch, with which the group's members are forgotten
    boards = board.cluster.status()["boards"]
    assert isinstance(boards, list)
    assert (boards[1]["in_group"], boards[1]["why_out"]) == (False, "silent")
    assert boards[1]["silent_s"] >= 0

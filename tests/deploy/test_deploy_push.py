"""Who is switched when, who stays and who goes back: on boards of paper, whatever fails."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest
from paper_board import after, bundle, facts, goods, private, settings, wished

from prism_edge.deploy.facts import Facts
from prism_edge.deploy.part import Outcome, exit_code
from prism_edge.deploy.push import Order, push
from prism_edge.deploy.step import Activate, MakeMeshKey, MakeRelease, Prune, Step
from prism_edge.deploy.wish import Wish
from prism_edge.errors import ClusterError, SettingsError, UnreachableError
from prism_edge.mesh import MeshSettings
from prism_edge.settings import BoardSettings

Fault = Callable[[str, Step], None]


def nothing(board: str, step: Step) -> None:
    """No fault."""


class World:
    """Boards on paper behind the conductor; ``fault`` may raise before a step is done."""

    def __init__(self, boards: int = 3, fault: Fault = nothing, group: str = "") -> None:
        self.names = tuple(f"edge-{n}" for n in range(1, boards + 1))
        self.boards = {name: facts(name) for name in self.names}
        self.settings = settings(boards)
        self.fault, self.group = fault, group
        self.log: list[tuple[str, Step]] = []
        self.told: list[tuple[str, str]] = []
        self.holders: list[str] = []
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.off: set[str] = set()
        self.code = "a"
        self.tables = "a"
        self.mesh = False
        self.keys: list[dict[str, str]] = []
        self._lock = threading.Lock()

    def push(self, **order: object) -> dict[str, Outcome]:
        self.log.clear()
        cluster = self.settings
        if self.mesh:
            cluster = dataclasses.replace(cluster, mesh=MeshSettings(subnet="10.99.0.0/24"))
        wanted = Order(settings=cluster, **order)  # type: ignore[arg-type]
        self.told.clear()
        found = push(wanted, self.opened, self.wished, lambda *said: self.told.append(said))
        assert self.holders == [], "a lock was left"
        return {outcome.board: outcome for outcome in found}

    @contextlib.contextmanager
    def opened(self, board: BoardSettings) -> Iterator[PaperSite]:
        if board.name in self.off:
            raise UnreachableError(f"board {board.name}: no route to host")
        yield PaperSite(self, board.name)

    def wished(self, board: BoardSettings, now: Facts, keys: Mapping[str, str]) -> Wish:
        self.keys.append(dict(keys))
        return wished(
            now,
            cluster=self.settings,
            packed=bundle(code=self.code),
            sent=goods(tables=self.tables),
            own=private("mesh" if self.mesh else None),
        )

    def apply(self, board: str, step: Step) -> None:
        self.fault(board, step)
        with self._lock:
            self.boards[board] = after(self.boards[board], [step])
            self.log.append((board, step))

    def serving(self) -> dict[str, str | None]:
        return {name: now.installed.current for name, now in self.boards.items()}

    def switched(self) -> list[str]:
        """Boards in the order of their switches."""
        return [board for board, step in self.log if isinstance(step, Activate)]


@dataclasses.dataclass(frozen=True)
class PaperSite:
    world: World
    name: str

    def facts(self, files: Sequence[str]) -> Facts:
        return self.world.boards[self.name]

    @contextlib.contextmanager
    def held(self, who: str) -> Iterator[None]:
        self.world.holders.append(self.name)
        yield
        self.world.holders.remove(self.name)

    def apply(self, step: Step, progress: Callable[[str], None]) -> None:
        progress("at it")
        self.world.apply(self.name, step)

    def await_group(self, boards: Sequence[str], limit_s: float) -> None:
        self.world.asked.append((self.name, tuple(boards)))
        if self.world.group:
            raise ClusterError(self.world.group)


def fails(board: str, kind: type[Step]) -> Fault:
    def fault(name: str, step: Step) -> None:
        if name == board and isinstance(step, kind):
            raise ClusterError(f"board {name}: the disk is full")

    return fault


def vanishes(board: str) -> Fault:
    def fault(name: str, step: Step) -> None:
        if name == board:
            raise UnreachableError(f"board {name}: the connection is lost")

    return fault


def states(found: Mapping[str, Outcome]) -> list[str]:
    return [outcome.state for outcome in found.values()]


def test_all_boards_are_ready_before_the_first_is_switched_and_the_leader_is_last() -> None:
    world = World()
    found = world.push()
    assert states(found) == ["changed"] * 3
    assert exit_code(tuple(found.values())) == 0
    assert world.switched() == ["edge-3", "edge-2", "edge-1"]
    first = next(i for i, (_, step) in enumerate(world.log) if isinstance(step, Activate))
    assert all(isinstance(step, Activate | Prune) for _, step in world.log[first:])
    assert world.asked == [("edge-1", ("edge-1", "edge-2", "edge-3"))]


def test_the_second_push_changes_nothing_and_asks_nobody() -> None:
    world = World()
    world.push()
    world.asked.clear()
    found = world.push()
    assert states(found) == ["unchanged"] * 3
    assert world.log == []
    assert world.asked == []
    assert exit_code(tuple(found.values())) == 0


def test_a_dry_run_tells_what_a_push_then_does_and_does_nothing() -> None:
    world = World()
    would = world.push(dry_run=True)
    assert world.log == []
    assert states(would) == ["would change"] * 3
    assert exit_code(tuple(would.values())) == 2
    did = world.push()
    assert {name: one.steps for name, one in would.items()} == {
        name: one.steps for name, one in did.items()
    }
    assert states(world.push(dry_run=True)) == ["unchanged"] * 3


def test_the_canary_can_be_chosen() -> None:
    world = World()
    world.push(canary="edge-1")
    assert world.switched()[0] == "edge-1"
    with pytest.raises(SettingsError, match="no board is called 'edge-9'"):
        world.push(canary="edge-9")
    with pytest.raises(SettingsError, match="--canary edge-1: not among --limit edge-2"):
        world.push(canary="edge-1", boards=("edge-2",))


def test_a_canary_that_fails_leaves_everybody_on_the_old_release() -> None:
    world = World()
    world.push()
    before = world.serving()
    world.code, world.fault = "b", fails("edge-3", Activate)
    found = world.push()
    assert states(found) == ["prepared", "prepared", "failed"]
    assert "not switched, because edge-3 went first" in str(found["edge-1"].error)
    assert world.serving() == before
    assert exit_code(tuple(found.values())) == 1


def test_a_board_that_fails_ends_nobody_else() -> None:
    world = World(fault=fails("edge-2", MakeMeshKey))
    world.off.add("edge-3")
    found = world.push()
    assert states(found) == ["changed", "changed", "failed"]
    assert found["edge-3"].error == "board edge-3: no route to host"
    assert ("edge-3", "failed; the reason follows when the others have ended") in world.told
    assert world.asked == [("edge-1", ("edge-1", "edge-2"))]
    assert exit_code(tuple(found.values())) == 1


def test_nobody_is_switched_while_the_leader_is_off() -> None:
    world = World()
    world.push()
    before = world.serving()
    world.code = "b"
    world.off.add("edge-1")
    found = world.push()
    assert states(found) == ["failed", "prepared", "prepared"]
    assert "the leader edge-1 cannot be asked" in str(found["edge-2"].error)
    assert world.serving() == before


def test_nobody_is_switched_when_the_leader_vanishes_before_it_is_its_turn() -> None:
    world = World()
    world.push()
    before = world.serving()
    world.code, world.fault = "b", vanishes("edge-1")
    found = world.push()
    assert states(found) == ["failed", "prepared", "prepared"]
    assert world.serving() == before


def test_a_leader_whose_only_worker_vanishes_waits_for_no_group() -> None:
    world = World(boards=2)
    world.push()
    world.code, world.fault = "b", vanishes("edge-2")
    world.group = "the group is not formed yet"
    world.asked.clear()
    found = world.push()
    assert states(found) == ["changed", "failed"]
    assert world.asked == []


def test_a_leader_whose_only_worker_failed_must_still_work_with_it() -> None:
    world = World(boards=2)
    world.push()
    world.code, world.fault = "b", fails("edge-2", MakeRelease)
    world.asked.clear()
    assert states(world.push()) == ["changed", "failed"]
    assert world.asked == [("edge-1", ("edge-1",))]


def test_boards_that_do_not_come_together_go_back() -> None:
    world = World()
    world.push()
    before = world.serving()
    world.code, world.group = "b", "edge-2 is missing"
    found = world.push()
    assert states(found) == ["rolled back"] * 3
    assert "edge-2 is missing; it serves 0.1.0-" in str(found["edge-2"].error)
    assert world.serving() == before
    assert exit_code(tuple(found.values())) == 1


def test_what_never_served_has_nothing_to_go_back_to() -> None:
    world = World(group="edge-2 is missing")
    found = world.push()
    assert states(found) == ["failed"] * 3
    assert "nothing served before" in str(found["edge-1"].error)


def test_new_tables_start_only_the_leader_again_and_the_group_is_awaited() -> None:
    world = World()
    world.push()
    world.tables = "b"
    world.asked.clear()
    found = world.push()
    assert states(found) == ["changed"] * 3
    assert world.switched() == ["edge-1"]
    assert world.asked == [("edge-1", ("edge-1",))]


def test_a_chosen_board_alone_asks_the_leader_once_that_serves() -> None:
    world = World()
    found = world.push(boards=("edge-2",))
    assert list(found) == ["edge-2"]
    assert world.asked == []  # there is no leader yet
    world.push(boards=("edge-1",))
    assert world.asked == []
    world.code = "b"
    world.push(boards=("edge-2",))
    assert world.asked == [("edge-1", ("edge-2",))]


def test_keys_of_the_mesh_are_made_before_anybody_is_told_of_them() -> None:
    world = World()
    world.mesh = True
    would = world.push(dry_run=True)
    assert world.log == []
    world.keys.clear()
    did = world.push()
    assert [sorted(keys) for keys in world.keys] == [["edge-1", "edge-2", "edge-3"]] * 3
    assert [type(step) for step in would["edge-1"].steps] == [
        type(step) for step in did["edge-1"].steps
    ]
    assert isinstance(did["edge-1"].steps[0], MakeMeshKey)
    assert states(world.push()) == ["unchanged"] * 3


def test_boards_that_are_not_chosen_are_asked_for_their_keys_only() -> None:
    world = World()
    world.mesh = True
    world.push(boards=("edge-1",))
    world.keys.clear()
    world.off.add("edge-3")
    world.push(boards=("edge-2",))
    assert [sorted(keys) for keys in world.keys] == [["edge-1", "edge-2"]]


@pytest.mark.parametrize("kind", ["SendModel", "Activate"])
def test_after_a_stop_every_board_serves_what_it_served(kind: str) -> None:
    world = World()
    world.push()
    before, stopped = world.serving(), threading.Event()
    main = threading.main_thread()

    def fault(board: str, step: Step) -> None:
        if type(step).__name__ == kind and not stopped.is_set():
            stopped.set()
            assert main.ident is not None
            signal.pthread_kill(main.ident, signal.SIGINT)

    world.code, world.fault = "b", fault
    world.settings = dataclasses.replace(world.settings, name="other")
    if kind == "SendModel":
        for name, now in world.boards.items():
            installed = dataclasses.replace(now.installed, models=())
            world.boards[name] = dataclasses.replace(now, installed=installed)
    found = world.push()
    assert states(found) == ["interrupted"] * 3
    assert exit_code(tuple(found.values())) == 130
    assert world.serving() == before
    assert "as before" in str(found["edge-1"].error) or "again" in str(found["edge-1"].error)


def test_pruning_that_fails_is_told_and_undoes_nothing() -> None:
    world = World(boards=1, fault=fails("edge-1", Prune))
    for code in "abcde":
        world.code = code
        found = world.push()
    assert states(found) == ["changed"]
    assert "the disk is full" in str(found["edge-1"].error)
    assert world.serving()["edge-1"] == found["edge-1"].new


def test_a_fault_of_ours_is_no_board_s_failure() -> None:
    def fault(board: str, step: Step) -> None:
        raise AssertionError("a bug")

    world = World(fault=fault)
    with pytest.raises(AssertionError, match="a bug"):
        world.push()
    assert world.holders == []

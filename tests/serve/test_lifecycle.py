"""The lifecycle's rules by example, then a simulated cluster in which anything may happen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from prism_edge.engine.manifest import PROTOCOL
from prism_edge.serve import lifecycle
from prism_edge.serve.lifecycle import (
    FORMING_S,
    RETRY_S,
    SILENCE_S,
    Action,
    Close,
    Hello,
    Join,
    State,
    in_service,
    seat_of,
    step,
)

MODELS = {"vit": "hash"}
LEADER = Hello(board="a", instance="a1", ready=True, models=MODELS)


def worker(board: str = "b", **changes: object) -> Hello:
    said = Hello(board=board, instance=f"{board}1", ready=True, models=MODELS)
    return replace(said, **changes)  # type: ignore[arg-type]


def ready_leader(order: tuple[str, ...] = ("a", "b")) -> State:
    return lifecycle.leader_engine(State(order=order), LEADER)


def say(state: State, said: Hello, now_s: float = 0.0) -> tuple[State, list[Action]]:
    return step(lifecycle.hello(state, said, now_s), now_s)


def opened(now_s: float = 0.0) -> State:
    """Boards a and b in an open epoch 1."""
    state, _ = say(ready_leader(), worker(), now_s)
    state, _ = say(state, worker(seat=1), now_s)
    return lifecycle.joined(state, 1)


# -- opening -----------------------------------------------------------------------------------


def test_an_epoch_is_offered_then_joined_once_the_worker_sits_then_open() -> None:
    state, actions = say(ready_leader(), worker())
    assert (actions, seat_of(state, "b"), in_service(state)) == ([], (1, 1, 2), 1)
    state, actions = say(state, worker(seat=1))
    assert [type(action) for action in actions] == [Join]
    assert in_service(state) == 1
    state = lifecycle.joined(state, 1)
    assert in_service(state) == 2
    assert step(state, 0.1)[1] == []


def test_ranks_follow_the_order_of_the_settings_not_of_the_hellos() -> None:
    state = lifecycle.hello(ready_leader(("a", "b", "c")), worker("c"), 0.0)
    state, _ = say(state, worker("b"))
    assert state.epoch is not None
    assert state.epoch.ranks == ("a", "b", "c")
    assert [seat_of(state, board) for board in "abc"] == [(1, 0, 3), (1, 1, 3), (1, 2, 3)]


def test_the_join_waits_for_the_last_worker() -> None:
    state = lifecycle.hello(ready_leader(("a", "b", "c")), worker("c"), 0.0)
    state, _ = say(state, worker("b"))
    state, actions = say(state, worker("b", seat=1))
    assert actions == []
    _, actions = say(state, worker("c", seat=1))
    assert len(actions) == 1


@pytest.mark.parametrize(
    "said", [worker(ready=False), worker(models={"vit": "other"}), worker(models={})]
)
def test_a_board_that_is_not_ready_or_serves_something_else_is_left_out(said: Hello) -> None:
    state, _ = say(ready_leader(), said)
    assert state.epoch is None


def test_nothing_is_offered_without_the_leaders_engine() -> None:
    state, _ = say(State(order=("a", "b")), worker())
    assert state.epoch is None
    state, _ = step(lifecycle.leader_engine(state, LEADER), 0.0)
    assert state.epoch is not None


def test_a_leader_alone_needs_no_epoch() -> None:
    state, actions = step(ready_leader(("a",)), 0.0)
    assert (state.epoch, actions, in_service(state)) == (None, [], 1)


def test_a_restarted_leader_goes_on_after_the_numbers_its_workers_know() -> None:
    for said in (worker(seat=7), worker(left=7)):
        state, _ = say(ready_leader(), said)
        assert state.epoch is not None
        assert (state.epoch.number, state.epoch.phase) == (8, "offered")


# -- closing -----------------------------------------------------------------------------------


def closing(state: State, said: Hello | None, now_s: float) -> Close:
    """The one thing done when ``said`` is heard, or time passes."""
    _, actions = step(state, now_s) if said is None else say(state, said, now_s)
    assert len(actions) == 1
    assert isinstance(actions[0], Close)
    return actions[0]


def test_a_loss_closes_the_epoch_at_once_and_names_the_board() -> None:
    state = opened()
    late = SILENCE_S + 0.1
    assert closing(state, None, late) == Close(1, "board b: silent for 1.6 s", True)
    for said, why in (
        (worker(seat=1, ready=False), "its engine is not ready"),
        (worker(instance="b2"), "its engine was restarted"),
        (worker(left=1), "it left the group"),
        (
            worker(seat=1, models={}),
            "it serves no models, the leader serves vit; list the same models on both",
        ),
        (
            worker(seat=1, models={"vit": "other"}),
            "its vit is not the leader's; copy the same checkpoint to both",
        ),
        (
            worker(seat=1, protocol=PROTOCOL + 1),
            f"it speaks wire protocol {PROTOCOL + 1}, the leader {PROTOCOL}; install the same "
            f"prism-edge on both",
        ),
    ):
        assert closing(state, said, 1.0) == Close(1, f"board b: {why}", True)


def test_time_in_which_the_leader_did_not_listen_is_no_silence() -> None:
    away = lifecycle.looked_away(opened(), 60.0, 60.0)
    assert step(away, 60.0 + SILENCE_S) == (away, [])
    assert closing(away, None, 60.1 + SILENCE_S).reason == "board b: silent for 1.6 s"
    heard = lifecycle.hello(opened(), worker(seat=1), 59.0)  # never from the future
    heard = lifecycle.looked_away(heard, 60.0, 60.0)
    assert heard.members["b"].seen_s == 60.0
    assert step(lifecycle.looked_away(heard, 60.0, 120.0), 120.0)[1] == []


def test_a_leader_that_is_always_late_finds_a_dead_board_too() -> None:
    """As late as may be, whether or not others' hellos make it tick in between."""
    for gaps in ((0.6,), (0.6, 0.01)):
        state, now_s, actions = opened(), 0.0, list[Action]()
        while not actions:
            for away_s in gaps:
                now_s += away_s
                if away_s > 0.5:
                    state = lifecycle.looked_away(state, away_s, now_s)
                state, more = step(state, now_s)
                actions += more
            assert now_s < SILENCE_S + 3 * 0.6
        assert isinstance(actions[0], Close)
        assert actions[0].reason.startswith("board b: silent for")


def test_a_board_that_is_heard_is_excused_again() -> None:
    state, actions = opened(), list[Action]()
    for pause in range(1, 9):
        state = lifecycle.looked_away(state, 60.0, 60.5 * pause)
        state, more = step(state, 60.5 * pause)
        state, again = say(state, worker(seat=1), 60.5 * pause + 0.1)
        actions += more + again
    assert actions == []


def test_a_board_that_just_keeps_saying_hello_is_kept() -> None:
    state = opened()
    for tick in range(40):
        state, actions = say(state, worker(seat=1), tick * SILENCE_S)
        assert actions == []
    assert in_service(state) == 2


def test_the_leaders_own_engine_closes_it_too() -> None:
    assert closing(lifecycle.leader_engine(opened(), None), None, 0.1).now
    other = replace(LEADER, instance="a2")
    assert "leader" in closing(lifecycle.leader_engine(opened(), other), None, 0.1).reason


def test_after_a_loss_only_a_fresh_hello_counts() -> None:
    state = lifecycle.left(opened(), 1, 0.1)
    assert in_service(state) == 1
    state, _ = step(state, 0.1 + RETRY_S)
    assert state.epoch is None
    state, _ = say(state, worker(left=1), 0.2 + RETRY_S)
    assert state.epoch is not None
    assert state.epoch.number == 2


def test_a_loss_is_not_retried_at_once() -> None:
    state = lifecycle.left(opened(), 1, 0.1)
    state, _ = say(state, worker(left=1), 0.1 + RETRY_S / 2)
    assert state.epoch is None
    state, _ = step(state, 0.1 + RETRY_S)
    assert state.epoch is not None


def test_news_of_another_epoch_changes_nothing() -> None:
    state = opened()
    assert lifecycle.left(state, 0, 0.1) == lifecycle.joined(state, 0) == state
    assert lifecycle.left(state, None, 0.1) == state


def test_a_group_that_does_not_form_is_given_up() -> None:
    offered, _ = say(ready_leader(), worker())
    forming, _ = say(offered, worker(seat=1))
    end = FORMING_S + 0.1
    for state in (offered, forming):
        fresh = lifecycle.hello(state, worker(seat=1), end - 0.1)
        assert "did not form" in closing(fresh, None, end).reason


def test_a_returning_board_waits_for_the_current_batch() -> None:
    """The others stay seated until the leader's engine has left; nothing of it counts as a loss."""
    state, _ = say(ready_leader(("a", "b", "c")), worker())
    state, _ = say(state, worker(seat=1))
    state = lifecycle.joined(state, 1)
    state, actions = say(state, worker("c"), 0.1)
    assert actions == [Close(1, "another board is ready to join", False)]
    assert seat_of(state, "b") == (1, 1, 2)
    assert seat_of(state, "c") is None
    assert step(state, 0.2) == (state, [])
    state, _ = step(lifecycle.left(state, 1, 0.3), 0.3)
    assert (seat_of(state, "b"), seat_of(state, "c")) == ((2, 1, 3), (2, 2, 3))


def test_a_board_lost_while_closing_is_still_a_loss() -> None:
    state, _ = say(ready_leader(("a", "b", "c")), worker())
    state, _ = say(state, worker(seat=1))
    state, _ = say(lifecycle.joined(state, 1), worker("c"), 0.1)
    assert say(state, worker(left=1), 0.2)[1] == []  # that is what closing means
    assert closing(state, worker(instance="b2"), 0.2).reason == "board b: its engine was restarted"


def test_a_board_that_is_being_stopped_is_let_go_behind_the_current_batch() -> None:
    state = opened()
    leaving = worker(seat=1, ready=False, leaving=True)
    state, actions = say(state, leaving, 0.1)
    assert actions == [Close(1, "board b: it is being stopped", False)]
    assert (seat_of(state, "b"), in_service(state)) == ((1, 1, 2), 1)
    assert say(state, leaving, 0.2)[1] == []  # it waits, and the batch goes on
    state, actions = step(lifecycle.left(state, 1, 0.3), 0.3)
    assert (actions, state.epoch, seat_of(state, "b")) == ([], None, None)
    state, _ = say(state, worker(instance="b2"), 0.4)  # started again
    assert seat_of(state, "b") == (2, 1, 2)


def test_the_boards_that_stay_go_on_together() -> None:
    state, _ = say(ready_leader(("a", "b", "c")), worker())
    state, _ = say(lifecycle.hello(state, worker("c"), 0.0), worker("b"))
    state = lifecycle.left(state, state.last_number, 0.0)
    for said in (worker("b", left=1), worker("c", left=1)):
        state = lifecycle.hello(state, said, RETRY_S)
    state, _ = step(state, RETRY_S)
    for board in "bc":
        state, _ = say(state, worker(board, left=1, seat=2), RETRY_S)
    state = lifecycle.joined(state, 2)
    assert in_service(state) == 3
    state, actions = say(state, worker("b", seat=2, leaving=True), RETRY_S)
    assert actions == [Close(2, "board b: it is being stopped", False)]
    state, _ = step(lifecycle.left(state, 2, RETRY_S), RETRY_S)
    assert (seat_of(state, "b"), seat_of(state, "c")) == (None, (3, 1, 2))


def test_a_board_that_is_lost_while_it_leaves_is_lost() -> None:
    state, _ = say(opened(), worker(seat=1, leaving=True), 0.1)
    why = closing(state, worker(instance="b2", seat=None, leaving=True), 0.2)
    assert why == Close(1, "board b: it is being stopped", True)
    late = closing(state, None, 0.2 + SILENCE_S)
    assert (late.now, late.reason) == (True, "board b: silent for 1.6 s")


# -- a simulated cluster -----------------------------------------------------------------------


@dataclass
class Board:
    """A worker as its agent and engine behave."""

    name: str
    agent: bool = True
    starts: int = 1
    ready: bool = True
    models: str = "hash"
    seat: int | None = None
    left: int | None = None
    leaving: bool = False

    def hello(self) -> Hello:
        return Hello(
            board=self.name,
            instance=f"{self.name}{self.starts}",
            ready=self.ready,
            models={"vit": self.models},
            seat=self.seat,
            left=self.left,
            leaving=self.leaving,
        )

    def take(self, seat: int | None) -> None:
        if seat != self.seat and (seat is None or seat != self.left) and self.ready:
            self.seat = seat


boards = st.sampled_from("bcd")


class Simulation(RuleBasedStateMachine):
    """A leader and three workers; every rule is something that happens to them."""

    state: State
    step = staticmethod(step)
    hear = staticmethod(lifecycle.hello)

    @initialize()
    def begin(self) -> None:
        self.now_s = 100.0
        self.boards = {name: Board(name) for name in "bcd"}
        self.lives = 1
        self.restart_leader()

    # what happens

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.3, RETRY_S, 1.0, SILENCE_S + 0.1, FORMING_S + 1]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.advance()

    @rule(name=boards)
    def says_hello(self, name: str) -> None:
        board = self.boards[name]
        if not board.agent:
            return
        said = board.hello()
        self.heard[name] = (said, self.now_s)
        self.state = self.hear(self.state, said, self.now_s)
        self.advance()
        seat = seat_of(self.state, name)
        board.take(None if seat is None else seat[0])

    @rule(name=boards)
    def agent_dies(self, name: str) -> None:
        self.boards[name].agent = False

    @rule(name=boards)
    def agent_returns(self, name: str) -> None:
        self.boards[name] = Board(name, starts=self.boards[name].starts + 1)

    @rule(name=boards)
    def is_being_stopped(self, name: str) -> None:
        self.boards[name].leaving = True

    @rule(name=boards)
    def engine_restarts(self, name: str) -> None:
        board = self.boards[name]
        board.starts, board.ready, board.seat = board.starts + 1, False, None

    @rule(name=boards)
    def engine_is_ready(self, name: str) -> None:
        self.boards[name].ready = True

    @rule(name=boards, models=st.sampled_from(["hash", "foreign"]))
    def models_change(self, name: str, models: str) -> None:
        self.boards[name].models = models

    @rule(name=boards)
    def worker_finds_the_group_broken(self, name: str) -> None:
        board = self.boards[name]
        if board.seat is not None:
            board.left, board.seat = board.seat, None

    @rule()
    def restart_leader(self) -> None:
        """The whole daemon, state and all."""
        self.state = State(order=("a", "b", "c", "d"))
        self.used: list[int] = []  # numbers of this leader's life
        self.live: int | None = None  # the group its engine is in, or joins
        self.heard: dict[str, tuple[Hello, float]] = {}
        self.leader_is_ready()

    @rule()
    def leader_engine_dies(self) -> None:
        self.live = None
        self.state = lifecycle.leader_engine(self.state, None)
        self.advance()

    @rule()
    def leader_is_ready(self) -> None:
        self.live = None
        self.lives += 1
        said = replace(LEADER, instance=f"a{self.lives}")
        self.state = lifecycle.leader_engine(self.state, said)
        self.advance()

    @precondition(lambda self: self.live is not None)
    @rule()
    def leader_has_joined(self) -> None:
        assert self.live is not None
        self.state = lifecycle.joined(self.state, self.live)
        self.advance()

    @precondition(lambda self: self.live is not None)
    @rule()
    def leader_leaves(self) -> None:
        """The group broke, did not form, or had to be left after a batch."""
        number, self.live = self.live, None
        if self.state.epoch is not None and self.state.epoch.phase != "closing":
            self.heard = {}
        self.state = lifecycle.left(self.state, number, self.now_s)
        self.advance()

    # what must hold

    def advance(self) -> None:
        before = self.state.epoch
        self.state, actions = self.step(self.state, self.now_s)
        for action in actions:
            if isinstance(action, Close):
                if action.now:
                    self.live, self.heard = None, {}
                continue
            number = action.epoch.number
            assert self.live is None, f"epoch {number} is joined while {self.live} lives"
            for name in action.epoch.ranks[1:]:
                assert self.heard[name][0].seat == number, f"{name} was not seated in {number}"
            self.live = number
        epoch = self.state.epoch
        if epoch is None or (before is not None and epoch.number == before.number):
            return
        assert epoch.number > max(self.used, default=0), f"{epoch.number} after {self.used}"
        self.used.append(epoch.number)
        assert epoch.ranks[0] == "a"
        assert self.state.leader is not None
        for name in epoch.ranks[1:]:
            said, at_s = self.heard.get(name, (None, 0.0))
            assert said is not None, f"{name} was not heard since the last loss"
            assert self.now_s - at_s <= SILENCE_S, f"{name} is silent"
            assert said.ready, f"{name} is not ready"
            assert not said.leaving, f"{name} is being stopped"
            assert said.models == self.state.leader.models, f"{name} is foreign"
            assert epoch.number > max(said.seat or 0, said.left or 0), f"{name} knows the number"

    @rule()
    def when_all_is_well_all_are_in_service_soon(self) -> None:
        for name, board in self.boards.items():
            if not board.agent or board.leaving:
                self.agent_returns(name)
            self.boards[name].ready, self.boards[name].models = True, "hash"
        if self.state.leader is None:
            self.leader_is_ready()
        self.time_passes(0.0)
        for _ in range(48):  # of 0.25 s
            self.time_passes(0.25)
            for name in self.boards:
                self.says_hello(name)
            phase = self.state.epoch.phase if self.state.epoch else None
            if self.live is not None and phase == "closing":
                self.leader_leaves()
            elif self.live is not None and phase == "forming":
                self.leader_has_joined()
            if in_service(self.state) == 4:
                return
        raise AssertionError(f"not all in service after 12 s: {self.state}")


THOROUGH = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
# a control is over with the first failure: no need to make it small
CONTROL = settings(
    THOROUGH,
    max_examples=2000,
    derandomize=True,  # a control that finds its fault once finds it always
    phases=[Phase.generate],
    report_multiple_bugs=False,
)


def test_whatever_happens_the_invariants_hold() -> None:
    run_state_machine_as_test(Simulation, settings=THOROUGH)


def hasty(state: State, now_s: float) -> tuple[State, list[Action]]:
    """A control: joins without waiting for anybody."""
    after, actions = step(state, now_s)
    if after.epoch is not None and after.epoch.phase == "offered":
        forming = replace(after.epoch, phase="forming")
        return replace(after, epoch=forming), [*actions, Join(forming)]
    return after, actions


def trusting(state: State, now_s: float) -> tuple[State, list[Action]]:
    """A control: nobody is ever silent."""
    fresh = {name: replace(member, seen_s=now_s) for name, member in state.members.items()}
    return step(replace(state, members=fresh), now_s)


def credulous(state: State, now_s: float) -> tuple[State, list[Action]]:
    """A control: every board is ready and serves the right models."""
    believed = {
        name: replace(member, hello=replace(member.hello, ready=True, models=MODELS))
        for name, member in state.members.items()
    }
    return step(replace(state, members=believed), now_s)


def insistent(state: State, now_s: float) -> tuple[State, list[Action]]:
    """A control: a board that is being stopped is asked to stay."""
    stays = {
        name: replace(member, hello=replace(member.hello, leaving=False))
        for name, member in state.members.items()
    }
    return step(replace(state, members=stays), now_s)


def forgetful(state: State, now_s: float) -> tuple[State, list[Action]]:
    """A control: numbers are used again."""
    return step(replace(state, last_number=0), now_s)


def deaf(state: State, said: Hello, now_s: float) -> State:
    """A control: a restarted leader does not ask which numbers have been used."""
    return replace(lifecycle.hello(state, said, now_s), last_number=state.last_number)


def stuck(state: State, now_s: float) -> tuple[State, list[Action]]:
    """A control: no epoch is closed to let a board in."""
    after, actions = step(state, now_s)
    if any(isinstance(action, Close) and not action.now for action in actions):
        return state, []
    return after, actions


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (hasty, "was not seated"),
        (trusting, "is silent"),
        (credulous, "is not ready|is foreign"),
        (forgetful, "after|knows the number"),
        (insistent, "is being stopped"),
        (stuck, "not all in service"),
    ],
)
def test_control_a_faulty_step_is_found(fault: object, complaint: str) -> None:
    faulty = type("Faulty", (Simulation,), {"step": staticmethod(fault)})  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match=complaint):
        run_state_machine_as_test(faulty, settings=CONTROL)


def test_control_a_leader_that_reuses_its_predecessors_numbers_is_found() -> None:
    faulty = type("Faulty", (Simulation,), {"hear": staticmethod(deaf)})
    with pytest.raises(AssertionError, match="knows the number"):
        run_state_machine_as_test(faulty, settings=CONTROL)

"""Whatever is switched to and whenever the power goes: the board serves the new release or the one
before, and ends up there by itself."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest

from boards import standin
from boards.desk import Desk
from boards.machine import Board
from boards.rootfs import PASSWORD, USER
from boards.standin import links, serving
from prism_edge.deploy import paths
from prism_edge.deploy.again import Move, restart, rollback
from prism_edge.deploy.apply import apply
from prism_edge.deploy.hosts import connect
from prism_edge.deploy.locks import held
from prism_edge.deploy.runner import Runner
from prism_edge.deploy.step import Activate
from prism_edge.errors import ClusterError

pytestmark = [pytest.mark.boards, pytest.mark.timeout(300)]
PROGRAMS = {
    "good-1": standin.GOOD,
    "good-2": standin.GOOD,
    "fails": standin.FAILS,
    "dies": standin.DIES,
    "hangs": standin.HANGS,
}


@pytest.fixture
def board(desk: Desk) -> Iterator[Board]:
    """It serves good-1, and the other releases are there."""
    board = desk.boards[0]
    standin.clear(board)
    standin.furnish(board)
    for name, program in PROGRAMS.items():
        standin.lay(board, name, program)
    board.sh(f"{paths.ACTIVATE} good-1")
    assert serving(board) == "good-1"
    yield board
    standin.clear(board)


@pytest.fixture
def runner(board: Board) -> Iterator[Runner]:
    with connect(board.settings(USER), password=lambda: PASSWORD) as runner:
        yield runner


def activate(runner: Runner, release: str) -> None:
    apply(Activate(why="test", id=release, old="good-1"), runner)


def begin(board: Board, release: str) -> None:
    """The switch is under way on the board, and nobody waits for it."""
    board.sh(f"systemd-run --quiet --collect --unit=test {paths.ACTIVATE} {release}")


def switched(board: Board, release: str) -> None:
    """Once it is what the board is about to serve."""
    until_s = time.monotonic() + 60
    while links(board).get("current") != release:
        assert time.monotonic() < until_s
        time.sleep(0.02)


def lose_power(board: Board) -> None:
    board.power_off()
    board.power_on()
    board.booted()


def test_a_good_release_serves_and_the_one_before_is_kept_in_mind(
    board: Board, runner: Runner
) -> None:
    activate(runner, "good-2")
    assert serving(board) == "good-2"
    assert links(board) == {"current": "good-2", "previous": "good-1"}
    lose_power(board)
    assert serving(board) == "good-2"


@pytest.mark.parametrize(
    ("release", "words"),
    [("fails", "no engine here"), ("dies", "prove healthy"), ("hangs", "timeout was exceeded")],
)
def test_a_bad_release_is_taken_back_by_the_board_itself(
    board: Board, runner: Runner, release: str, words: str
) -> None:
    with pytest.raises(ClusterError, match=words) as raised:
        activate(runner, release)
    assert "board edge-1" in str(raised.value)
    assert "release good-1 serves again" in str(raised.value)
    assert serving(board) == "good-1"
    assert links(board) == {"current": "good-1"}


def test_a_bad_first_release_leaves_nothing(board: Board, runner: Runner) -> None:
    standin.clear(board)
    standin.furnish(board)
    standin.lay(board, "fails", standin.FAILS)
    with pytest.raises(ClusterError, match="none serves now"):
        activate(runner, "fails")
    assert links(board) == {}
    assert not (board.root / paths.UNIT_FILE[1:]).exists()
    lose_power(board)  # nothing is tried at boot either


def test_a_release_that_is_not_there_changes_nothing(board: Board, runner: Runner) -> None:
    with pytest.raises(ClusterError, match="there is no release never"):
        activate(runner, "never")
    assert serving(board) == "good-1"


@pytest.mark.slow
def test_the_board_goes_on_when_the_laptop_is_lost(board: Board, runner: Runner) -> None:
    """And the laptop learns what came of it when it is back."""
    begun = threading.Event()
    raised: list[ClusterError] = []

    def switch() -> None:
        try:
            step = Activate(why="test", id="hangs", old="good-1")
            apply(step, runner, lambda text: begun.set())
        except ClusterError as error:
            raised.append(error)

    laptop = threading.Thread(target=switch)
    laptop.start()
    assert begun.wait(60)
    board.cut()
    try:
        until_s = time.monotonic() + 60
        while links(board) != {"current": "good-1"}:
            assert time.monotonic() < until_s
            time.sleep(0.1)
        time.sleep(20)  # longer than a silent board is waited for
    finally:
        board.mend()
    laptop.join(120)
    assert "release good-1 serves again" in str(raised[0])


@pytest.mark.parametrize("latest_s", [0.4, 5.0])
def test_power_lost_at_any_moment_of_a_switch(board: Board, latest_s: float) -> None:
    """The moments of the first part second are those in which files change."""
    moments = random.Random(5)
    now = "good-1"
    for new in ("good-2", "fails", "good-1", "hangs", "good-2", "fails"):
        if new == now:
            continue
        begin(board, new)
        time.sleep(moments.uniform(0, latest_s))
        lose_power(board)
        found = links(board)
        assert "pending" not in found, (now, new)
        assert serving(board) == found["current"], (now, new)
        assert found["current"] in {now, new} - {"fails", "hangs"}, (now, new)
        now = found["current"]


def test_without_settling_a_power_cut_would_leave_a_bad_release(board: Board) -> None:
    begin(board, "hangs")
    switched(board, "hangs")
    board.power_off()
    wants = board.root / "etc/systemd/system/multi-user.target.wants"
    (wants / "prism-edge-settle.service").unlink()
    board.power_on()
    until_s = time.monotonic() + 60
    while board.state() not in ("running", "degraded"):
        assert time.monotonic() < until_s
    assert serving(board) == ""
    assert links(board)["pending"] == "hangs"
    board.sh(f"{paths.ACTIVATE} --settle; systemctl restart {paths.UNIT}")
    assert serving(board) == "good-1"


def test_a_switch_that_was_killed_is_taken_back_by_the_next(board: Board, runner: Runner) -> None:
    begin(board, "hangs")
    switched(board, "hangs")
    board.sh("systemctl kill --signal=KILL test.service")
    until_s = time.monotonic() + 60
    while board.sh("systemctl is-active test.service", check=False).strip() == "active":
        assert time.monotonic() < until_s
    activate(runner, "good-2")
    assert links(board) == {"current": "good-2", "previous": "good-1"}


def test_two_switches_at_once_are_one(board: Board, runner: Runner) -> None:
    begin(board, "hangs")
    switched(board, "hangs")
    with pytest.raises(ClusterError, match="another switch is under way"):
        activate(runner, "good-2")


def test_a_switch_that_was_taken_back_is_not_what_a_rollback_goes_to(
    board: Board, runner: Runner
) -> None:
    back = Activate(why="test", id="good-1", old="good-2", back=True)
    with pytest.raises(ClusterError, match="no switch to take back"):
        apply(back, runner)
    standin.lay(board, "good-0", standin.GOOD)
    activate(runner, "good-0")
    activate(runner, "good-1")
    activate(runner, "good-2")
    apply(back, runner)
    assert links(board) == {"current": "good-1", "previous": "good-0"}
    assert serving(board) == "good-1"
    with pytest.raises(ClusterError, match="no switch to take back"):
        apply(back, runner)


def test_restart_and_rollback(board: Board, runner: Runner) -> None:
    said: list[str] = []

    def tell(name: str, text: str) -> None:
        said.append(f"{name}: {text}")

    def opened(_: object) -> Runner:
        return connect(board.settings())

    boards = (board.settings(),)
    (none,) = rollback(boards, opened, "test", tell)
    assert "no release before good-1" in str(none.error)
    pid = board.sh(f"systemctl show --property=MainPID {paths.UNIT}")
    (again,) = restart(boards, opened, "test", tell)
    assert again.value == Move(old="good-1", new="good-1")
    assert board.sh(f"systemctl show --property=MainPID {paths.UNIT}") != pid
    activate(runner, "good-2")
    (back,) = rollback(boards, opened, "test", tell)
    assert back.value == Move(old="good-2", new="good-1")
    assert serving(board) == "good-1"
    assert "edge-1: good-2 -> good-1" in said


def test_a_second_deploy_is_told_who_is_there(board: Board, runner: Runner) -> None:
    with (
        connect(board.settings()) as other,
        held(runner, "ann on desk-1"),
        pytest.raises(ClusterError, match=r"ann on desk-1 has been deploying to it since 20\d\d-"),
        held(other, "bob"),
    ):
        pass
    with held(runner, "bob"):
        pass


@pytest.mark.parametrize("sign", ["boot", "silence"])
def test_a_lock_that_nobody_renews_is_free(board: Board, runner: Runner, sign: str) -> None:
    boot = board.sh("cat /proc/sys/kernel/random/boot_id").strip()
    up = int(float(board.sh("cat /proc/uptime").split()[0]))
    if sign == "boot":  # boards of a test share this machine's, so another one is made up
        boot = "0" + boot[1:] if boot[0] != "0" else "1" + boot[1:]
    else:
        up -= 61
    lock = f"{boot} {up} 0123456789abcdef 2026-01-01T00:00:00Z\nann\n"
    standin.write(board, paths.LOCK, lock)
    with held(runner, "bob"):
        assert board.sh(f"tail -n 1 {paths.LOCK}") == "bob\n"

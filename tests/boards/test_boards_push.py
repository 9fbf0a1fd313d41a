"""From a clean Debian to a served request, to another release, back, and through power cuts.

The tests are one story: each begins where the one before it ended, with two boards that serve.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path

import checkpoints
import numpy as np
import pytest

from boards.desk import Desk
from boards.laptop import Laptop, broken, bundle
from boards.machine import Board
from prism_edge.errors import PrismError
from prism_edge.serve.oip_client import Daemon, Reply

pytestmark = [pytest.mark.boards, pytest.mark.slow, pytest.mark.timeout(900)]
VOLTAGE = "voltage:p=2,dtype=fp32"
PIXELS = np.random.default_rng(1).integers(0, 256, (1, 3, 32, 32), dtype=np.uint8)
READY_S = 120.0


@pytest.fixture(scope="module")
def goods() -> Path:
    return bundle()


@pytest.fixture(scope="module")
def laptop(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    directory = tmp_path_factory.mktemp("laptop")
    checkpoints.write(directory / "model", *checkpoints.vit())
    found = Laptop(directory=directory, desk=desk)
    found.write()
    return found


def ask(laptop: Laptop, plan: str, patience_s: float = 0.0) -> Reply:
    """The leader's answer under ``plan``, as soon as it gives one."""
    until_s = time.monotonic() + patience_s
    token = (laptop.directory / "token").read_text().strip()
    with Daemon(f"http://{laptop.desk.boards[0].address}:8000", token=token) as daemon:
        while True:
            try:
                reply = daemon.infer("net", {"pixel_values": PIXELS}, {"plan": plan})
                if reply.parameters["plan"] == plan:
                    return reply
                why = str(reply.parameters["why"])
            except PrismError as error:
                why = str(error)
            assert time.monotonic() < until_s, why
            time.sleep(0.5)


def serves_together(laptop: Laptop, patience_s: float = READY_S) -> None:
    together = ask(laptop, VOLTAGE, patience_s).outputs["logits"]
    assert np.abs(together - ask(laptop, "local").outputs["logits"]).max() < 1e-4


def current(board: Board) -> str:
    return board.sh("basename $(readlink /opt/prism-edge/current)").strip()


def releases(board: Board) -> set[str]:
    return set(board.sh("ls /opt/prism-edge/releases").split())


def asked_for(did: dict[str, object]) -> object:
    return [step["step"] for step in did["steps"]]  # type: ignore[attr-defined]


def test_a_first_push_does_what_a_dry_run_said(laptop: Laptop, goods: Path) -> None:
    planned = laptop.push(goods, "--dry-run")
    assert planned.code == 2, planned.err
    assert laptop.desk.boards[0].files("/opt/prism-edge") == 0
    begun_s = time.monotonic()
    did = laptop.push(goods)
    print(f"first push: {time.monotonic() - begun_s:.1f} s")
    assert (did.code, did.states()) == (0, {"edge-1": "changed", "edge-2": "changed"}), did.said
    for name, board in did.boards.items():
        assert asked_for(board) == asked_for(planned.boards[name])
    for board in laptop.desk.boards:
        assert board.sh("systemctl is-active prism-edge") == "active\n"
        assert board.sh("systemctl is-enabled prism-edge") == "enabled\n"
    serves_together(laptop)


def test_the_watchdog_is_fed(laptop: Laptop) -> None:
    show = "systemctl show -p WatchdogTimestampMonotonic --value prism-edge"
    board = laptop.desk.boards[0]
    before = int(board.sh(show))
    until_s = time.monotonic() + 60
    while int(board.sh(show)) <= before:
        assert time.monotonic() < until_s
        time.sleep(1)


def test_a_second_push_changes_nothing(laptop: Laptop, goods: Path) -> None:
    begun_s = time.monotonic()
    pids = [board.sh("systemctl show -p MainPID prism-edge") for board in laptop.desk.boards]
    for more in [], ["--dry-run"]:
        did = laptop.push(goods, *more)
        assert did.code == 0, did.said
        assert [board["changed"] for board in did.boards.values()] == [0, 0]
    print(f"a push and a dry run without changes: {time.monotonic() - begun_s:.1f} s")
    assert pids == [b.sh("systemctl show -p MainPID prism-edge") for b in laptop.desk.boards]


def test_a_second_release_shares_what_is_there_and_can_be_taken_back(
    laptop: Laptop, goods: Path
) -> None:
    boards = laptop.desk.boards
    first = [current(board) for board in boards]
    laptop.write(more="[policy]\nhysteresis = 0.1\n")
    begun_s = time.monotonic()
    did = laptop.push(goods)
    print(f"second release: {time.monotonic() - begun_s:.1f} s")
    assert did.code == 0, did.said
    second = [current(board) for board in boards]
    assert not set(first) & set(second)
    assert boards[0].sh("ls /opt/prism-edge/environments").count("\n") == 1
    serves_together(laptop)
    begun_s = time.monotonic()
    back = laptop.deploy("rollback")
    print(f"rollback: {time.monotonic() - begun_s:.1f} s")
    assert back.code == 0, back.said
    assert [current(board) for board in boards] == first
    serves_together(laptop)


def test_a_release_that_cannot_serve_goes_back_by_itself(
    laptop: Laptop, goods: Path, tmp_path: Path
) -> None:
    boards = laptop.desk.boards
    before = [current(board) for board in boards]
    did = laptop.push(broken(goods, tmp_path / "broken"))
    assert did.code == 1
    assert did.states() == {"edge-1": "prepared", "edge-2": "failed"}, did.said
    assert "broken on purpose" in did.boards["edge-2"]["error"], did.said
    assert [current(board) for board in boards] == before
    serves_together(laptop)


def switching(laptop: Laptop, goods: Path, change: float) -> subprocess.Popen[str]:
    """A push of a new release that has come to the switch of its canary, edge-2."""
    laptop.write(more=f"[policy]\nhysteresis = {change}\n")
    process = laptop.start("push", "--bundle", str(goods))
    until_s = time.monotonic() + 300
    while not pending(laptop.desk.boards[1]):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until_s
        time.sleep(0.02)
    return process


def pending(board: Board) -> bool:
    return (board.root / "opt/prism-edge/pending").exists()


def test_a_board_without_power_during_the_switch_serves_the_old_release(
    laptop: Laptop, goods: Path
) -> None:
    canary = laptop.desk.boards[1]
    before = [current(board) for board in laptop.desk.boards]
    process = switching(laptop, goods, 0.2)
    canary.power_off()
    canary.power_on()
    did = laptop.finish(process)
    canary.booted()
    assert did.code == 1, did.said
    assert not did.boards["edge-2"]["ok"], did.said
    assert [current(board) for board in laptop.desk.boards] == before, did.said
    assert not pending(canary)
    serves_together(laptop)


def test_ctrl_c_during_the_switch_takes_it_back(laptop: Laptop, goods: Path) -> None:
    before = [current(board) for board in laptop.desk.boards]
    process = switching(laptop, goods, 0.25)
    process.send_signal(signal.SIGINT)
    did = laptop.finish(process)
    assert did.code == 130, did.said
    assert [current(board) for board in laptop.desk.boards] == before, did.said
    serves_together(laptop)


def test_a_laptop_that_vanishes_leaves_boards_that_serve(laptop: Laptop, goods: Path) -> None:
    process = switching(laptop, goods, 0.27)
    process.kill()
    process.communicate()
    until_s = time.monotonic() + READY_S
    while pending(laptop.desk.boards[1]):
        assert time.monotonic() < until_s
        time.sleep(0.5)
    serves_together(laptop)
    while (did := laptop.push(goods)).code:  # its lock stays for a minute
        errors = [board["error"] for board in did.boards.values() if board["state"] == "failed"]
        assert all("deploying to it since" in error for error in errors), did.said
        assert time.monotonic() < until_s
    serves_together(laptop)


def begun(models: Path) -> bool:
    """A large file is being copied there."""
    with contextlib.suppress(FileNotFoundError):  # one that is done meanwhile
        return any(path.stat().st_size > 1_000_000 for path in models.rglob("*.part"))
    return False


def test_a_board_without_power_during_the_copy_serves_the_old_release(
    laptop: Laptop, goods: Path
) -> None:
    canary = laptop.desk.boards[1]
    before = [current(board) for board in laptop.desk.boards]
    wide = checkpoints.vit(hidden_size=768, num_hidden_layers=8, intermediate_size=3072)
    checkpoints.write(laptop.directory / "wide", *wide)
    model = '[[models]]\nname = "wide"\npath = "wide"\n'
    laptop.write(more=model)
    process = laptop.start("push", "--bundle", str(goods))
    models = canary.root / "var/lib/prism-edge/models"
    until_s = time.monotonic() + 300
    while not begun(models):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until_s
        time.sleep(0.02)
    canary.power_off()
    did = laptop.finish(process)
    assert did.code == 1, did.said
    assert "lost" in did.boards["edge-2"]["error"], did.said
    canary.power_on()
    canary.booted()
    assert current(canary) == before[1]
    assert canary.sh("systemctl is-active prism-edge") == "active\n"
    did = laptop.push(goods)
    assert did.code == 0, did.said
    assert not [path.name for path in models.rglob("*.part")]
    serves_together(laptop)


def test_a_board_that_boots_is_back_in_the_cluster_by_itself(laptop: Laptop) -> None:
    for board in reversed(laptop.desk.boards):
        board.power_off()
        board.power_on()
        board.booted()
        begun_s = time.monotonic()
        serves_together(laptop)
        print(f"{board.name} is back {time.monotonic() - begun_s:.1f} s after its boot")


def test_two_pushes_at_once_do_not_meet(laptop: Laptop, goods: Path) -> None:
    laptop.write(more="[policy]\nhysteresis = 0.3\n")
    processes = [laptop.start("push", "--bundle", str(goods)) for _ in range(2)]
    done = sorted((laptop.finish(process) for process in processes), key=lambda did: did.code)
    assert done[0].code in (0, 1)
    refused = [
        board["error"]
        for did in done
        for board in did.boards.values()
        if board["error"] is not None
    ]
    assert refused
    said = ("deploying", "cannot be asked")  # each may have got one board, and the leader be taken
    assert all(any(word in error for word in said) for error in refused), refused
    # boards with releases of different models do not form a group: whoever pushes next mends that
    assert laptop.push(goods).code == 0
    serves_together(laptop)


def test_an_unknown_key_stops_one_board_only(laptop: Laptop, goods: Path, tmp_path: Path) -> None:
    text = (laptop.desk.directory / "ssh_config").read_text()
    (tmp_path / "known_hosts").write_text("")
    known = f"{laptop.desk.directory}/known_hosts"
    (tmp_path / "ssh_config").write_text(text.replace(known, f"{tmp_path}/known_hosts"))
    laptop.write(more="[policy]\nhysteresis = 0.4\n", ssh={"edge-2": f"{tmp_path}/ssh_config"})
    did = laptop.push(goods)
    assert did.code == 1
    assert did.states() == {"edge-1": "changed", "edge-2": "failed"}, did.said
    assert "its host key is not known here, SHA256:" in did.boards["edge-2"]["error"]
    serves_together(laptop)


def test_a_wrong_password_changes_nothing(laptop: Laptop, goods: Path) -> None:
    laptop.write(more="[policy]\nhysteresis = 0.5\n")
    before = [current(board) for board in laptop.desk.boards]
    did = laptop.push(goods, password="wrong")
    assert did.states() == {"edge-1": "failed", "edge-2": "failed"}, did.said
    for board in did.boards.values():
        assert "sudo does not take this password" in board["error"]
    assert [current(board) for board in laptop.desk.boards] == before


def test_what_is_kept_is_bounded(laptop: Laptop, goods: Path) -> None:
    laptop.write(more="[policy]\nhysteresis = 0.6\n")
    assert laptop.push(goods).code == 0
    for board in laptop.desk.boards:
        assert len(releases(board)) <= 3
        assert current(board) in releases(board)

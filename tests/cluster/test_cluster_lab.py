"""Real labs in real namespaces, as root and through a user namespace."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_traffic import receiver_on, send_argv

from prism_edge.cluster import build, network, processes
from prism_edge.cluster.lab import Lab
from prism_edge.cluster.local import LocalHost, kill_group
from prism_edge.cluster.modes import obstacle
from prism_edge.cluster.state import Mode
from prism_edge.cluster.step import Step, run_step
from prism_edge.energy.tegrastats import parse
from prism_edge.errors import LabError

pytestmark = pytest.mark.lab


@pytest.fixture(params=["root", "rootless"])
def mode(request: pytest.FixtureRequest) -> Mode:
    mode: Mode = request.param
    refused = obstacle(mode)
    if refused is not None:
        pytest.skip(refused)
    return mode


@pytest.fixture
def lab(mode: Mode, tmp_path: Path) -> Iterator[Lab]:
    lab = Lab.up("t", 2, 100e6, mode=mode, root=tmp_path)
    try:
        yield lab
    finally:
        lab.down()


def interfaces() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def python(host: LocalHost, code: str) -> str:
    done = host.run([sys.executable, "-c", code], 60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# -- what a board is ---------------------------------------------------------------------------


def test_boards_and_laptop_reach_each_other(lab: Lab) -> None:
    one, two = lab.hosts()
    for target, sources in [(two, [one, lab.laptop()]), (lab.laptop(), [one, two])]:
        with receiver_on(target) as port:
            for source in sources:
                done = source.run(send_argv(target.address, port, 1000, 1), 60)
                assert done.returncode == 0, done.stderr


def test_a_board_has_no_way_out(lab: Lab) -> None:
    """Unreachable by the board's own routes; the other board answers: refused, but there."""
    board = lab.hosts()[0]
    peer = lab.hosts()[1].address
    code = (
        "import socket, sys\n"
        "s = socket.socket(); s.settimeout(60)\n"
        "print(s.connect_ex((sys.argv[1], 9)))"
    )

    def connect(address: str) -> int:
        return int(board.run([sys.executable, "-c", code, address], 60).stdout)

    assert connect("198.51.100.1") == errno.ENETUNREACH
    assert connect(peer) == errno.ECONNREFUSED


def test_a_board_has_one_core_and_its_own_loopback(lab: Lab) -> None:
    code = "import os; print(*sorted(os.sched_getaffinity(0)))"
    for host, board in zip(lab.hosts(), lab.state.boards, strict=True):
        assert python(host, code) == str(board.core)
        assert python(host, "import socket; socket.create_server(('127.0.0.1', 9)).close()") == ""


def test_two_labs_live_side_by_side(lab: Lab, mode: Mode, tmp_path: Path) -> None:
    other = Lab.up("other", 1, 1e6, mode=mode, root=tmp_path)
    try:
        assert other.state.subnet != lab.state.subnet
        for each in (lab, other):
            assert each.hosts()[0].run(["true"], 60).returncode == 0
        with receiver_on(lab.hosts()[0]) as port:
            stranger = other.hosts()[0].run(send_argv(lab.hosts()[0].address, port, 9, 1), 60)
            assert stranger.returncode == 1
            assert "unreachable" in stranger.stderr
    finally:
        other.down()
    assert lab.hosts()[0].run(["true"], 60).returncode == 0


def test_power_is_printed_as_a_jetson_does_and_follows_the_boards_own_work(lab: Lab) -> None:
    """Found on PATH; the busy board draws more than the idle one, whatever else runs."""
    busy, idle = lab.hosts()
    with contextlib.ExitStack() as stack:

        def start(host: LocalHost, *argv: str) -> subprocess.Popen[bytes]:
            pipe = subprocess.PIPE
            process = stack.enter_context(host.popen(argv, stdout=pipe, stderr=pipe))
            stack.callback(kill_group, process)
            return process

        start(busy, sys.executable, "-c", "while True: pass")
        meters = [start(host, "tegrastats", "--interval", "100") for host in (busy, idle)]
        more_mw, pairs = 0.0, 0  # all in all: how much of the core it gets is others' business
        while more_mw < 10_000:
            assert pairs < 300, more_mw
            pairs += 1
            for meter, sign in zip(meters, (1, -1), strict=True):
                assert meter.stdout is not None
                reading = parse(meter.stdout.readline().decode())
                assert reading is not None
                more_mw += sign * reading.rails_mw["VDD_IN"]
        assert meters[0].stderr is not None
        assert b"MODELLED" in meters[0].stderr.readline()


# -- links -------------------------------------------------------------------------------------


def transfer_s(host: LocalHost, address: str, port: int, size: int) -> float:
    """The best of three: what else the machine does can only slow a transfer down."""
    done = host.run(send_argv(address, port, size, 3), 60)
    assert done.returncode == 0, done.stderr
    return min(map(float, done.stdout.split()))


def test_a_transfer_takes_what_its_rate_says(lab: Lab) -> None:
    """Never less; and no more, as soon as the machine has nothing else to do for a moment."""
    one, two = lab.hosts()
    least_s, most_s = 0.4, 0.46
    with receiver_on(two) as port:
        for rate_bps in (100e6, 20e6):
            lab.set_link("edge-1", rate_bps=rate_bps)
            took_s = math.inf
            while took_s > most_s:
                took_s = transfer_s(one, two.address, port, round(least_s * rate_bps / 8))
                assert took_s > least_s


def test_the_slower_end_decides_in_both_directions(lab: Lab) -> None:
    """edge-2's downlink slows what edge-1 sends; its uplink slows what it answers."""
    one, two = lab.hosts()
    lab.set_link("edge-2", rate_bps=5e6)
    for source, target in [(one, two), (two, one)]:
        with receiver_on(target) as port:
            assert transfer_s(source, target.address, port, 125_000) > 125_000 * 8 / 5e6 * 0.9


ECHO_CLIENT = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
for line in sys.stdin:
    size, patience_s = line.split()
    s.settimeout(float(patience_s))
    try:
        if int(size):
            s.sendall(int(size).to_bytes(8, "big") + bytes(int(size)))
        s.recv(1)
        print("answered", flush=True)
    except TimeoutError:
        print("silence", flush=True)
"""


@contextlib.contextmanager
def connection(lab: Lab) -> Iterator[subprocess.Popen[bytes]]:
    """One TCP connection from edge-1 to edge-2 that lives as long as the test."""
    one, two = lab.hosts()
    pipe = subprocess.PIPE
    with receiver_on(two) as port:
        argv = [sys.executable, "-c", ECHO_CLIENT, two.address, str(port)]
        with one.popen(argv, stdin=pipe, stdout=pipe) as client:
            try:
                yield client
            finally:
                kill_group(client)


def say(client: subprocess.Popen[bytes], size: int, patience_s: float) -> None:
    assert client.stdin is not None
    client.stdin.write(f"{size} {patience_s}\n".encode())
    client.stdin.flush()


def hear(client: subprocess.Popen[bytes]) -> str:
    assert client.stdout is not None
    return client.stdout.readline().decode().strip()


def test_an_unplugged_board_is_silent_and_goes_on_when_plugged_in(lab: Lab) -> None:
    with connection(lab) as client:
        say(client, 1000, 60)
        assert hear(client) == "answered"
        lab.set_link("edge-2", up=False)
        assert not Lab.load("t", root=lab.directory.parent).state.board("edge-2").link.up
        say(client, 1000, 0.6)
        assert hear(client) == "silence"
        lab.set_link("edge-2", up=True)
        say(client, 0, 60)  # the same bytes on the same connection, sent again by TCP
        assert hear(client) == "answered"


def sent_bytes(host: LocalHost) -> int:
    """What has left the board by its cable so far."""
    lines = host.run(["cat", "/proc/net/dev"], 60).stdout.splitlines()
    (cable,) = (line.split() for line in lines if line.split()[0] == "eth0:")
    return int(cable[9])


def test_a_rate_changes_under_a_running_transfer(lab: Lab) -> None:
    """4 MB at 100 kbit/s would take 320 s; the link is opened when it has begun."""
    lab.set_link("edge-1", rate_bps=100e3)
    board = lab.hosts()[0]
    with connection(lab) as client:
        say(client, 1000, 60)
        assert hear(client) == "answered"
        before = sent_bytes(board)
        say(client, 4_000_000, 100)
        while sent_bytes(board) < before + 5000:
            assert client.poll() is None
        lab.set_link("edge-1", rate_bps=200e6)
        assert hear(client) == "answered"


# -- life --------------------------------------------------------------------------------------


def test_down_leaves_nothing(mode: Mode, tmp_path: Path) -> None:
    """Not even a process that hid its marker, one that ignores SIGTERM, or a frozen one."""
    lab = Lab.up("t", 2, 100e6, mode=mode, root=tmp_path)
    host = lab.hosts()[0]
    cable = network.laptop_interface(lab.state)
    deaf = "import signal; signal.signal(15, 1); print('ready', flush=True); signal.pause()"
    with contextlib.ExitStack() as stack:

        def start(*argv: str) -> subprocess.Popen[bytes]:
            process = stack.enter_context(host.popen(argv, stdout=subprocess.PIPE))
            stack.callback(kill_group, process)
            return process

        hidden = start("env", "-i", sys.executable, "-c", deaf)
        frozen = start(sys.executable, "-c", deaf)
        for process in (hidden, frozen):
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        frozen.send_signal(signal.SIGSTOP)
        assert {hidden.pid, frozen.pid} <= build.lab_processes(lab.state)
        assert lab.status().boards[0].processes == 2
        assert (cable in interfaces()) == (mode == "root")

        lab.down()

        assert [hidden.wait(60), frozen.wait(60)] == [-signal.SIGKILL] * 2
    assert build.lab_processes(lab.state) == set()
    assert all(processes.stat(k.pid) is None for k in lab.state.keepers().values() if k)
    assert cable not in interfaces()
    assert list(tmp_path.iterdir()) == []
    lab.down()
    assert Lab.remove("t", root=tmp_path) is False
    with pytest.raises(LabError, match="no lab 't'"):
        Lab.load("t", root=tmp_path)


def test_a_lab_is_not_built_over(lab: Lab, mode: Mode) -> None:
    with pytest.raises(LabError, match="lab down --name t"):
        Lab.up("t", 2, 1e6, mode=mode, root=lab.directory.parent)
    assert lab.status().problem is None
    assert Lab.load("t", root=lab.directory.parent).state == lab.state


SUICIDE = """
import os, signal, sys
from pathlib import Path
from prism_edge.cluster.lab import Lab
from prism_edge.cluster.step import run_step
left = int(sys.argv[2])
def run(step):
    global left
    said = run_step(step)
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return said
Lab.up("t", 2, 1e6, mode=sys.argv[1], root=Path(sys.argv[3]), run=run)
"""


@pytest.mark.parametrize("survived", [0, 1, 3, 9, 20])
def test_what_a_killed_up_has_left_is_removed(mode: Mode, survived: int, tmp_path: Path) -> None:
    """Killed right after a step, before it could note what the step made."""
    argv = [sys.executable, "-c", SUICIDE, mode, str(survived), str(tmp_path)]
    assert subprocess.run(argv, timeout=60).returncode == -signal.SIGKILL
    half = Lab.load("t", root=tmp_path)
    left = build.lab_processes(half.state)
    assert len(left) == min(survived + 1, 3)
    with pytest.raises(LabError, match="building was interrupted"):
        half.hosts()
    with pytest.raises(LabError, match="exists already"):
        Lab.up("t", 2, 1e6, mode=mode, root=tmp_path)
    assert Lab.remove("t", root=tmp_path) is True
    assert build.lab_processes(half.state) == set()
    assert network.laptop_interface(half.state) not in interfaces()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [LabError("no"), KeyboardInterrupt()])
def test_an_up_that_fails_removes_what_it_made(
    mode: Mode, wrong: BaseException, tmp_path: Path
) -> None:
    made: list[Step] = []
    found: list[int] = []

    def run(step: Step) -> str:
        if "tbf" in step.argv:
            found.extend(build.lab_processes(Lab.load("t", root=tmp_path).state))
            raise wrong
        made.append(step)
        return run_step(step)

    with pytest.raises(type(wrong)):
        Lab.up("t", 2, 1e6, mode=mode, root=tmp_path, run=run)
    assert len(made) > 10
    assert len(found) == 3
    assert all(processes.stat(pid) is None for pid in found)
    assert list(tmp_path.iterdir()) == []


def test_a_lab_that_lost_a_board_says_so_and_goes_down(lab: Lab) -> None:
    keeper = lab.state.boards[1].keeper
    assert keeper is not None
    os.kill(keeper.pid, signal.SIGKILL)
    while processes.stat(keeper.pid):
        time.sleep(0.01)
    assert lab.status().problem == "the process that held edge-2 is gone"
    with pytest.raises(LabError, match="held edge-2 is gone; `prism-edge lab down --name t`"):
        lab.set_link("edge-1", rate_bps=1e6)
    lab.down()
    assert build.lab_processes(lab.state) == set()


# -- privileges --------------------------------------------------------------------------------

# Root without a single privilege but the one it takes to be mapped to root of a namespace; an
# ordinary user needs none, but may not be able to read this Python.
POWERLESS = ("setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all")
STRANGER = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="every test is without privileges then")


@only_root
def test_the_command_line_works_without_privileges(tmp_path: Path) -> None:
    refused = obstacle("rootless")
    if refused is not None:
        pytest.skip(refused)

    def prism_edge(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*POWERLESS, sys.executable, "-m", "prism_edge", "lab", *argv],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
        )

    before = interfaces()
    try:
        up = prism_edge("up", "--rate", "20mbit", "--json")
        assert up.returncode == 0, up.stderr
        assert "mode rootless, because" in up.stderr
        status = json.loads(up.stdout)
        assert (status["mode"], status["problem"]) == ("rootless", None)
        address = status["boards"][0]["address"]
        asked = prism_edge("exec", "edge-1", "--", "ip", "-br", "-4", "addr", "show", "eth0")
        assert address in asked.stdout
        assert prism_edge("exec", "edge-2", "--", "sh", "-c", "exit 7").returncode == 7
        assert prism_edge("link", "edge-1", "--down").stdout == "edge-1: 20mbit, down\n"
        carrier = prism_edge("exec", "edge-1", "--", "ip", "-br", "link", "show", "eth0").stdout
        assert "NO-CARRIER" in carrier
        assert status["laptop_address"] in prism_edge("exec", "laptop", "--", "ip", "addr").stdout
        assert interfaces() - before == set()
    finally:
        down = prism_edge("down")
    assert down.returncode == 0, down.stderr
    assert list((tmp_path / "prism-edge" / "labs").iterdir()) == []


STRANGERS_LAB = """
from pathlib import Path
from prism_edge.cluster import build
from prism_edge.cluster.lab import Lab
import os, sys
assert os.getuid() == 65534
lab = Lab.up("t", 2, 20e6, root=Path(sys.argv[1]))
try:
    assert lab.state.mode == "rootless"
    one, two = lab.hosts()
    reply = one.run(["ip", "route", "get", two.address], 60)
    assert "eth0" in reply.stdout, reply
    lab.set_link("edge-2", rate_bps=1e6, up=False)
    assert len(build.lab_processes(lab.state)) == 3
finally:
    lab.down()
assert build.lab_processes(lab.state) == set()
print("fine")
"""


@only_root
def test_another_user_has_labs_too(tmp_path: Path) -> None:
    refused = obstacle("rootless")
    if refused is not None:
        pytest.skip(refused)
    package = str(Path(build.__file__).parents[2])
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": package, "HOME": "/nonexistent"}
    readable = [
        python
        for python in (sys.executable, shutil.which("python3", path="/usr/bin"))
        if python
        and subprocess.run(
            [*STRANGER, python, "-c", "import prism_edge.cluster.lab"],
            env=environment,
            cwd="/",
            capture_output=True,
        ).returncode
        == 0
    ]
    if not readable:
        pytest.skip("no Python that another user may run")
    root = tmp_path / "labs"
    root.mkdir()
    os.chown(root, 65534, 65534)
    for parent in (root, *root.parents):
        if parent.owner() == "root" and parent != Path("/tmp") and str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o711)
    done = subprocess.run(
        [*STRANGER, readable[0], "-B", "-c", STRANGERS_LAB, str(root)],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "fine\n", done.stderr

"""Facts from /proc, read from a made-up /proc and from this machine's; stopping what resists."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from prism_edge.cluster import processes
from prism_edge.errors import LabError

# As the kernel writes it; the name holds blanks and brackets, as names may.
LINE = (
    "4242 (a) b (c) S 1 4242 4242 0 -1 4194304 100 200 0 0 31 11 500 600 20 0 3 0 987654 1 2 3 4\n"
)


def fake(proc: Path, pid: int, *, stat: str = LINE, environ: bytes = b"", net: str = "") -> None:
    (proc / str(pid) / "ns").mkdir(parents=True)
    (proc / str(pid) / "stat").write_text(stat)
    (proc / str(pid) / "environ").write_bytes(environ)
    if net:
        (proc / str(pid) / "ns" / "net").symlink_to(net)


def test_a_stat_line_gives_state_start_and_cpu_time_of_the_process_alone() -> None:
    assert processes.parse_stat(LINE) == processes.Stat(state="S", start_ticks=987654, cpu_ticks=42)


def test_our_own_line_is_understood() -> None:
    mine = processes.stat(os.getpid())
    assert mine is not None
    assert mine.state == "R"
    assert mine.start_ticks > 0


def test_the_dead_and_the_undead_have_no_stat(tmp_path: Path) -> None:
    fake(tmp_path, 1)
    fake(tmp_path, 2, stat=LINE.replace(") S", ") Z"))
    fake(tmp_path, 3, stat="")
    assert processes.stat(1, tmp_path) is not None
    assert [processes.stat(pid, tmp_path) for pid in (2, 3, 4)] == [None, None, None]


def test_only_numbers_are_processes(tmp_path: Path) -> None:
    fake(tmp_path, 12)
    (tmp_path / "self").mkdir()
    (tmp_path / "meminfo").write_text("")
    assert list(processes.pids(tmp_path)) == [12]


def test_the_marker_is_found_by_its_whole_name(tmp_path: Path) -> None:
    fake(tmp_path, 1, environ=b"A=1\0PRISM_EDGE_LAB=token/edge-1\0B=2\0")
    fake(tmp_path, 2, environ=b"XPRISM_EDGE_LAB=token/edge-1\0PRISM_EDGE_LABEL=x\0")
    assert processes.marker(1, tmp_path) == "token/edge-1"
    assert processes.marker(2, tmp_path) is None
    assert processes.marker(3, tmp_path) is None


def test_a_network_namespace_has_a_name_unless_it_may_not_be_seen(tmp_path: Path) -> None:
    fake(tmp_path, 1, net="net:[17]")
    fake(tmp_path, 2)
    assert processes.network(1, tmp_path) == "net:[17]"
    assert processes.network(2, tmp_path) is None
    mine = processes.network("self")
    assert mine is not None
    assert mine.startswith("net:[")


def test_the_boot_has_an_identity() -> None:
    assert len(processes.boot_id()) == 36


DEAF = (
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('ready', flush=True)\n"
    "time.sleep(600)\n"
)
POLITE = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(42))\n"
    "print('ready', flush=True)\n"
    "time.sleep(600)\n"
)


def ready(program: str) -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def alive(child: subprocess.Popen[bytes]) -> list[int]:
    return [child.pid] if processes.stat(child.pid) else []


def test_a_process_may_end_in_its_own_way() -> None:
    with ready(POLITE) as child:
        processes.stop(lambda: alive(child), grace_s=60)
        assert child.wait(60) == 42


def test_a_frozen_process_hears_it_too() -> None:
    with ready(POLITE) as child:
        child.send_signal(signal.SIGSTOP)
        processes.stop(lambda: alive(child), grace_s=60)
        assert child.wait(60) == 42


def test_a_deaf_process_is_killed() -> None:
    with ready(DEAF) as child:
        processes.stop(lambda: alive(child), grace_s=0.1)
        assert child.wait(60) == -signal.SIGKILL


def test_nothing_to_stop_is_no_work() -> None:
    processes.stop(list, grace_s=0)


def test_what_is_already_gone_is_not_an_error() -> None:
    answers = iter([[2**22 + 1], []])  # above the largest pid there can be
    processes.stop(lambda: next(answers), grace_s=5)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may signal anyone")
def test_someone_elses_process_is_an_error() -> None:
    with pytest.raises(LabError, match="process 1 is not yours"):
        processes.stop(lambda: [1], grace_s=1)

"""A loaded board runs a process of its own that takes no more than it was given."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from prism_edge.cluster import burden, processes
from prism_edge.cluster.local import LocalHost
from prism_edge.errors import SettingsError

CORE = min(os.sched_getaffinity(0))


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    env = {processes.MARKER: f"{tmp_path.name}-{os.getpid()}/edge-1"}
    return LocalHost(name="edge-1", core=CORE, env=env)


def test_the_load_is_on_the_boards_core_and_ends_with_the_block(host: LocalHost) -> None:
    other = LocalHost(name="edge-2", core=CORE, env={processes.MARKER: "other/edge-2"})
    with burden.loaded(host, 0.4):
        (pid,) = burden.loads(host)
        assert os.sched_getaffinity(pid) == {CORE}
        assert burden.loads(other) == set()
    assert burden.loads(host) == set()


def test_it_uses_its_share_and_no_more(host: LocalHost) -> None:
    with burden.loaded(host, 0.3):
        (pid,) = burden.loads(host)
        clock = (~pid << 3) | 2  # the CPU time of that process: clock_getcpuclockid(3)
        start_s, used_s = time.monotonic(), time.clock_gettime(clock)  # in this order
        while (ran_s := time.clock_gettime(clock) - used_s) < 0.1:
            time.sleep(0.02)
        assert ran_s < 0.3 * (time.monotonic() - start_s) + 0.05


def test_no_load_is_no_process(host: LocalHost) -> None:
    with burden.loaded(host, 0):
        assert burden.loads(host) == set()


def test_a_load_is_found_and_ended_by_whoever_knows_the_board(host: LocalHost) -> None:
    with burden.load(host, 0.1):
        assert len(burden.loads(host)) == 1
        burden.free(host)
        assert burden.loads(host) == set()
    burden.free(host)


@pytest.mark.parametrize("share", [0.0, -0.1, 0.51, float("nan")])
def test_a_share_that_cannot_be_had_is_refused(share: float) -> None:
    with pytest.raises(SettingsError, match=r"allowed is more than 0 up to 0\.5"):
        burden.check_share(share)

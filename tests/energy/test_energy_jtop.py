"""The jtop source against the real service and client of jetson-stats, on a fake board."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

JTOP = Path(__file__).parents[2] / ".jtop"
PROGRAM = Path(__file__).with_name("jtop_board.py")
RAILS = {"VDD_IN": 4760, "VDD_CPU_GPU_CV": 515, "VDD_SOC": 1400}


@pytest.mark.lab
@pytest.mark.skipif(not JTOP.is_dir(), reason="needs jetson-stats in .jtop (make setup)")
def test_the_real_jtop_feeds_the_source_and_its_failures_are_told_apart(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root: a mount namespace with a /sys of its own")
    argv = ["unshare", "--mount", "--propagation", "private", sys.executable, str(PROGRAM)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(JTOP), *sys.path])}
    argv.append(str(tmp_path))
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["runs"] == [[4.76, "VDD_IN by jtop", RAILS, {"tj": 49.156}]] * 3
    start = "board edge-1: jtop helper ended after 1 lines; its last line was"
    for case, meaning in (
        ("mismatch", "service and package are of different versions: install the same one"),
        ("refused", "this user is not in the group jtop, which may do what root may"),
        ("down", "its service is down: sudo systemctl restart jtop.service"),
    ):
        assert said[case].startswith(start), (case, said[case])
        assert meaning in said[case]
    assert "[7.2.2] and client: [4.3.2]" in said["mismatch"]
    assert not Path("/run/jtop.sock").exists()

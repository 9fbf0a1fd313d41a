"""Fixes on real files: in a mount namespace whose /etc is a copy, with programs that write down
how they were called."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from a_board import ETHERNET, LOOPBACK, ORIN, SERVING, WIFI, but

from prism_edge.deploy.facts import Facts
from prism_edge.deploy.findings import findings
from prism_edge.deploy.findings.finding import Fix
from prism_edge.deploy.fix import carry_out, steps
from prism_edge.deploy.here import Here
from prism_edge.errors import ClusterError

SLEEPY = but(ORIN, network={"interfaces": (LOOPBACK, ETHERNET, replace(WIFI, power_save=True))})
POWER_SAVE = "/etc/NetworkManager/conf.d/zz-wifi-powersave-off.conf"
CARRY_OUT = """
from pathlib import Path
from test_deploy_fix import POWER_SAVE, SLEEPY, fix_of
from prism_edge.deploy.fix import carry_out
from prism_edge.deploy.here import Here
carry_out(fix_of(SLEEPY), Here(name="here"))
print(Path(POWER_SAVE).read_text(), end="")
"""


def fix_of(facts: Facts) -> Fix:
    (fix,) = (item.fix for item in findings(facts) if item.fix is not None)
    return fix


def test_what_would_be_done_is_shown_with_the_files() -> None:
    assert list(steps(fix_of(SLEEPY))) == [
        f"write {POWER_SAVE}",
        "    [connection]",
        "    wifi.powersave = 2",
        "iw dev wlP1p1s0 set power_save off",
        "if command -v nmcli >/dev/null; then nmcli general reload; fi",
    ]
    assert list(steps(fix_of(but(ORIN, clock={"synchronised": False, "service": None})))) == [
        "timedatectl set-ntp true"
    ]
    lonely = replace(ORIN, installed=replace(SERVING, groups=("video",)))
    assert list(steps(fix_of(lonely))) == [
        "if getent group render >/dev/null; then usermod -aG render prism-edge; fi"
    ]


def program(path: Path, log: Path) -> None:
    path.write_text(f'#!/bin/sh\necho "{path.name} $*" >>{shlex.quote(str(log))}\n')
    path.chmod(0o755)


@pytest.mark.lab
def test_power_save_goes_off_now_and_for_good(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("writes to /etc, of its own")
    programs, log, etc = tmp_path / "bin", tmp_path / "log", tmp_path / "etc"
    programs.mkdir()
    for name in ("iw", "nmcli"):
        program(programs / name, log)
    inside = [sys.executable, "-c", CARRY_OUT]
    line = f"cp -a /etc {etc} && mount --bind {etc} /etc && exec {shlex.join(inside)}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", line],
        env={
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": ":".join(map(str, Path(__file__).parents[:2])),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["[connection]", "wifi.powersave = 2"]
    assert log.read_text() == "iw dev wlP1p1s0 set power_save off\nnmcli general reload\n"
    written = etc / Path(POWER_SAVE).relative_to("/etc")
    assert written.stat().st_mode & 0o777 == 0o644
    assert not Path(POWER_SAVE).exists(), "the namespace leaks"


def test_a_fix_that_fails_says_which_part_and_why() -> None:
    fix = Fix(why="x", commands=("true", "echo first >&2; echo 'no such card' >&2; exit 4", "boom"))
    if os.geteuid() != 0:
        pytest.skip("fixes are made as root")
    with pytest.raises(
        ClusterError,
        match=r"^board here: a repair failed: first / no such card \(exit code 4",
    ):
        carry_out(fix, Here(name="here"))
    with pytest.raises(ClusterError, match=r"it said nothing \(exit code 5 of: exit 5\)"):
        carry_out(Fix(why="x", commands=("exit 5",)), Here(name="here"))

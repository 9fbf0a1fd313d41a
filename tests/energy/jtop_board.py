"""The real jtop service and client on a fake board; run as root in a mount namespace of its own.

``python jtop_board.py WORK``: what our jtop source says of a service that runs, that this login may
not use, that is of another version, and that is down, as JSON. /sys, /run and /etc/group are
covered here, so that nothing outside sees any of it; jtop's own settings go below WORK.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import ina_tree as tree

from prism_edge.energy.source import jtop_source
from prism_edge.errors import EnergyError

SERVICE = """
import sys
sys.base_prefix = {work!r}  # jtop keeps its settings below it
sys.argv = ["jtop", "--force"]
from jtop.__main__ import main
main()
"""
SOCKET = Path("/run/jtop.sock")
NOBODY = 65534
# jtop's client waits for a second and a half, which a busy machine may well take
SLOW = ("its service sends no data", "jtop failed: Empty", "Error connection")
DEVICES = "sys/bus/i2c/devices"


def mount(*argv: str) -> None:
    subprocess.run(["mount", *argv], check=True)


def cover(work: Path) -> None:
    """/sys is a fake Orin Nano's with our CPUs, /run is empty, and there is a group jtop."""
    board = work / "board"
    folder = tree.hwmon(board, tree.ORIN, tree.ORIN_RAILS)
    for number in (1, 2, 3):
        for name, value in (("max", 4000), ("crit", 5000), ("max_alarm", 0), ("crit_alarm", 0)):
            tree.write(folder / f"curr{number}_{name}", value)
    tree.write(board / tree.ORIN / "name", "ina3221")
    (board / DEVICES).mkdir(parents=True)
    (board / DEVICES / "1-0040").symlink_to(f"/{tree.ORIN}")
    for name in ("class/hwmon", "class/power_supply", "class/devfreq", "devices/virtual/dmi/id"):
        (board / "sys" / name).mkdir(parents=True, exist_ok=True)
    zone = board / "sys/devices/virtual/thermal/thermal_zone0"
    tree.write(zone / "type", "tj-thermal")
    tree.write(zone / "temp", 49156)
    processors = board / "sys/devices/system/cpu"
    processors.mkdir(parents=True)
    mount("--bind", "/sys/devices/system/cpu", str(processors))
    mount("--rbind", str(board / "sys"), "/sys")
    mount("-t", "tmpfs", "none", "/run")
    group = work / "group"
    group.write_text(Path("/etc/group").read_text() + "jtop:x:64999:\n")
    mount("--bind", str(group), "/etc/group")


def start(work: Path) -> subprocess.Popen[bytes]:
    """The service, which has its socket; its words are in WORK/service.log."""
    env = {**os.environ, "JTOP_SERVICE": "True"}
    argv = [sys.executable, "-c", SERVICE.format(work=str(work))]
    with (work / "service.log").open("wb") as log:
        service = subprocess.Popen(argv, env=env, stdout=log, stderr=log)
    while not SOCKET.exists():
        assert service.poll() is None, (work / "service.log").read_text()
        time.sleep(0.05)
    return service


def samples() -> object:
    """Three samples of the source, or what it says instead, unless that the service was slow."""

    async def run() -> list[object]:
        async with jtop_source(board="edge-1") as source:
            found = [await source.__anext__() for _ in range(3)]
        return [[one.power_w, one.rule, dict(one.rails_mw), dict(one.temps_c)] for one in found]

    said = ""
    for _ in range(20):
        try:
            return asyncio.run(run())
        except EnergyError as error:
            said = str(error)
            if not any(words in said for words in SLOW):
                break
    return said


def elsewhere(*before: str, path: str = "") -> object:
    """The same, asked by a process that starts in another way."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([path, *sys.path])}
    code = "import json, jtop_board; print(json.dumps(jtop_board.samples()))"
    argv = [*before, sys.executable, "-c", code]
    return json.loads(subprocess.run(argv, env=env, stdout=subprocess.PIPE, check=True).stdout)


def another_version(work: Path) -> Path:
    """A folder with a jtop that says it is 4.3.2."""
    spec = find_spec("jtop")
    assert spec is not None
    assert spec.origin is not None
    shutil.copytree(Path(spec.origin).parent, work / "other" / "jtop")
    init = work / "other" / "jtop" / "__init__.py"
    init.write_text(init.read_text().replace("7.2.2", "4.3.2"))
    return work / "other"


def main(work: Path) -> None:
    cover(work)
    service = start(work)
    try:
        found = {"runs": samples()}
        other = another_version(work)
        found["mismatch"] = elsewhere(path=str(other))
        os.chown(SOCKET, NOBODY, 64999)  # and root without its rights is like any other login
        found["refused"] = elsewhere("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    finally:
        service.terminate()
        service.wait()
    SOCKET.unlink(missing_ok=True)
    found["down"] = samples()
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

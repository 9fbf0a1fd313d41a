"""What measuring power costs: CPU time and memory of a process that reads and keeps samples.

``python -m prism_edge.bench.energy_cost KIND HZ SECONDS`` is such a process and nothing else, so
its figures hold its interpreter, the reader and the journal. What feeds it is not counted: lines of
a Thor under JetPack 7.2 from a child (tegrastats itself is NVIDIA's), or files laid out like the
sensors of an Orin Nano (what the real ones cost is the kernel's driver's).
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from prism_edge.energy.child import ChildSource
from prism_edge.energy.journal import Journal
from prism_edge.energy.sample import PowerSource
from prism_edge.energy.sampler import SysfsSource
from prism_edge.energy.source import TegrastatsLines

BOARD = "bench"
CHIP = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
RAILS = {"VDD_IN": 952, "VDD_CPU_GPU_CV": 103, "VDD_SOC": 280}
PRINTER = """
import sys, time
cores = ",".join(f"{k}%@2160" for k in range(14))
zones = " ".join(f"{zone}@34.843C/35.906C" for zone in ("cpu", "tj", "soc012", "gpu", "soc345"))
rails = " ".join(f"{rail} 8710mW/8332mW/8710mW" for rail in
                 ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0", "VIN"))
line = (f"07-23-2026 15:29:26 RAM 9101/125811MB (lfb 19x4MB) SWAP 0/2048MB (cached 0MB) "
        f"CPU [{cores}] EMC_FREQ 7%@3200 GR3D_FREQ @[314,314,314] NVENC0_FREQ @1556 VIC 59%@423 "
        f"OFA_FREQ @1556 PVA0_FREQ off APE 300 {zones} {rails}\\n")
start, number = time.monotonic(), 0
while True:
    sys.stdout.write(line)
    sys.stdout.flush()
    number += 1
    time.sleep(max(0.0, start + number / float(sys.argv[1]) - time.monotonic()))
"""


def measure(kind: str, hz: float, seconds: float) -> dict[str, float]:
    """Samples, share of a core, and the peak memory in MiB of this process so far."""
    with tempfile.TemporaryDirectory() as work:
        return asyncio.run(_run(_source(kind, hz, Path(work)), Path(work), seconds))


def _source(kind: str, hz: float, work: Path) -> PowerSource:
    if kind == "sysfs":
        (work / CHIP).mkdir(parents=True)
        for number, (rail, ma) in enumerate(RAILS.items(), start=1):
            files = {
                f"in{number}_label": rail,
                f"in{number}_input": 5000,
                f"curr{number}_input": ma,
            }
            for name, text in files.items():
                (work / CHIP / name).write_text(f"{text}\n")
        return SysfsSource(board=BOARD, interval_s=1 / hz, root=work)
    return ChildSource(
        board=BOARD,
        name="tegrastats",
        argv=(sys.executable, "-c", PRINTER, f"{hz:g}"),
        read=TegrastatsLines(board=BOARD),
    )


async def _run(source: PowerSource, work: Path, seconds: float) -> dict[str, float]:
    labels = {BOARD: "sensor"}
    with Journal.open(work / "bench.sqlite", cluster=BOARD, kind="log", power=labels) as journal:
        async with source:
            await source.__anext__()
            start_s, spent_s, samples = time.monotonic(), _cpu_s(), 0
            while (now_s := time.monotonic()) - start_s < seconds:
                sample = await source.__anext__()
                journal.sample(sample)
                journal.rails(sample)
                samples += 1
            core = (_cpu_s() - spent_s) / (now_s - start_s)
    return {
        "samples": samples,
        "seconds": round(now_s - start_s, 3),
        "core_pct": round(100 * core, 3),
        "peak_mib": round(_peak_mib(), 1),
    }


def _cpu_s() -> float:
    """CPU time of this process, its threads included and its children left out."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak_mib() -> float:
    """Of this program; ru_maxrss would be that of the process it was started by, if larger."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))))

"""What decides how fast a board is right now: temperatures, throttling, clock limits, power mode.

Everything is read from files, so reading costs a board next to nothing. What a board does not have
is None or empty, never 0. Formats: kernel documentation, "Thermal" and "CPUFreq" (sysfs), NVIDIA
Jetson Linux Developer Guide, "nvpmodel".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path("/")
PLAUSIBLE_C = (-60.0, 150.0)  # a sensor that is switched off reads -256
PLACEHOLDER = re.compile(r"pmic", re.IGNORECASE)  # a zone that always reads 50 or 100
PROCESSOR = re.compile(r"cpufreq|devfreq|processor|balanced", re.IGNORECASE)  # not a fan

_MODE_NAME = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>")
_MODE_NOW = re.compile(r"pmode:(\d+)")
_MODE_SAID = re.compile(r"NV Power Mode:\s*(\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardState:
    """One look at a board. ``throttled``: coolers of processors that are at work. ``limits_khz``:
    the highest clock each processor may take. ``ticks``: CPU time by kind, as in proc(5)."""

    temps_c: Mapping[str, float] = field(default_factory=dict)
    throttled: tuple[str, ...] = ()
    limits_khz: Mapping[str, int] = field(default_factory=dict)
    power_mode: str | None = None
    load_1m: float | None = None
    available_mb: int | None = None
    ticks: tuple[int, ...] = ()


def read_state(root: Path = ROOT) -> BoardState:
    """The board as its files have it."""
    load = text(root / "proc/loadavg").partition(" ")[0]
    return BoardState(
        temps_c=temperatures(
            (text(zone / "type"), text(zone / "temp"))
            for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*"))
        ),
        throttled=throttled(
            (text(cooler / "type"), text(cooler / "cur_state"))
            for cooler in sorted((root / "sys/class/thermal").glob("cooling_device*"))
        ),
        limits_khz=_limits(root),
        power_mode=power_mode(
            text(root / "var/lib/nvpmodel/status"), text(root / "etc/nvpmodel.conf")
        ),
        load_1m=float(load) if load else None,
        available_mb=available_mb(text(root / "proc/meminfo")),
        ticks=cpu_ticks(text(root / "proc/stat")),
    )


def temperatures(zones: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Degrees by zone out of (type, millidegrees); zones that are off or say nothing are absent."""
    found: dict[str, float] = {}
    for name, said in zones:
        if not re.fullmatch(r"-?\d{1,9}", said) or PLACEHOLDER.search(name):
            continue
        degrees = int(said) / 1000
        if PLAUSIBLE_C[0] < degrees < PLAUSIBLE_C[1]:
            found[name] = max(degrees, found.get(name, degrees))
    return found


def throttled(coolers: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The coolers that slow a processor down now, out of (type, state); a fan is none of them."""
    return tuple(
        name
        for name, state in coolers
        if PROCESSOR.search(name) and re.fullmatch("[1-9]\\d*", state)
    )


def power_mode(status: str, configuration: str) -> str | None:
    """The mode's name out of nvpmodel's status and configuration; its number without a name."""
    now = _MODE_NOW.search(status)
    if now is None:
        return None
    names: dict[int, str] = {int(n): name for n, name in _MODE_NAME.findall(configuration)}
    return names.get(int(now[1]), f"mode {int(now[1])}")


def said_mode(output: str) -> str | None:
    """The mode's name in what ``nvpmodel -q`` prints, whatever warnings come first."""
    found = _MODE_SAID.search(output)
    return found[1] if found else None


def available_mb(meminfo: str) -> int | None:
    """Memory that programs can still have, in MB."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(found[1]) // 1024 if found else None


def cpu_ticks(stat: str) -> tuple[int, ...]:
    """Time of all cores since the start, by kind as in proc(5); empty when it cannot be read."""
    return tuple(int(word) for word in stat.partition("\n")[0].split()[1:])


def text(path: Path) -> str:
    """The file without blanks and NULs around it; empty when it cannot be read."""
    try:
        return path.read_bytes().decode(errors="replace").strip("\0 \n")
    except OSError:
        return ""


def _limits(root: Path) -> dict[str, int]:
    clocks = {
        policy.name: text(policy / "scaling_max_freq")
        for policy in sorted((root / "sys/devices/system/cpu/cpufreq").glob("policy*"))
    }
    devices = {
        device.name: text(device / "max_freq")
        for device in sorted((root / "sys/class/devfreq").glob("*"))
    }
    khz = {name: int(said) for name, said in clocks.items() if said.isdecimal()}
    return khz | {name: int(said) // 1000 for name, said in devices.items() if said.isdecimal()}

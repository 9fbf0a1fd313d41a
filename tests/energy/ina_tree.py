"""A fake /sys with the power sensors of every JetPack, laid out as the kernel lays it out: the
driver's folder holds links to devices, whose hwmon numbers vary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

ORIN = "sys/devices/platform/bus@0/c240000.i2c/i2c-1/1-0040"  # JetPack 6 and 7
ORIN_5 = "sys/devices/platform/c240000.i2c/i2c-1/1-0040"  # JetPack 5
NANO = "sys/devices/50000000.host1x/546c0000.i2c/i2c-6/6-0040"  # JetPack 4
THOR_CARRIER = "sys/devices/platform/bus@0/810c600000.i2c/i2c-2/2-0044"

Channels = Mapping[str, tuple[int, int]]  # rail -> mV, mA
ORIN_RAILS: Channels = {
    "VDD_IN": (5000, 952),
    "VDD_CPU_GPU_CV": (5000, 103),
    "VDD_SOC": (5000, 280),
}


def write(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def bind(root: Path, driver: str, device: Path) -> None:
    """The driver serves that device."""
    link = root / "sys/bus/i2c/drivers" / driver / device.name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(device)


def hwmon(root: Path, device: str, channels: Channels, number: int = 1) -> Path:
    """An INA3221 of JetPack 5 to 7; the folder with its files."""
    folder = root / device / "hwmon" / f"hwmon{number}"
    for at, (rail, (mv, ma)) in enumerate(channels.items(), start=1):
        write(folder / f"in{at}_label", rail)
        write(folder / f"in{at}_input", mv)
        write(folder / f"curr{at}_input", ma)
    write(folder / "in7_label", "sum of shunt voltages")
    write(folder / "in7_input", 12345)
    write(folder / "curr4_input", 1335)
    bind(root, "ina3221", root / device)
    return folder


def iio(root: Path, device: str, powers_mw: Mapping[str, int]) -> Path:
    """An INA3221 of JetPack 4."""
    folder = root / device / "iio:device0"
    for at, (rail, mw) in enumerate(powers_mw.items()):
        write(folder / f"rail_name_{at}", rail)
        write(folder / f"in_power{at}_input", mw)
        write(folder / f"in_voltage{at}_input", 5000)
        write(folder / f"in_current{at}_input", mw // 5)
    bind(root, "ina3221x", root / device)
    return folder


def ina238(root: Path, device: str, microwatt: int, number: int = 5) -> Path:
    """The sensor at the input of Thor's developer kit."""
    folder = root / device / "hwmon" / f"hwmon{number}"
    write(folder / "power1_input", microwatt)
    write(folder / "in1_input", 20000)
    write(folder / "curr1_input", 840)
    bind(root, "ina238", root / device)
    return folder


def counter(root: Path, number: int, name: str, count: int) -> Path:
    """An over-current counter of a hwmon device."""
    path = root / f"sys/class/hwmon/hwmon{number}/{name}_event_cnt"
    write(path, count)
    return path


def zone(root: Path, number: int, name: str, millidegrees: object) -> Path:
    path = root / f"sys/class/thermal/thermal_zone{number}"
    write(path / "type", name)
    write(path / "temp", millidegrees)
    return path / "temp"

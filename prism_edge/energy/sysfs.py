"""The power sensors of a board as the kernel shows them: INA3221 and INA238 of every JetPack.

JetPack 4 (driver ina3221x, iio): ``rail_name_N``, ``in_powerN_input`` in mW. JetPack 5 to 7 (driver
ina3221, hwmon): ``inN_label``, ``inN_input`` in mV times ``currN_input`` in mA. The carrier of Thor
(driver ina238, hwmon): ``power1_input`` in microwatt, which is the rail VIN. Linux documentation:
hwmon/ina3221, hwmon/ina238. Numbers of hwmon devices and paths above them vary: only names count.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from prism_edge.energy.tegrastats import NOT_CONNECTED

DRIVERS = "sys/bus/i2c/drivers"
SUM_OF_SHUNTS = "sum of shunt voltages"  # in7 of an INA3221: no rail, and no power
CHIP = "*-00[0-9a-f][0-9a-f]"
COUNTERS = "sys/class/hwmon/hwmon*/oc*_event_cnt"
ZONES = "sys/class/thermal/thermal_zone*"
LABEL = re.compile(r"in(\d+)_label")
NAME = re.compile(r"rail_name_(\d+)")
WHOLE = re.compile(rb"-?[0-9]{1,15}\s*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rail:
    """One rail: the product of its files times ``mw_each`` is its power in mW."""

    name: str
    files: tuple[Path, ...]
    mw_each: float


def chips(root: Path = Path("/")) -> tuple[Path, ...]:
    """The power sensors that a driver serves, such as .../ina3221/1-0040."""
    drivers = [root / DRIVERS / driver for driver in READERS]
    return tuple(chip for driver in drivers for chip in sorted(driver.glob(CHIP)))


def rails(root: Path = Path("/")) -> tuple[Rail, ...]:
    """The connected rails of the board under ``root``, in the order of chips and channels."""
    return tuple(rail for chip in chips(root) for rail in READERS[chip.parent.name](chip))


def _hwmon(chip: Path) -> Iterator[Rail]:
    for path in _numbered(chip, "hwmon/hwmon*/in*_label", LABEL):
        number, name = LABEL.fullmatch(path.name)[1], _text(path)  # type: ignore[index]
        volts, amperes = path.with_name(f"in{number}_input"), path.with_name(f"curr{number}_input")
        if name not in ("", NOT_CONNECTED, SUM_OF_SHUNTS) and amperes.exists():
            yield Rail(name=name, files=(volts, amperes), mw_each=1e-3)


def _iio(chip: Path) -> Iterator[Rail]:
    for path in _numbered(chip, "iio:device*/rail_name_*", NAME):
        number, name = NAME.fullmatch(path.name)[1], _text(path)  # type: ignore[index]
        if name not in ("", NOT_CONNECTED):
            yield Rail(name=name, files=(path.with_name(f"in_power{number}_input"),), mw_each=1.0)


def _carrier(chip: Path) -> Iterator[Rail]:
    for path in sorted(chip.glob("hwmon/hwmon*/power1_input")):
        yield Rail(name="VIN", files=(path,), mw_each=1e-3)


READERS: dict[str, Callable[[Path], Iterator[Rail]]] = {
    "ina3221": _hwmon,
    "ina3221x": _iio,
    "ina238": _carrier,
}


def _numbered(chip: Path, pattern: str, name: re.Pattern[str]) -> list[Path]:
    return sorted(path for path in chip.glob(pattern) if name.fullmatch(path.name))


def _text(path: Path) -> str:
    """What the file says; "" when it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


class Files:
    """Open files of a board that are read again and again; what cannot be read now is missing."""

    def __init__(self) -> None:
        self._open: dict[Path, int] = {}

    def number(self, path: Path) -> int | None:
        """The whole number in the file; None for EAGAIN, ENODATA, ENODEV, EACCES and the like."""
        try:
            descriptor = self._open.get(path)
            if descriptor is None:
                descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                self._open[path] = descriptor
            said = os.pread(descriptor, 64, 0)
        except OSError:
            self._close(path)  # a driver that was bound again has another file of that name
            return None
        return int(said) if WHOLE.fullmatch(said) else None

    def close(self) -> None:
        for path in list(self._open):
            self._close(path)

    def _close(self, path: Path) -> None:
        descriptor = self._open.pop(path, None)
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)


class Board:
    """The sensors of one board, read on demand; ``close`` it."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.rails = rails(root)
        self._files = Files()
        self._counters = {path: self._files.number(path) for path in sorted(root.glob(COUNTERS))}
        self._zones = {
            _text(path / "type").removesuffix("-thermal"): path / "temp"
            for path in sorted(root.glob(ZONES))
        }

    def rails_mw(self) -> dict[str, float]:
        """The power of every rail that can be read now."""
        found = {}
        for rail in self.rails:
            mw = rail.mw_each
            for path in rail.files:
                number = self._files.number(path)
                if number is None:
                    break
                mw *= number
            else:
                found[rail.name] = round(mw, 3)
        return found

    def temps_c(self) -> dict[str, float]:
        """The zones that are on."""
        found = {name: self._files.number(path) for name, path in self._zones.items()}
        return {
            name: number / 1000
            for name, number in found.items()
            if number is not None and number > -256_000
        }

    def events(self) -> dict[str, int]:
        """How often each over-current alarm throttled the board since this was last asked."""
        found: dict[str, int] = {}
        for path, before in self._counters.items():
            now = self._files.number(path)
            if now is not None:
                self._counters[path] = now
                if before is not None and now != before:
                    # a counter that went back has started again at 0
                    name = path.name.removesuffix("_event_cnt")
                    found[name] = found.get(name, 0) + (now - before if now > before else now)
        return found

    def close(self) -> None:
        """No file is open."""
        self._files.close()


def main(interval_s: float) -> None:
    """Prints {rails_mw, temps_c} as JSON, a line per reading, until the reader goes away."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    board = Board()
    while True:
        print(json.dumps({"rails_mw": board.rails_mw(), "temps_c": board.temps_c()}), flush=True)
        time.sleep(interval_s)


if __name__ == "__main__":
    main(float(sys.argv[1]))

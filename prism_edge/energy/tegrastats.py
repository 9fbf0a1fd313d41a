"""A tegrastats line is a Reading, or None when it holds no RAM; no input raises.

Covers JetPack 4 to 7.2. Fields: Jetson Linux Developer Guide, "Tegrastats Utility"; shapes: the
lines in tests/data/tegrastats. What a field is follows from what stands after its name, not from
the name: ``GPU 0/0`` is a rail, ``GPU@37.5C`` a temperature, ``CPU [..]`` the cores and ``APE
174`` a clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OFF_C = -256.0  # what JetPack 5 prints for a zone whose sensor is powered off
NOT_CONNECTED = "NC"  # rails of an unused sensor channel on AGX Orin

# At most nine digits: a longer number is damage, and int() raises on 4300 digits.
_N = r"[0-9]{1,9}"
_SIGNED = rf"(?:-?{_N}|NaN)"
_DEGREES = rf"(?:-?{_N}(?:\.{_N})?|NaN)"
_CLOCKS = rf"(?:{_N}|\[{_N}(?:,{_N})*\])"
# A line cut after "SWAP 0/3810" must not become a rail called SWAP.
_NAME = r"(?!(?:I?RAM|SWAP|MTS)\b)[A-Za-z][\w.+-]*"

_DATE = re.compile(r"\s*\d{2}-\d{2}-\d{4}\s+\d{2}:\d{2}:\d{2}(?!\S)", re.ASCII)
_CORE = re.compile(rf"(?P<load>{_N}|NaN)%(?:@(?P<freq>{_N}))?|off")
_FIELD = re.compile(
    rf"""(?<!\S)(?:
      (?P<ram>RAM\s+(?P<used>{_N})/(?P<total>{_N})(?P<unit>[kMG])B(?:\s*\(lfb\s+{_N}x{_N}[kMG]B\))?)
    | (?P<memory>(?:SWAP|IRAM)\s+{_N}/{_N}[kMG]B(?:\s*\((?:cached|lfb)\s+{_N}[kMG]B\))?)
    | (?P<cpu>CPU\s+\[(?P<cores>[^\]]*)\](?:@(?P<clock>{_N}))?)
    | (?P<mts>MTS\s+fg\s+{_N}%\s+bg\s+{_N}%)
    | (?P<temp>(?P<zone>{_NAME})@(?P<degrees>{_DEGREES})C(?:/{_DEGREES}C)?)
    | (?P<rail>(?P<rail_name>{_NAME})\s+(?P<mw>{_SIGNED})
        (?:(?:mW)?(?:/{_SIGNED}(?:mW)?){{1,2}}|mW|(?<=NaN)))
    | (?P<engine>(?P<engine_name>{_NAME})\s+
        (?:off|(?P<load>{_N}|NaN)%(?:@{_CLOCKS})?|@{_CLOCKS}|{_N}))
    | (?P<unknown>\S+)
    )(?!\S)""",
    re.VERBOSE | re.ASCII,
)
_MB = {"k": 1 / 1024, "M": 1, "G": 1024}


@dataclass(frozen=True, kw_only=True, slots=True)
class Core:
    """One CPU core; both None when it is off, ``freq_mhz`` None when it was not printed."""

    load_pct: int | None
    freq_mhz: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What one line says now; averages and maxima since the start of tegrastats are left out.

    ``gr3d_load_pct`` is None when the GPU's field is absent or carries clocks only. ``temps_c`` and
    ``rails_mw`` use the names as printed; a zone that is off and a rail not connected are absent.
    ``skipped`` counts the tokens of an unknown shape.
    """

    ram_used_mb: float
    ram_total_mb: float
    cpu: tuple[Core, ...]
    gr3d_load_pct: int | None
    temps_c: dict[str, float]
    rails_mw: dict[str, int]
    skipped: int


def parse(line: str) -> Reading | None:
    """The reading of one line; None when the line carries no RAM field and so is no sample."""
    ram: tuple[float, float] | None = None
    cpu: tuple[Core, ...] = ()
    gr3d_load_pct: int | None = None
    temps_c: dict[str, float] = {}
    rails_mw: dict[str, int] = {}
    skipped = 0
    for field in _FIELD.finditer(_DATE.sub("", line, count=1)):
        if field["ram"]:
            ram = int(field["used"]) * _MB[field["unit"]], int(field["total"]) * _MB[field["unit"]]
        elif field["cpu"]:
            cpu, unknown = _cores(field["cores"], field["clock"])
            skipped += unknown
        elif field["temp"] and field["degrees"] != "NaN":
            temps_c[field["zone"]] = float(field["degrees"])
        elif field["rail"] and field["mw"] != "NaN":
            rails_mw[field["rail_name"]] = int(field["mw"])
        elif field["engine_name"] == "GR3D_FREQ":
            gr3d_load_pct = _int(field["load"])
        elif field["unknown"]:
            skipped += 1
    if ram is None:
        return None
    rails_mw.pop(NOT_CONNECTED, None)
    return Reading(
        ram_used_mb=ram[0],
        ram_total_mb=ram[1],
        cpu=cpu,
        gr3d_load_pct=gr3d_load_pct,
        temps_c={zone: degrees for zone, degrees in temps_c.items() if degrees != OFF_C},
        rails_mw=rails_mw,
        skipped=skipped,
    )


def _cores(text: str, clock: str | None) -> tuple[tuple[Core, ...], int]:
    """The cores inside the brackets, and how many items were no core (``[2%@972,...]``)."""
    items = [item.strip() for item in text.split(",") if item.strip()]
    found = [match for item in items if (match := _CORE.fullmatch(item))]
    cores = (
        Core(load_pct=None, freq_mhz=None)
        if match[0] == "off"
        else Core(load_pct=_int(match["load"]), freq_mhz=_int(match["freq"] or clock))
        for match in found
    )
    return tuple(cores), len(items) - len(found)


def _int(digits: str | None) -> int | None:
    return None if digits is None or digits == "NaN" else int(digits)

"""A tegrastats line is a Reading, or None when it holds no RAM; no input raises.

Covers JetPack 4 to 7.2. Fields: Jetson Linux Developer Guide, "Tegrastats Utility"; shapes: the
lines in tests/data/tegrastats. What a field is follows from what stands after its name, not from
the name: ``GPU 0/0`` is a rail, ``GPU@37.5C`` a temperature, ``CPU [..]`` the cores and ``APE
174`` a clock.

Any field may be absent. What is there has to be understood whole: a token of another shape, a load
over 100 %, a temperature no board has, and a name printed twice are ``unknown`` and give no value.
A rail or zone that no known board has may be a new board's, or a digit gone astray (``CPU7 9441``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from prism_edge.energy.rails import MODULES

OFF_C = -256.0  # what JetPack 5 prints for a zone whose sensor is powered off
POSSIBLE_C = (-100.0, 200.0)  # beyond, a point was lost: 48.562 is not 48562
NOT_CONNECTED = "NC"  # rails of an unused sensor channel on AGX Orin, printed twice

# At most nine digits: a longer number is damage, and int() raises on 4300 digits.
_N = r"[0-9]{1,9}"
_MW = rf"(?:-?{_N}|NaN)"
_DEGREES = rf"(?:-?{_N}(?:\.{_N})?|NaN)"
_CLOCKS = rf"(?:{_N}|\[{_N}(?:,{_N})*\])"
# A line cut after "SWAP 0/3810" must not become a rail called SWAP.
_NAME = r"(?!(?:I?RAM|SWAP|MTS)\b)[A-Za-z][\w.+-]*"
_ENGINE = (
    r"(?:GR3D2?|(?:APE|EMC|ISP|MSENC|NVCSI|NVDEC|NVDLA|NVENC|NVJPG|OFA|PVA|SE|TSEC|VI|VIC)[0-9]{0,2})"
    r"(?:_FREQ)?"
)

_ZONE = re.compile(
    r"A0|AO|AUX|[BM]?CPU|CV[0-9]|GPU|PLL|PMIC|SOC[0-9]{1,3}|T(?:board|diode)|thermal"
    r"|cpu|cv[0-9]|gpu|soc[0-9]{1,3}|tj"
)
_RAILS = frozenset(rail for module in MODULES for rail in module.rails)

_DATE = re.compile(r"\s*\d{2}-\d{2}-\d{4}\s+\d{2}:\d{2}:\d{2}(?!\S)", re.ASCII)
_CORE = re.compile(rf"(?P<load>{_N}|NaN)%(?:@(?P<freq>{_N}))?|off")
_FIELD = re.compile(
    rf"""(?<!\S)(?:
      (?P<ram>RAM\s+(?P<used>{_N})/(?P<total>{_N})(?P<unit>[kMG])B(?:\s*\(lfb\s+{_N}x{_N}[kMG]B\))?)
    | (?P<memory>(?:SWAP|IRAM)\s+{_N}/{_N}[kMG]B(?:\s*\((?:cached|lfb)\s+{_N}[kMG]B\))?)
    | (?P<cpu>CPU\s+\[(?P<cores>[^\[\]]*)\](?:@(?P<clock>{_N}))?)
    | (?P<mts>MTS\s+fg\s+{_N}%\s+bg\s+{_N}%)
    | (?P<zone>(?P<zone_name>{_NAME})@(?P<degrees>{_DEGREES})C(?:/{_DEGREES}C)?)
    | (?P<rail>(?!{_ENGINE}\s)(?P<rail_name>{_NAME})\s+(?P<mw>{_MW})
        (?:mW(?:/{_MW}(?:mW)?){{0,2}}|/{_MW}|(?<=NaN)))  # only the first needs its unit
    | (?P<gr3d>GR3D_FREQ\s+(?:off|(?P<load>{_N}|NaN)%(?:@{_CLOCKS})?|@{_CLOCKS}))
    | (?P<engine>(?!GR3D_FREQ\s){_ENGINE}\s+(?:off|{_N}%(?:@{_CLOCKS})?|@{_CLOCKS}|{_N}))
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
    ``unknown`` holds what was not understood, as printed, and rails and zones of a new name, which
    are kept.
    """

    ram_used_mb: float
    ram_total_mb: float
    cpu: tuple[Core, ...]
    gr3d_load_pct: int | None
    temps_c: dict[str, float]
    rails_mw: dict[str, int]
    unknown: tuple[str, ...]


@dataclass(slots=True)
class _Draft:
    """A reading in the making; ``seen`` counts how often every name was printed."""

    ram_mb: tuple[float, float] | None = None
    cpu: tuple[Core, ...] = ()
    gr3d_load_pct: int | None = None
    temps_c: dict[str, float] = field(default_factory=dict)
    rails_mw: dict[str, int] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)

    def again(self, kind: str, name: str, printed: str) -> bool:
        """Whether that name was there before: then nobody knows which of the two is true."""
        if (kind, name) in self.seen:
            self.unknown.append(printed)
            return True
        self.seen.add((kind, name))
        return False


def parse(line: str) -> Reading | None:
    """The reading of one line; None when the line carries no RAM field and so is no sample."""
    draft = _Draft()
    date = _DATE.match(line)
    for found in _FIELD.finditer(line, date.end() if date else 0):
        take = _TAKE.get(found.lastgroup or "")
        if take is not None:
            take(draft, found)
    if draft.ram_mb is None:
        return None
    return Reading(
        ram_used_mb=draft.ram_mb[0],
        ram_total_mb=draft.ram_mb[1],
        cpu=draft.cpu,
        gr3d_load_pct=draft.gr3d_load_pct,
        temps_c=draft.temps_c,
        rails_mw=draft.rails_mw,
        unknown=tuple(draft.unknown),
    )


def _ram(draft: _Draft, found: re.Match[str]) -> None:
    twice = draft.again("ram", "", found[0])
    mb = _MB[found["unit"]]
    draft.ram_mb = None if twice else (int(found["used"]) * mb, int(found["total"]) * mb)


def _cpu(draft: _Draft, found: re.Match[str]) -> None:
    """The cores inside the brackets, as far as they are any (``[2%@972,...]``)."""
    if draft.again("cpu", "", found[0]):
        draft.cpu = ()
        return
    cores = []
    for item in found["cores"].split(",") if found["cores"] else ():
        core = _core(item.strip(), found["clock"])
        if core is None or item != item.strip():
            draft.unknown.append(item)
        if core is not None:
            cores.append(core)
    draft.cpu = tuple(cores)


@lru_cache(4096)  # there are many cores and few loads
def _core(item: str, clock: str | None) -> Core | None:
    core = _CORE.fullmatch(item)
    if core is None or (_int(core["load"]) or 0) > 100:
        return None
    if core[0] == "off":
        return Core(load_pct=None, freq_mhz=None)
    return Core(load_pct=_int(core["load"]), freq_mhz=_int(core["freq"] or clock))


def _gr3d(draft: _Draft, found: re.Match[str]) -> None:
    load_pct = _int(found["load"])
    twice = draft.again("gr3d", "", found[0])
    if not twice and load_pct is not None and load_pct > 100:
        draft.unknown.append(found[0])
    draft.gr3d_load_pct = load_pct if not twice and (load_pct or 0) <= 100 else None


def _zone(draft: _Draft, found: re.Match[str]) -> None:
    name = found["zone_name"]
    if draft.again("zone", name, found[0]):
        draft.temps_c.pop(name, None)
    elif found["degrees"] != "NaN" and (degrees := float(found["degrees"])) != OFF_C:
        if POSSIBLE_C[0] <= degrees <= POSSIBLE_C[1]:
            draft.temps_c[name] = degrees
        if name not in draft.temps_c or not _ZONE.fullmatch(name):
            draft.unknown.append(found[0])


def _rail(draft: _Draft, found: re.Match[str]) -> None:
    name = found["rail_name"]
    if name == NOT_CONNECTED:
        return
    if draft.again("rail", name, found[0]):
        draft.rails_mw.pop(name, None)
    elif found["mw"] != "NaN":
        draft.rails_mw[name] = int(found["mw"])
        if name not in _RAILS:
            draft.unknown.append(found[0])


def _unknown(draft: _Draft, found: re.Match[str]) -> None:
    draft.unknown.append(found[0])


_TAKE: dict[str, Callable[[_Draft, re.Match[str]], None]] = {
    "ram": _ram,
    "cpu": _cpu,
    "gr3d": _gr3d,
    "zone": _zone,
    "rail": _rail,
    "unknown": _unknown,
}


def _int(digits: str | None) -> int | None:
    return None if digits is None or digits == "NaN" else int(digits)

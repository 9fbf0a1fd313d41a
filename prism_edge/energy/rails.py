"""The total power of a board is one rail, a known or declared sum of rails, or unknown; no guess.

``VDD_IN`` of Orin Nano, Orin NX and Xavier NX already contains the other two rails: adding them
counts twice. AGX modules have no total rail; the sums below are what jetson-stats reports, too.
29.0 W at a module were 37.0 W at the board's input in one measurement (ARK Electronics, Orin NX).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

NO_RAILS = "no power rails: run as root or grant read access"
OUTSIDE_MODULE = "carrier board, storage, radio, fan, supply losses"
NO_RAIL = f"what no rail measures; {OUTSIDE_MODULE}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Module:
    """The rails of one kind of module; ``total``: those that add up to its power, () for none."""

    name: str
    rails: tuple[str, ...]
    total: tuple[str, ...]
    excludes: str

    @property
    def rule(self) -> str:
        """How the total is had, in words."""
        return "none" if not self.total else rule_of(self.total)


@dataclass(frozen=True, kw_only=True, slots=True)
class Total:
    """Which rails add up to a board's power, and what that power leaves out."""

    rails: tuple[str, ...]
    rule: str
    excludes: str

    def power_w(self, rails_mw: Mapping[str, float]) -> float | None:
        """Watts; None when one of the rails is missing, which would make a smaller number."""
        if not all(rail in rails_mw for rail in self.rails):
            return None
        return sum(rails_mw[rail] for rail in self.rails) / 1000


_NX = ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")
_XAVIER = ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")
_AGX_ORIN = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
_AGX_ORIN_5 = (*_AGX_ORIN, "VDDQ_VDD2_1V8AO")
_NANO = ("POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU")
_TX1 = ("VDD_IN", "VDD_CPU", "VDD_GPU")
_TX2 = ("VDD_SYS_GPU", "VDD_SYS_SOC", "VDD_4V0_WIFI", "VDD_IN", "VDD_SYS_CPU", "VDD_SYS_DDR")
_THOR = ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0")
MODULES = (
    Module(name="Nano 4 GB", rails=_NANO, total=("POM_5V_IN",), excludes=OUTSIDE_MODULE),
    Module(name="Nano 2 GB", rails=(), total=(), excludes="everything: it has no sensor"),
    Module(name="TX1", rails=_TX1, total=("VDD_IN",), excludes=OUTSIDE_MODULE),
    Module(name="TX2", rails=_TX2, total=("VDD_IN",), excludes=OUTSIDE_MODULE),
    Module(
        name="Xavier NX, Orin Nano, Orin NX", rails=_NX, total=("VDD_IN",), excludes=OUTSIDE_MODULE
    ),
    Module(name="AGX Xavier", rails=_XAVIER, total=_XAVIER, excludes=NO_RAIL),
    Module(name="AGX Orin, JetPack 5", rails=_AGX_ORIN_5, total=_AGX_ORIN_5, excludes=NO_RAIL),
    Module(name="AGX Orin, JetPack 6 and 7", rails=_AGX_ORIN, total=_AGX_ORIN, excludes=NO_RAIL),
    Module(
        name="Thor developer kit",
        rails=(*_THOR, "VIN"),
        total=("VIN",),
        excludes="losses of the supply before the board's input",
    ),
    Module(name="Thor on another carrier", rails=_THOR, total=_THOR, excludes=NO_RAIL),
)


def total_of(rails: Collection[str], told: Sequence[str] = ()) -> Total | None:
    """How the board with these rails adds up; None where that is not known.

    A total rail counts with any others beside it; a sum only as exactly the known set, because one
    rail more or less is another board. ``told``: the rails to add, on a board nobody knows.
    """
    if told:
        rule = f"declared: {' + '.join(told)}"
        return Total(rails=tuple(told), rule=rule, excludes="not known: it was declared")
    for module in MODULES:
        alone = len(module.total) == 1 and module.total[0] in rails
        if alone or (module.total and frozenset(module.rails) == frozenset(rails)):
            return Total(rails=module.total, rule=module.rule, excludes=module.excludes)
    return None


def declared(text: str) -> tuple[str, ...]:
    """The rails of ``VDD_A + VDD_B`` or ``VDD_A,VDD_B``; () of an empty text."""
    return tuple(text.replace("+", " ").replace(",", " ").split())


def rule_of(total: Sequence[str]) -> str:
    """A rail's name, or that it is a sum."""
    return total[0] if len(total) == 1 else "sum of rails"


def unknown_total(rails: Collection[str]) -> str:
    """Why there is no total, and what to do."""
    if not rails:
        return NO_RAILS
    return (
        f"no known total among the power rails {', '.join(sorted(rails))}: "
        "report this board's tegrastats line, or name the rails to add as its power_total "
        "in cluster.toml"
    )

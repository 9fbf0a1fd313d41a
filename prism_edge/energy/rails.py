"""The total power of a board is one rail, a declared sum of rails, or unknown; never a guess.

``VDD_IN`` of Orin Nano, Orin NX and Xavier NX already contains the other two rails: adding them
counts twice. AGX modules have no total rail; the sum below is what jetson-stats reports, too. All
of them measure the module (Thor's ``VIN``: the board): carrier, storage, radio, fan and supply
losses are outside, 29.0 W at the module being 37.0 W at the input in one measurement (ARK
Electronics, Orin NX).
"""

from __future__ import annotations

from collections.abc import Mapping

TOTALS = ("VDD_IN", "POM_5V_IN", "VIN")
SUMS = (
    frozenset({"GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"}),  # AGX Xavier
    frozenset({"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"}),  # AGX Orin, JetPack 6 and 7
    frozenset(
        {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"}
    ),  # AGX Orin, JetPack 5
    frozenset({"VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"}),  # Thor on a carrier without VIN
)


def total_power_w(rails_mw: Mapping[str, int]) -> tuple[float | None, str]:
    """The board's power in watts and the rule used, or (None, why and what to do)."""
    for rail in TOTALS:
        if rail in rails_mw:
            return rails_mw[rail] / 1000, rail
    if frozenset(rails_mw) in SUMS:
        return sum(rails_mw.values()) / 1000, "sum of rails"
    if not rails_mw:
        return None, "no power rails: run as root or grant read access"
    names = ", ".join(sorted(rails_mw))
    return (
        None,
        f"no known total among the power rails {names}: report this board's tegrastats line",
    )

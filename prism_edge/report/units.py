"""Numbers as people read them: three digits and a unit; what is unknown is n/a, never 0."""

from __future__ import annotations

import math

UNKNOWN = "n/a"


def digits(value: float, count: int = 3) -> str:
    """``value`` to ``count`` significant digits, never in powers of ten."""
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    rounded = float(f"{value:.{count - 1}e}")  # first, because 9.999 becomes 10.0
    places = count - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(0, places)}f}"


def seconds(value_s: float | None) -> str:
    """``772 ms`` or ``1.47 s``."""
    if value_s is None:
        return UNKNOWN
    if abs(value_s) < 0.9995:
        small = abs(value_s) < 0.9995e-3
        return f"{digits(value_s * 1e6)} µs" if small and value_s else f"{digits(value_s * 1e3)} ms"
    return f"{digits(value_s)} s"


def elapsed(value_s: float) -> str:
    """``4:05``, minutes and seconds since the start; hours when there are some."""
    sign, whole = ("−" if round(value_s) < 0 else ""), abs(round(value_s))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{sign}{hours}:{minutes:02}:{left:02}" if hours else f"{sign}{minutes}:{left:02}"


def joules(value_j: float | None) -> str:
    """``15.6 J``."""
    return UNKNOWN if value_j is None else f"{digits(value_j)} J"


def watts(value_w: float | None) -> str:
    """``20.1 W``."""
    return UNKNOWN if value_w is None else f"{digits(value_w)} W"


def times(ratio: float | None) -> str:
    """``1.90×``."""
    if ratio is None:
        return UNKNOWN
    return f"{ratio:.2f}×" if ratio < 9.995 else f"{digits(ratio)}×"


def percent(share: float | None) -> str:
    """``97 %``; under ten with one place."""
    if share is None:
        return UNKNOWN
    return f"{100 * share:.{1 if abs(share) < 0.1 else 0}f} %"


def change(share: float | None) -> str:
    """``+12 %`` or ``−1.5 %``."""
    if share is None:
        return UNKNOWN
    return f"{'−' if share < 0 else '+'}{percent(abs(share))}"


def bits_per_second(rate_bps: float | None) -> str:
    """``95.6 Mbit/s``."""
    if rate_bps is None:
        return UNKNOWN
    for scale, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if rate_bps >= scale:
            return f"{digits(rate_bps / scale)} {unit}"
    return f"{digits(rate_bps)} bit/s"


def size(count_bytes: float | None) -> str:
    """``1.71 MB``, in powers of ten."""
    if count_bytes is None:
        return UNKNOWN
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count_bytes >= scale:
            return f"{digits(count_bytes / scale)} {unit}"
    return f"{count_bytes:.0f} B"


def interval(low: str, high: str) -> str:
    """``754–793 ms``: the unit once when both have it."""
    if UNKNOWN in (low, high):
        return ""
    if low.endswith("×"):
        return f"{low[:-1]}–{high}"
    (number, _, unit), (_, _, other) = low.partition(" "), high.partition(" ")
    return f"{number}–{high}" if unit == other else f"{low} – {high}"

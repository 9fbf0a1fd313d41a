"""The benchmark as tables that people read: one per model and batch, 120 columns at most. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby

from prism_edge.bench.compare import Row
from prism_edge.bench.engine import Found

WIDTH = 120
NAME = 15  # cores per board
PLAN = 31  # split+prism:p=2,l=10,dtype=fp16
HEAD = (
    f"{'':{PLAN}}  {'ms':>8}  {'/ Hugging Face':>17}  {'speed-up':>17}  {'efficiency':>20}"
    f"  {'sent':>8}  {'syncs':>5}"
)
LEGEND = (
    "ms: median of the rounds. / Hugging Face: latency over that of its forward (sdpa); below 1 is "
    "faster. speed-up: local's latency over this one's. efficiency: the slowest rank's computing "
    "alone over the latency; at 1 no time is lost to exchanges. Ratios: medians of the ratios "
    "within rounds [95 % bootstrap interval]. sent: between boards, per request. syncs: exchanges "
    "one after the other."
)
SAID = ("emulated", "skipped")  # above the other conditions
EMULATED = "EMULATED BOARDS: processes of one machine. Read the ratios, not the milliseconds."


def readable(found: Found) -> str:
    """Everything found: tables, what the columns mean, and the conditions."""
    lines: list[str] = []
    for (model, work, batch, tokens), group in groupby(
        found.rows, lambda row: (row.model, row.work, row.batch, row.tokens)
    ):
        lines += [*table(f"{model}, {work}: batch {batch}, {tokens} tokens", list(group)), ""]
    for reason in found.skipped:
        lines += textwrap.wrap(f"not measured: {reason}", WIDTH)
    lines += [*([""] if found.skipped else []), *textwrap.wrap(LEGEND, WIDTH), ""]
    if found.conditions.get("emulated"):
        lines += [EMULATED, ""]
    for key, value in found.conditions.items():
        lines += condition(key, value) if key not in SAID else []
    return "\n".join(lines)


def table(title: str, rows: Sequence[Row]) -> list[str]:
    """One cell: a line per plan, and one about memory."""
    lines = [title, HEAD]
    for row in rows:
        long = len(row.plan) > PLAN  # on lines of its own
        lines += textwrap.wrap(row.plan, WIDTH) if long else []
        lines.append(line(row, "" if long else row.plan))
    return [*lines, *memory(rows), *kernels(rows)]


def line(row: Row, name: str) -> str:
    """The figures of a plan."""
    shown = (
        f"{name:{PLAN}}  {row.latency_s * 1e3:8.1f}"
        f"  {interval(row.ratio_hf, row.ratio_hf_low, row.ratio_hf_high, 2):>17}"
        f"  {interval(row.speedup, row.speedup_low, row.speedup_high, 2):>17}"
        f"  {interval(row.efficiency, row.efficiency_low, row.efficiency_high, 3):>20}"
        f"  {size(row.wire_bytes):>8}  {row.syncs if row.wire_bytes else '':>5}"
    )
    return shown.rstrip()


def interval(median: float | None, low: float | None, high: float | None, digits: int) -> str:
    """``0.98 [0.97, 0.99]``; the bare figure when it is 1 by definition."""
    if median is None or low is None or high is None:
        return ""
    if low == high == 1:
        return "1"
    return f"{median:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def size(count: int | None) -> str:
    """Bytes in kB or MB; empty where nothing is sent."""
    if not count:
        return ""
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def memory(rows: Sequence[Row]) -> list[str]:
    """The most that was resident on the boards, by plan, in MiB."""
    known = [row for row in rows if row.memory_peak_bytes is not None]
    weights = next((row.weights_bytes for row in rows if row.weights_bytes), None)
    if not known or weights is None:
        return []
    shown = []
    for row in known:
        peaks = " + ".join(mib(peak) for peak in row.memory_peak_bytes or ())
        shown.append(f"{row.plan} {peaks}")
    return textwrap.wrap(
        f"peak memory, MiB by rank: {'; '.join(shown)}; weights {mib(weights)}", WIDTH
    )


def kernels(rows: Sequence[Row]) -> list[str]:
    """Which attention kernel ran; plans that differ are named."""
    usual = rows[0].attention_kernel
    others = [f"{row.plan} {row.attention_kernel}" for row in rows if row.attention_kernel != usual]
    text = "; ".join([f"attention kernel: {usual}", *others])
    return textwrap.wrap(text, WIDTH)


def mib(count: int) -> str:
    return f"{count / 2**20:.0f}"


def condition(key: str, value: object) -> list[str]:
    """A condition and its value, wrapped; nothing where there is nothing to say."""
    if isinstance(value, Mapping):
        value = [f"{name} = {item}" for name, item in value.items()]
    parts = [str(item) for item in value] if isinstance(value, list) else [str(value)]
    lines = [piece for part in parts for piece in textwrap.wrap(part, WIDTH - NAME - 2)]
    names = [key.replace("_", " ")] + [""] * len(lines)
    return [f"{name:{NAME}}  {text}" for name, text in zip(names, lines, strict=False)]

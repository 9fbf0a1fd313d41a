"""One sentence with numbers that says why a plan was taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prism_edge.schedule.cost import Prediction, Unpredictable
from prism_edge.schedule.link import PAYLOAD_SHARE, LinkState


def explain(
    chosen: Prediction,
    considered: Sequence[Prediction | Unpredictable],
    link: LinkState | None,
    runner_up: Prediction | None,
) -> str:
    """Why ``chosen`` was taken among ``considered``; the first of them is ``local``."""
    local = considered[0]
    assert isinstance(local, Prediction)
    text = f"{chosen.plan} predicted {seconds(chosen.latency_s)}"
    if chosen.plan != local.plan:
        less = 1 - chosen.latency_s / local.latency_s
        change = f"{less:.0%} less" if less >= 0 else f"{-less:.0%} more"
        text += f" against local {seconds(local.latency_s)} ({change.replace('%', ' %')})"
    if chosen.plan.exchanges:
        return f"{text}; {link_text(link)}"
    if runner_up is None:
        missing = next((item for item in considered if isinstance(item, Unpredictable)), None)
        return text + (f"; {missing.plan}: {missing.reason}" if missing else "; no other plan fits")
    return f"{text}; {_against(chosen, considered, runner_up, link)}"


def _against(
    chosen: Prediction,
    considered: Iterable[Prediction | Unpredictable],
    runner_up: Prediction,
    link: LinkState | None,
) -> str:
    """What speaks against spreading each request: what it sends, when that alone is too slow."""
    spread = [item for item in considered if isinstance(item, Prediction) and item.plan.exchanges]
    best = min(spread or [runner_up], key=lambda item: item.latency_s)
    names = ("exchange_s", "input_s", "output_s")
    moving = {name: value for name, value in best.terms.items() if name in names}
    slowest = max(moving, key=lambda name: moving[name], default="")
    if not slowest or moving[slowest] < 0.5 * chosen.latency_s:
        return f"next best {runner_up.plan} {seconds(runner_up.latency_s)}"
    work, over = best.work, f"over {rate(link)} alone takes {seconds(moving[slowest])}"
    if slowest == "exchange_s":
        what = f"exchanging {work.exchanges} x {size(work.exchange_bytes)}"
    elif slowest == "input_s":
        what = f"sending {size(work.input_bytes)} of input"
    else:
        what = f"returning {size(work.output_bytes)} of output"
    return f"{what} {over} ({best.plan} {seconds(best.latency_s)})"


def link_text(link: LinkState | None) -> str:
    """``link 98 Mbit/s observed``."""
    if link is None:
        return "link unknown"
    source = {"table": "as profiled", "observed": "observed", "given": "given"}[link.source]
    return f"link {rate(link)} {source}"


def rate(link: LinkState | None) -> str:
    """Bandwidth to three digits; a given rate as it was given, headers included."""
    assert link is not None
    return rate_text(link.bandwidth_bps / (PAYLOAD_SHARE if link.source == "given" else 1.0))


def rate_text(bps: float) -> str:
    """``50 Mbit/s``, to three digits."""
    for scale, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if bps >= 0.9995 * scale:
            return f"{bps / scale:.3g} {unit}"
    return f"{bps:.3g} bit/s"


def seconds(value_s: float) -> str:
    """Two or three digits."""
    if value_s < 0.02:
        return f"{1e3 * value_s:.2g} ms"
    return f"{value_s:.3f} s" if value_s < 1 else f"{value_s:.2f} s"


def size(count: float) -> str:
    """Bytes to two or three digits."""
    for scale, unit in ((1e6, "MB"), (1e3, "kB")):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f} B"

"""A report on disk: one HTML file, the same numbers as JSON, and what every plan took as CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from prism_edge.errors import PrismError
from prism_edge.report.compare import Comparison
from prism_edge.report.values import PlanSeries, Report


def write_report(
    report: Report,
    output: Path,
    *,
    json_output: Path | None = None,
    csv_output: Path | None = None,
    maps: Sequence[tuple[str, str]] = (),
) -> list[Path]:
    """The paths written: the HTML file, then those that were asked for.

    ``maps``: decision maps as (style, HTML). Raises PrismError when matplotlib or jinja2 is not
    installed, or a file cannot be written.
    """
    with _installed():
        from prism_edge.report.page import page
    texts = {output: page(report, maps)}
    if json_output is not None:
        texts[json_output] = as_json(report)
    if csv_output is not None:
        texts[csv_output] = as_csv(report)
    return _written(texts)


def write_comparison(
    a: Report, b: Report, found: Comparison, output: Path, json_output: Path | None = None
) -> list[Path]:
    """The paths written. Raises PrismError like ``write_report``."""
    with _installed():
        from prism_edge.report.compare_page import compare_page
    texts = {output: compare_page(a, b, found)}
    if json_output is not None:
        texts[json_output] = as_json(found)
    return _written(texts)


def as_json(found: Report | Comparison) -> str:
    """Every number by the names of its dataclass, in SI units; what is unknown is null."""
    return json.dumps(dataclasses.asdict(found), indent=1, allow_nan=False, ensure_ascii=False)


def as_csv(report: Report) -> str:
    """One line per phase, model, batch size and plan; what is unknown is empty."""
    text = io.StringIO()
    rows = [_row(report, plan) for plan in report.plans]
    lines = csv.DictWriter(text, rows[0] if rows else ["phase"], lineterminator="\n")
    lines.writeheader()
    lines.writerows(rows)
    return text.getvalue()


def _row(report: Report, plan: PlanSeries) -> dict[str, object]:
    latency, energy = plan.series.latency, plan.series.energy
    return {
        "phase": plan.phase,
        "model": plan.model,
        "batch": plan.batch,
        "plan": plan.plan,
        "n": plan.series.n,
        "latency_p50_s": latency and latency.p50_s,
        "latency_p50_low_s": latency and latency.low_s,
        "latency_p50_high_s": latency and latency.high_s,
        "latency_p95_s": latency and latency.p95_s,
        "latency_p99_s": latency and latency.p99_s,
        "wire_bytes": plan.wire_bytes,
        "energy_j": energy.energy_j,
        "energy_low_j": energy.low_j,
        "energy_high_j": energy.high_j,
        "power_w": energy.mean_w,
        "power_source": report.power,
        "coverage": energy.coverage,
        "samples": energy.samples,
        "reliable": energy.reliable,
    }


@contextmanager
def _installed() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("matplotlib", "jinja2"):
            raise
        raise PrismError(
            f"a report needs {package}, which is not installed; "
            "run: pip install 'prism-edge[report]'"
        ) from error


def _written(texts: Mapping[Path, str]) -> list[Path]:
    for path, text in texts.items():
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise PrismError(
                f"{path}: cannot be written ({error.strerror}); name another file"
            ) from error
    return list(texts)

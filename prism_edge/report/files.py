"""A report on disk: one HTML file, and the same numbers as JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from prism_edge.energy.rows import JournalData
from prism_edge.errors import PrismError
from prism_edge.report.numbers import numbers
from prism_edge.report.values import Report
from prism_edge.tables import Profile


def write_report(
    journal: JournalData, profile: Profile | None, output: Path, json_output: Path | None = None
) -> list[Path]:
    """The paths written: the HTML file, then the JSON file if one was asked for.

    Raises PrismError when matplotlib or jinja2 is not installed, or a file cannot be written.
    """
    try:
        from prism_edge.report.page import page
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("matplotlib", "jinja2"):
            raise
        raise PrismError(
            f"a report needs {package}, which is not installed; "
            "run: pip install 'prism-edge[report]'"
        ) from error
    found = numbers(journal, profile)
    texts = {output: page(found)}
    if json_output is not None:
        texts[json_output] = as_json(found)
    for path, text in texts.items():
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise PrismError(
                f"{path}: cannot be written ({error.strerror}); name another file"
            ) from error
    return list(texts)


def as_json(report: Report) -> str:
    """Every number of ``report`` by the names of ``report/values.py``; what is unknown is null."""
    return json.dumps(dataclasses.asdict(report), indent=1, allow_nan=False, ensure_ascii=False)

"""``prism-edge profile diff``: what changed from one profile to another, and how sure that is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer


def diff(
    a: Annotated[Path, typer.Argument(help="directory of cost tables: before")],
    b: Annotated[Path, typer.Argument(help="directory of cost tables: after")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Compare two profiles: facts that differ.

    Example: prism-edge profile diff profiles/before profiles/after
    """
    from prism_edge import tables
    from prism_edge.changes.facts import differing

    facts = differing(tables.read(a), tables.read(b))
    if as_json:
        print(json.dumps({"facts": [dataclasses.asdict(fact) for fact in facts]}, indent=2))
        return
    for fact in facts:
        print(f"{fact.where}, {fact.key}: {fact.a or 'not stated'} -> {fact.b or 'not stated'}")

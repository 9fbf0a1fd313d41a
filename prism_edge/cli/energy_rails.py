"""``prism-edge energy rails``: which rails add up to a board's power, and what that leaves out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from prism_edge.energy.choose import Kind
    from prism_edge.energy.sample import Sample

PATIENCE_S = 10.0


def rails(
    here: Annotated[bool, typer.Option(help="look at this machine's sensors, too")] = True,
    source: Annotated[str, typer.Option(help="auto | sysfs | tegrastats | jtop")] = "auto",
    total: Annotated[str, typer.Option(help="rails to add up, e.g. VDD_A,VDD_B")] = "",
    root: Annotated[Path, typer.Option(help="where /sys is found below")] = Path("/"),
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """The rails of every known module, how its total is had and what that excludes; then this
    board's, as they are now.

    Example: prism-edge energy rails
    """
    from prism_edge.energy.rails import MODULES

    found = _here(source, total, root) if here else None
    if as_json:
        modules = [
            {
                "module": module.name,
                "rails": module.rails,
                "total": module.total,
                "rule": module.rule,
                "excludes": module.excludes,
            }
            for module in MODULES
        ]
        print(json.dumps({"modules": modules, "here": found}, indent=2))
        return
    for module in MODULES:
        print(f"{module.name}\n  rails     {', '.join(module.rails) or 'none'}")
        print(f"  total     {module.rule}\n  excludes  {module.excludes}")
    if found is not None:
        _show(found)


def _here(source: str, total: str, root: Path) -> dict[str, Any]:
    """What this machine has, in SI units."""
    from prism_edge.energy.choose import choose
    from prism_edge.energy.rails import declared, total_of, unknown_total
    from prism_edge.errors import EnergyError

    choice = choose(source, root)
    told = declared(total)
    found: dict[str, Any] = {"source": choice.kind, "reasons": choice.reasons}
    if choice.kind == "none":
        return found
    try:
        sample = asyncio.run(_first(choice.kind, told, root))
    except EnergyError as error:
        return {**found, "problem": str(error)}
    known = total_of(sample.rails_mw, told)
    return {
        **found,
        "rails_w": {name: round(mw / 1000, 6) for name, mw in sample.rails_mw.items()},
        "total_w": sample.power_w,
        "rule": sample.rule or unknown_total(sample.rails_mw),
        "excludes": None if known is None else known.excludes,
    }


async def _first(kind: Kind, total: tuple[str, ...], root: Path) -> Sample:
    from prism_edge.energy.choose import open_source
    from prism_edge.errors import EnergyError

    async with open_source(kind, board="this board", total=total, root=root) as source:
        try:
            return await asyncio.wait_for(source.__anext__(), PATIENCE_S)
        except asyncio.TimeoutError:
            raise EnergyError(f"{kind}: no reading in {PATIENCE_S:g} s") from None


def _show(found: dict[str, Any]) -> None:
    print(f"\nThis board: {found['source']}")
    for kind, reason in found["reasons"].items():
        print(f"  {kind:<16} {reason}")
    if "problem" in found:
        print(f"  {found['problem']}")
    for name, watts in found.get("rails_w", {}).items():
        print(f"  {name:<16} {watts:8.3f} W")
    if "rule" in found:
        watts = found["total_w"]
        shown = "unknown" if watts is None else f"{watts:8.3f} W"
        print(f"  {'total':<16} {shown} ({found['rule']})")
    if found.get("excludes"):
        print(f"  {'excludes':<16} {found['excludes']}")

"""``prism-edge energy window`` and ``idle``: what boards spent between two moments."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prism_edge.cli.energy_moments import above_0, windows
from prism_edge.errors import EnergyError

if TYPE_CHECKING:
    from prism_edge.energy.recording import Recording
    from prism_edge.energy.statement import Statement, WindowStatement

File = Annotated[Path, typer.Argument(help="a journal, or a log of tegrastats' lines")]
Since = Annotated[list[str], typer.Option("--from", help="seconds from its start, or a date")]
Until = Annotated[list[str], typer.Option("--to", help="as --from")]
Interval = Annotated[float | None, typer.Option(help="seconds between lines of a log, or samples")]
Total = Annotated[str, typer.Option(help="rails that add up to the board, e.g. VDD_A,VDD_B")]
Json = Annotated[bool, typer.Option("--json", help="print JSON, SI units in its names")]


def window(
    file: File,
    since: Since = [],  # noqa: B006
    until: Until = [],  # noqa: B006
    idle: Annotated[
        float | None, typer.Option(help="seconds before and after that are idle: gives net energy")
    ] = None,
    interval: Interval = None,
    total: Total = "",
    as_json: Json = False,
) -> None:
    """Energy of a stretch of a recording, with its uncertainty; exit 1 where it is refused.

    Several pairs of --from and --to are windows of the same work.

    Example: prism-edge energy window run.sqlite --from 60 --to 120 --idle 60
    """
    from prism_edge.energy.statement import statement

    above_0("--idle", idle)
    found, pairs = _load(file, since, until, interval, total, idle or 0.0)
    said = statement(found, pairs, idle_s=idle, interval_s=interval)
    if as_json:
        print(json.dumps(_as_dict(file, found, said), indent=2))
    else:
        print("\n".join(_readable(found, said)))
    if any(one.energy.refused for one in said.windows):
        raise typer.Exit(1)


def idle(
    file: File,
    since: Since = [],  # noqa: B006
    until: Until = [],  # noqa: B006
    interval: Interval = None,
    total: Total = "",
    as_json: Json = False,
) -> None:
    """Idle power of every board in a stretch without work; exit 1 where it is refused.

    Example: prism-edge energy idle run.sqlite --from 0 --to 60
    """
    from prism_edge.energy.statement import IDLE_S
    from prism_edge.energy.statement import idle as of

    found, pairs = _load(file, since, until, interval, total)
    if len(pairs) > 1:
        raise typer.BadParameter("idle is one stretch: one --from and one --to")
    start_s, stop_s = pairs[0]
    boards = of(found, (start_s, stop_s), interval_s=interval)
    if as_json:
        about = {**_about(file, found), "from_s": start_s, "to_s": stop_s}
        boards_said = {name: asdict(one) for name, one in boards.items()}
        print(json.dumps({**about, "boards": boards_said}, indent=2))
    else:
        from prism_edge.energy.statement import half_width_text

        for name, one in boards.items():
            half_w = None if one.standard_w is None else 2 * one.standard_w
            said = one.refused or half_width_text(one.idle_w, half_w, "W")
            print(f"{name} ({found.source(name)}): {said}, {one.samples} samples")
        if stop_s - start_s < IDLE_S:
            print(f"note: {stop_s - start_s:g} s are short: {IDLE_S:g} s are usual")
    if any(one.refused for one in boards.values()):
        raise typer.Exit(1)


def _load(
    file: Path,
    since: list[str],
    until: list[str],
    interval: float | None,
    total: str,
    beside_s: float = 0.0,
) -> tuple[Recording, list[tuple[float, float]]]:
    from prism_edge.energy.rails import declared
    from prism_edge.energy.recording import extent_of, recording

    above_0("--interval", interval)
    extent = extent_of(file)
    if extent is not None:
        if total:
            raise typer.BadParameter("--total is for logs: a journal holds totals")
        pairs = windows(since, until, extent, is_log=False)
        around = (min(a for a, _ in pairs) - beside_s, max(b for _, b in pairs) + beside_s)
        return recording(file, between=around), pairs
    found = recording(file, interval_s=interval, total=declared(total), board=file.stem)
    if not (since or until) and found.first_s == found.last_s:
        raise EnergyError(f"{file}: holds one sample; energy is between two")
    return found, windows(since, until, (found.first_s, found.last_s), is_log=True)


def _about(file: Path, found: Recording) -> dict[str, Any]:
    return {
        "file": str(file),
        "kind": found.kind,
        "clock": found.clock,
        "rule": found.rule,
        "conditions": dict(found.conditions),
        "clock_bounds_s": dict(found.bounds_s),
    }


def _as_dict(file: Path, found: Recording, said: Statement) -> dict[str, Any]:
    each = [_window_dict(one) for one in said.windows]
    return {
        **_about(file, found),
        "sources": said.sources,
        "excludes": said.excludes,
        **(each[0] if len(each) == 1 else {"windows": each}),
        "repeats": said.repeats and asdict(said.repeats),
        "notes": list(said.notes),
    }


def _window_dict(one: WindowStatement) -> dict[str, Any]:
    """Of one board alone its peak, samples and gaps stand at the top as well."""
    divided = None if one.requests is None else asdict(one.requests)
    boards = [asdict(board) for board in one.energy.boards.values()]
    return {
        "from_s": one.start_s,
        "to_s": one.stop_s,
        "seconds": one.stop_s - one.start_s,
        **(boards[0] if len(boards) == 1 else {}),
        **asdict(one.energy),
        "throttled": one.throttled,
        "shares": divided,
    }


def _readable(found: Recording, said: Statement) -> Iterator[str]:
    from prism_edge.energy.statement import half_width_text

    for one in said.windows:
        whole = one.energy
        yield f"{one.stop_s - one.start_s:g} s from {one.start_s - found.first_s:g} s"
        for name, each in whole.boards.items():
            yield f"  {name} ({found.source(name)}): " + (
                f"refused: {each.refused}"
                if each.refused or each.uncertainty is None
                else f"{half_width_text(each.energy_j, each.uncertainty.expanded_j, 'J')}, "
                + (
                    f"net {half_width_text(each.net_j, each.net_expanded_j, 'J')}, "
                    if each.net_j is not None
                    else ""
                )
                + f"mean {each.mean_w:.2f} W, peak {each.peak_w:.2f} W, {each.samples} samples, "
                f"one every {each.interval_s:.3g} s, coverage {each.coverage_pct:.1f} %"
                + ("" if each.reliable else ", UNRELIABLE")
            )
        if len(whole.boards) > 1 and whole.uncertainty is not None:
            energy = half_width_text(whole.energy_j, whole.uncertainty.expanded_j, "J")
            yield f"  all boards: {energy}, mean {whole.mean_w:.2f} W"
        if whole.edp_js is not None:
            yield f"  energy-delay product {whole.edp_js:.4g} J s"
        if one.requests is not None:
            charged = [r.energy_j for r in one.requests.requests if r.energy_j is not None]
            mean = f", {sum(charged) / len(charged):.4g} J each on the mean" if charged else ""
            yield f"  {len(one.requests.requests)} requests{mean}; idle {one.requests.idle_j:.4g} J"
    if said.repeats is not None:
        n, sd_j = said.repeats.n, said.repeats.sd_j
        mean = half_width_text(said.repeats.mean_j, said.repeats.expanded_j, "J")
        yield f"mean of {n} windows: {mean}, standard deviation {sd_j:.3g} J"
    yield f"power is {said.rule or 'the total of each board'}; outside: {said.excludes}"
    yield f"times: {found.clock}; ± are 95 %"
    for note in said.notes:
        yield f"note: {note}"

"""A journal, and a profile if there is one, become the values that a report shows. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from statistics import median

from prism_edge.energy.clocks import on_one_clock
from prism_edge.energy.rows import JournalData, RequestRow
from prism_edge.energy.shares import InFlight
from prism_edge.report.costs import costs
from prism_edge.report.foresight import foresights
from prism_edge.report.limits import limits, missing, power_label, setting_label
from prism_edge.report.phases import Phase, extent, phase_at, phases
from prism_edge.report.stats import latency, speedup
from prism_edge.report.traces import traces
from prism_edge.report.values import Batch, Event, Group, PlanSeries, Reason, Report, Series, Span
from prism_edge.report.why import fallback, predicted_s
from prism_edge.report.windows import PowerLogs, group_energy, power_logs
from prism_edge.schedule.events import Aim
from prism_edge.tables import Profile


def numbers(journal: JournalData, profile: Profile | None = None, aim: Aim | None = None) -> Report:
    """Everything the report of ``journal`` shows; ``missing`` names the parts it cannot show."""
    first_s, last_s = extent(journal)
    found = phases(journal)
    boards = _boards(journal)
    samples = on_one_clock(journal)
    logs = power_logs(samples, list(boards), [_flight(row) for row in journal.requests])
    power = power_label(boards, journal.samples)
    tables = None if profile is None else costs(profile, aim)
    groups = _groups(journal.requests, found, logs)
    batches = tuple(_batch(row, first_s, found) for row in journal.requests)
    kind = journal.meta.get("kind", "unknown")
    return Report(
        cluster=journal.meta.get("cluster", "unknown"),
        kind=kind,
        setting=setting_label(kind),
        version=journal.meta.get("prism_edge", "unknown"),
        started=_utc(first_s) if last_s else None,
        duration_s=last_s - first_s,
        boards=boards,
        power=power,
        aim=None if aim is None else str(aim),
        answered=sum(row.ok for row in journal.requests),
        failed=sum(not row.ok for row in journal.requests),
        fallback_count=sum(batch.meant is not None for batch in batches),
        phases=tuple(
            Span(
                name=phase.name,
                note=phase.note,
                start_s=phase.start_s - first_s,
                stop_s=phase.stop_s - first_s,
            )
            for phase in found
        ),
        groups=groups,
        plans=_plans(journal.requests, found, logs),
        foresights=foresights(batches),
        fallbacks=_reasons(
            (found[phase_at(found, row.start_s)].name, said.meant, said.reason)
            for row in journal.requests
            if (said := fallback(row.why)) is not None
        ),
        failures=_reasons(
            (found[phase_at(found, row.start_s)].name, row.plan, row.error or "no error recorded")
            for row in journal.requests
            if not row.ok
        ),
        events=tuple(
            Event(t_s=event.t_s - first_s, kind=event.kind, detail=event.detail or "")
            for event in journal.events
        ),
        batches=batches,
        traces=traces(samples, first_s, last_s),
        costs=tables,
        missing=missing(journal, boards, profile is not None),
        limits=limits(kind, power, groups, tables),
    )


def _boards(journal: JournalData) -> dict[str, str]:
    """Every board by name and where its power figures come from: as configured, else as sampled."""
    named = {
        key.partition(".")[2]: label
        for key, label in journal.meta.items()
        if key.startswith("power.")
    }
    for sample in journal.samples:
        named.setdefault(sample.board, sample.source)
    return dict(sorted(named.items()))


def _groups(
    rows: Sequence[RequestRow],
    found: Sequence[Phase],
    logs: PowerLogs,
) -> tuple[Group, ...]:
    members: dict[tuple[int, str, int], list[RequestRow]] = {}
    for row in rows:
        key = (phase_at(found, row.start_s), row.model, row.batch)
        members.setdefault(key, []).append(row)
    groups = []
    for (phase, model, batch), each in sorted(members.items()):
        answered = [row for row in each if row.ok]
        ours = [row for row in answered if not row.forced]
        asked = [row for row in answered if row.forced and fallback(row.why) is None]
        local = [row for row in asked if row.plan == "local"]
        full = [row for row in asked if row.plan.startswith("voltage")]
        groups.append(
            Group(
                phase=found[phase].name,
                note=found[phase].note,
                model=model,
                batch=batch,
                plans=dict(Counter(row.plan for row in ours).most_common()),
                adaptive=_series(ours, logs),
                always_local=_series(local, logs),
                always_full=_series(full, logs),
                speedup_local=speedup(_timed(ours), _timed(local)),
                speedup_full=speedup(_timed(ours), _timed(full)),
                answered=len(answered),
                failed=len(each) - len(answered),
                fallbacks=sum(fallback(row.why) is not None for row in each),
            )
        )
    return tuple(groups)


def _plans(
    rows: Sequence[RequestRow],
    found: Sequence[Phase],
    logs: PowerLogs,
) -> tuple[PlanSeries, ...]:
    """By phase and plan; a fallback is no example of the plan that ran in the end."""
    members: dict[tuple[int, str, int, str], list[RequestRow]] = {}
    for row in rows:
        if row.ok and fallback(row.why) is None:
            key = (phase_at(found, row.start_s), row.model, row.batch, row.plan)
            members.setdefault(key, []).append(row)
    return tuple(
        PlanSeries(
            phase=found[phase].name,
            model=model,
            batch=batch,
            plan=plan,
            wire_bytes=_middle([row.wire_bytes for row in each]),
            series=_series(each, logs),
        )
        for (phase, model, batch, plan), each in sorted(members.items())
    )


def _series(rows: Sequence[RequestRow], logs: PowerLogs) -> Series:
    return Series(
        n=len(rows),
        latency=latency([latency_s for _, latency_s in _timed(rows)]),
        energy=group_energy(logs, [_flight(row) for row in rows]),
    )


def _flight(row: RequestRow) -> InFlight:
    return InFlight(id=f"{row.id} {row.start_s}", start_s=row.start_s, stop_s=row.stop_s)


def _middle(values: Iterable[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _timed(rows: Iterable[RequestRow]) -> list[tuple[float, float]]:
    return [(row.start_s, row.latency_s) for row in rows if row.latency_s is not None]


def _batch(row: RequestRow, first_s: float, found: Sequence[Phase]) -> Batch:
    said = fallback(row.why)
    return Batch(
        id=row.id,
        t_s=row.start_s - first_s,
        model=row.model,
        batch=row.batch,
        plan=row.plan,
        asked=row.forced,
        why=row.why,
        predicted_s=predicted_s(row.why),
        run_s=row.stop_s - row.start_s,
        latency_s=row.latency_s,
        ok=row.ok,
        error=row.error,
        meant=None if said is None else said.meant,
        phase=phase_at(found, row.start_s),
        wire_bytes=row.wire_bytes,
    )


def _reasons(said: Iterable[tuple[str, str, str]]) -> tuple[Reason, ...]:
    """(phase, plan, reason) counted, the most frequent first."""
    counts: dict[tuple[str, str], list[str]] = {}
    for phase, plan, reason in said:
        counts.setdefault((plan, reason), []).append(phase)
    return tuple(
        Reason(plan=plan, reason=reason, n=len(names), phases=tuple(dict.fromkeys(names)))
        for (plan, reason), names in sorted(counts.items(), key=lambda item: -len(item[1]))
    )


def _utc(t_s: float) -> str:
    return datetime.fromtimestamp(t_s, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")

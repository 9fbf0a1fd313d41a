"""What the leader remembers: the journal on disk, power metrics, the last decisions."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from prism_edge.energy import clocks
from prism_edge.energy.clocks import Offset
from prism_edge.energy.journal import DecisionRow, EventRow, Journal, RequestRow
from prism_edge.energy.sample import Sample
from prism_edge.errors import JournalError
from prism_edge.schedule.events import Event, to_json
from prism_edge.schedule.policy import Decision
from prism_edge.serve.batcher import Waiting
from prism_edge.serve.choice import Choice, new_id
from prism_edge.serve.history import History
from prism_edge.serve.metrics import Metrics

LOG = logging.getLogger(__name__)


class Record:
    """Writes to ``journal`` if there is one. Where it cannot, requests go on and ``complaint`` says
    why, as do the log and the metrics."""

    def __init__(self, journal: Journal | None, metrics: Metrics) -> None:
        self._journal = journal
        self._metrics = metrics
        self.history = History(time.monotonic())
        self._last: dict[str, tuple[float, float]] = {}  # a board's last t_s and power_w
        self.complaint: str | None = None
        metrics.journal(None if journal is None else True)

    def sample(self, sample: Sample) -> None:
        """A board's power reading, of which the total is known."""
        assert sample.power_w is not None
        self.history.sample(sample, time.monotonic())
        last = self._last.get(sample.board)
        self._last[sample.board] = sample.t_s, sample.power_w
        self._metrics.power(sample.board, sample.source, sample.power_w)
        if last is not None and 0 < (passed_s := sample.t_s - last[0]) < 1.0:
            energy_j = max(0.0, (sample.power_w + last[1]) / 2 * passed_s)
            self._metrics.energy(sample.board, sample.source, energy_j)
        self._write(lambda journal: journal.sample(sample))

    def clock(self, board: str, offset: Offset) -> None:
        """How far a worker's clock is ahead of ours has become known, or is another now."""
        row = clocks.event(board, offset, time.time())
        self._write(lambda journal: journal.event(row))

    def event(self, kind: str, detail: str) -> None:
        """Something happened, now."""
        self.history.event(kind, detail, time.monotonic())
        row = EventRow(t_s=time.time(), kind=kind, detail=detail)
        self._write(lambda journal: journal.event(row))

    def noted(self, event: Event, decision: Decision | None, request: str | None) -> None:
        """The policy has learnt of ``event``, and taken ``decision`` if it was asked.

        Call it for every event in the order they were given to the policy, or replay cannot follow;
        it may come later than the event, whose monotonic time the wall clock is told from.
        """
        if decision is not None and request is not None:
            self.history.decided(request, decision)
        if self._journal is None:
            return
        row = DecisionRow(
            t_s=time.time() - time.monotonic() + event.now_s,
            event=to_json(event),
            plan=None if decision is None else str(decision.plan),
            why=None if decision is None else decision.why,
            request=request,
        )
        self._write(lambda journal: journal.decision(row))

    def answered(
        self,
        first: Waiting[Any],
        rows: int,
        result: Mapping[str, Any],
        why: str,
        start_s: float,
        stop_s: float,
        request: str | None = None,
    ) -> None:
        """A batch has been answered. Times are monotonic; the journal gets the wall clock.

        ``request``: the id under which its plan was ``decided``.
        """
        wall_s = time.time() - time.monotonic()
        spans = tuple((n, s - start_s, d, b) for n, s, d, b in result["spans"])
        row = RequestRow(
            id=request or new_id(),
            model=first.model,
            batch=rows,
            plan=result["plan"],
            why=why,
            forced=first.plan is not None,
            start_s=wall_s + start_s,
            stop_s=wall_s + stop_s,
            latency_s=stop_s - first.arrived_s,
            ok=True,
            error=None,
            wire_bytes=result["wire_bytes"],
            spans=spans,
        )
        self._remember(row)

    def failed(
        self,
        first: Waiting[Any],
        rows: int,
        choice: Choice | None,
        error: str,
        start_s: float,
    ) -> None:
        """A batch has been refused after it was admitted; ``choice``: if there was one by then."""
        wall_s, stop_s = time.time() - time.monotonic(), time.monotonic()
        row = RequestRow(
            id=new_id() if choice is None else choice.id,
            model=first.model,
            batch=rows,
            plan=first.plan or "none" if choice is None else str(choice.plan),
            why=None,
            forced=first.plan is not None,
            start_s=wall_s + start_s,
            stop_s=wall_s + stop_s,
            latency_s=None,
            ok=False,
            error=error,
            wire_bytes=None,
        )
        self._remember(row)

    def last(self) -> list[dict[str, object]]:
        """The last batches, newest first."""
        return self.history.last()

    def close(self) -> None:
        """Everything is on disk."""
        self._write(lambda journal: journal.close())

    def _remember(self, row: RequestRow) -> None:
        self.history.batch(row, time.monotonic())
        self._write(lambda journal: journal.request(row))

    def _write(self, write: Any) -> None:
        if self._journal is None:
            return
        try:
            write(self._journal)
        except JournalError as error:
            LOG.error("journal given up: %s", error)
            self._journal = None
            return
        said = self._journal.complaint
        if said is not None and self.complaint is None:
            LOG.error("serving without a journal until it can be written: %s", said)
        elif said is None and self.complaint is not None:
            LOG.warning("the journal is written again")
        if said != self.complaint:
            self._metrics.journal(said is None)
            self.complaint = said

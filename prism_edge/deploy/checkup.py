"""Boards are asked all at once; one that does not answer is a finding, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import permutations

from prism_edge.deploy.facts import Facts
from prism_edge.deploy.findings import findings, ways, worst_first
from prism_edge.deploy.findings.between import between
from prism_edge.deploy.findings.finding import Finding, Severity, verdict
from prism_edge.deploy.fix import carry_out
from prism_edge.deploy.gather import gather
from prism_edge.deploy.runner import Runner
from prism_edge.errors import ClusterError
from prism_edge.settings import BoardSettings, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One fix that was tried for ``finding``; ``error``: why it failed, None: it was done.
    ``still_found``: the finding is there all the same."""

    finding: Finding
    error: str | None
    still_found: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A board as it is now. ``facts``: None where it did not answer, and a finding says why."""

    board: str
    facts: Facts | None
    findings: tuple[Finding, ...]
    repairs: tuple[Repair, ...] = ()

    @property
    def verdict(self) -> Severity:
        return verdict(self.findings)


Tell = Callable[[str, Finding], None]  # the board, and what is about to be repaired there


def check(
    runner: Runner,
    settings: Settings | None = None,
    board: BoardSettings | None = None,
    *,
    repair: Tell | None = None,
) -> Checked:
    """One board. ``repair``: hears of every fix before it is made; None: nothing is changed."""
    python = board.python if board is not None else "python3"
    facts = gather(runner, python=python)
    found = findings(facts, settings, board)
    tried: list[tuple[Finding, str | None]] = []
    if repair is not None:
        for item in found:
            if item.fix is not None:
                repair(runner.name, item)
                tried.append((item, _failure(runner, item)))
        if tried:
            facts = gather(runner, python=python)
            found = findings(facts, settings, board)
    left = {(item.code, item.where) for item in found}
    repairs = tuple(
        Repair(finding=item, error=error, still_found=(item.code, item.where) in left)
        for item, error in tried
    )
    return Checked(board=runner.name, facts=facts, findings=found, repairs=repairs)


def _failure(runner: Runner, item: Finding) -> str | None:
    assert item.fix is not None
    try:
        carry_out(item.fix, runner)
    except ClusterError as error:
        return str(error)
    return None


def check_all(
    settings: Settings,
    boards: Sequence[BoardSettings],
    connect: Callable[[BoardSettings], AbstractContextManager[Runner]],
    *,
    repair: Tell | None = None,
) -> tuple[tuple[Checked, ...], tuple[Finding, ...]]:
    """These boards of the cluster, in this order, and what is wrong between them."""
    runners: dict[str, Runner] = {}
    with ExitStack() as connections, ThreadPoolExecutor(len(boards)) as pool:

        def one(board: BoardSettings) -> Checked:
            try:
                runner = connections.enter_context(connect(board))
                runners[board.name] = runner
                return check(runner, settings, board, repair=repair)
            except ClusterError as error:
                return Checked(board=board.name, facts=None, findings=(_silent(board, error),))

        checked = tuple(pool.map(one, boards))
        known = {item.board: item.facts for item in checked if item.facts is not None}
        walks = [
            pool.submit(_walk, runners[start], known[start], settings, known[end])
            for start, end in permutations(known, 2)
        ]
        found = [way for walk in walks for way in walk.result()]
    active = frozenset(name for name, facts in known.items() if facts.installed.active == "active")
    wrong = (*between(settings, list(known.values())), *ways.ways(found, active))
    return checked, worst_first(iter(wrong))


def _silent(board: BoardSettings, error: ClusterError) -> Finding:
    return Finding(
        code="unreachable",
        severity="blocked",
        what=str(error),
        where=board.ssh or board.address,
        remedy="Nothing else is known of this board; the others were checked.",
    )


def _walk(runner: Runner, start: Facts, settings: Settings, end: Facts) -> list[ways.Way]:
    """To the other board's address, and to the one on the mesh where both have one."""
    if start.python is None:
        return []
    to = [settings.board(end.board).address]
    if settings.mesh.subnet and start.installed.mesh_active and end.installed.mesh_active:
        to.append(settings.data_address(end.board))
    found = []
    for address in to:
        line = ways.command(start.python.executable, address, settings.serve.port)
        try:
            done = runner.run(line, timeout_s=ways.CONNECTIONS * ways.PATIENCE_S + 30.0)
        except ClusterError:
            continue  # it answered a moment ago; who asks again will hear why not
        answer, median_s = ways.parse(done.out)
        found.append(
            ways.Way(
                start=start.board,
                end=end.board,
                address=address,
                port=settings.serve.port,
                answer=answer,
                median_s=median_s,
            )
        )
    return found

"""What a check has found, for people and as JSON. Commands to copy stand on lines of their own."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from prism_edge.deploy.checkup import Checked, Repair
    from prism_edge.deploy.facts import Facts
    from prism_edge.deploy.findings.finding import Finding, Severity

WIDTH = 80  # columns where the output is no terminal
WIDEST = 100  # lines of prose that are longer are hard to read
STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "blocked": "bold red"}
PLURALS = {"blocked": "blocked", "warning": "warnings", "note": "notes"}


def as_dict(checked: Sequence[Checked], between: Sequence[Finding]) -> dict[str, object]:
    """All of it as JSON holds it; what is not known is null."""
    from prism_edge.deploy.findings.finding import verdict

    found = [*(item for board in checked for item in board.findings), *between]
    return {
        "verdict": verdict(found),
        "boards": [
            {
                "board": board.board,
                "verdict": board.verdict,
                "facts": None if board.facts is None else dataclasses.asdict(board.facts),
                "findings": [_finding(item) for item in board.findings],
                "repairs": [_repair(item) for item in board.repairs],
            }
            for board in checked
        ],
        "between": [_finding(item) for item in between],
    }


def _finding(item: Finding) -> dict[str, object]:
    from prism_edge.deploy.fix import steps

    return {
        "code": item.code,
        "severity": item.severity,
        "what": item.what,
        "where": item.where,
        "remedy": item.remedy,
        "fix": None if item.fix is None else {"why": item.fix.why, "steps": list(steps(item.fix))},
    }


def _repair(item: Repair) -> dict[str, object]:
    return {"code": item.finding.code, "error": item.error, "still_found": item.still_found}


def _outcome(repair: Repair) -> str:
    if repair.error is not None:
        return f"not repaired: {repair.error}"
    return "was done, and is found all the same" if repair.still_found else "repaired"


def show(checked: Sequence[Checked], between: Sequence[Finding], *, would_fix: bool) -> None:
    """A paragraph per board, then what is between them, then one line that counts."""
    from rich.console import Console

    from prism_edge.deploy.findings.finding import verdict

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    for board in checked:
        _heading(console, board.board, board.verdict)
        for line in _about(board.facts) if board.facts is not None else ():
            _prose(console, line, "  ")
        for repair in board.repairs:
            _prose(console, f"{repair.finding.code}: {_outcome(repair)}", "  ")
        _findings(console, board.findings, would_fix=would_fix)
    if between:
        _heading(console, "between boards", verdict(between))
        _findings(console, between, would_fix=would_fix)
    _say(console, _counted(checked, between, would_fix=would_fix))


def _heading(console: Console, name: str, severity: Severity) -> None:
    from rich.text import Text

    console.print(Text.assemble((name, "bold"), "  ", (severity, STYLES[severity])))


def _findings(console: Console, findings: Sequence[Finding], *, would_fix: bool) -> None:
    from rich.text import Text

    from prism_edge.deploy.fix import steps

    _say(console, "")
    for item in findings:
        text = Text.assemble("  ", (item.severity, STYLES[item.severity]), f"  {item.code}")
        console.print(text, soft_wrap=True)
        _prose(console, f"{item.what} ({item.where})", "    ")
        for line in item.remedy.splitlines():
            if line.startswith("$ "):
                _say(console, f"      {line}")
            else:
                _prose(console, line, "    ")
        if would_fix and item.fix is not None:
            _prose(console, f"--fix would do this, as root, so that {item.fix.why}:", "    ")
            for line in steps(item.fix):
                _say(console, f"      # {line}")
        _say(console, "")


def _about(facts: Facts) -> Iterator[str]:
    """What the board is, so that a finding can be judged."""
    one = facts.identity
    jetpack = f"JetPack {one.jetpack} (L4T {one.l4t})" if one.jetpack else f"L4T {one.l4t}"
    yield ", ".join(filter(None, (one.model, jetpack if one.l4t else one.system, one.architecture)))
    python = "no Python" if facts.python is None else f"Python {facts.python.version}"
    yield f"{python}; {_torch(facts)}"
    yield "; ".join(filter(None, (_mode(facts), _memory(facts), _disk(facts))))
    addresses = [
        f"{item.name} {address}"
        for item in facts.network.interfaces
        if item.up and item.kind != "loopback"
        for address in item.addresses
        if not address.startswith("fe80:")
    ]
    if addresses:
        yield ", ".join(addresses)
    if facts.installed.current is not None:
        yield f"release {facts.installed.current}, {facts.installed.active or 'no service'}"


def _torch(facts: Facts) -> str:
    torch = facts.torch
    if torch.version is None:
        return "no torch of its own"
    able = [f"CUDA {torch.cuda}" if torch.cuda else "no CUDA"]
    if torch.gloo is not None:
        able.append("GLOO" if torch.gloo else "no GLOO")
    return f"torch {torch.version} ({', '.join(able)})"


def _mode(facts: Facts) -> str:
    return f"power mode {facts.power.current}" if facts.power.current else ""


def _memory(facts: Facts) -> str:
    storage = facts.storage
    if storage.available_bytes is None or storage.memory_bytes is None:
        return ""
    swap = "" if storage.swap_kind is None else f", swap {storage.swap_kind}"
    free = f"{storage.available_bytes / 1e9:.1f} of {storage.memory_bytes / 1e9:.1f} GB"
    return f"{free} of memory available{swap}"


def _disk(facts: Facts) -> str:
    free = facts.storage.free_bytes
    return "" if free is None else f"{free / 1e9:.1f} GB of disk free"


def _counted(checked: Sequence[Checked], between: Sequence[Finding], *, would_fix: bool) -> str:
    found = [*(item for board in checked for item in board.findings), *between]
    counts = [
        f"{number} {severity if number == 1 else plural}"
        for severity, plural in PLURALS.items()
        if (number := sum(item.severity == severity for item in found))
    ]
    fixable = sum(item.fix is not None for item in found)
    hint = f"; {fixable} of them can be repaired by --fix" if fixable and not would_fix else ""
    return f"{', '.join(counts)}{hint}" if counts else "nothing is wrong"


def _prose(console: Console, text: str, indent: str) -> None:
    """Wrapped by words, and indented."""
    width = min(console.width, WIDEST)
    lines = textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
    for line in lines:
        _say(console, line)


def _say(console: Console, text: str) -> None:
    """As it is; a terminal that is too narrow wraps it by itself, so that it can be copied."""
    console.print(text, markup=False, soft_wrap=True)

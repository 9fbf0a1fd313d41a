"""``prism-edge infer FILES``: one line per answer as it comes, and what came of all at the end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from itertools import chain, cycle
from pathlib import Path

import typer

from prism_edge.cli.infer_items import Model
from prism_edge.cli.infer_outputs import readable, summary
from prism_edge.client.connection import Where
from prism_edge.client.feed import Item, Pace, Result, feed, patiently, said
from prism_edge.errors import SettingsError
from prism_edge.plan import Plan
from prism_edge.profile.progress import progress_on
from prism_edge.serve.oip_client import Daemon

STDIN = Path("-")


def answer_files(
    files: list[Path],
    where: Where,
    model: str,
    *,
    plan: Plan | None,
    tokenizer: Path | None,
    pace: Pace,
    as_json: bool,
) -> None:
    """Results on stdout, progress and the summary on stderr, also after Ctrl-C.

    Raises ``typer.Exit`` with 1 when an item was not answered.
    """
    if pace.seconds is not None and (pace.rate_hz is None or STDIN in files):
        raise SettingsError("infer: --seconds goes round files, with --rate and without -")
    results: list[Result] = []
    dropped: list[Item] = []
    with Daemon(
        where.url, token=where.token, timeout_s=where.timeout_s, authority=where.authority
    ) as daemon:
        takes, _ = patiently(lambda: daemon.inputs(model), pace.retries)
        asked = Model(
            daemon=daemon,
            name=model,
            takes=takes,
            tokenizer=tokenizer,
            plan=None if plan is None else str(plan),
        )
        listed = asked.files(path for path in files if path != STDIN)
        items: Iterable[Item] = cycle(listed) if pace.seconds is not None else listed
        if STDIN in files:
            items = chain(listed, asked.lines(sys.stdin))
        # on a terminal the results themselves are the progress
        known = pace.seconds is None and STDIN not in files and not sys.stdout.isatty()
        progress = progress_on() if known else None

        def tell(result: Result) -> None:
            results.append(result)
            print(as_line(result, as_json), flush=True)
            if progress is not None:
                progress.advance(result.name, len(results) + len(dropped), len(listed))

        start_s = time.monotonic()
        try:
            feed(items, tell, dropped.append, pace)
        finally:
            if progress is not None:
                progress.close()
            print(said(results, len(dropped), time.monotonic() - start_s), file=sys.stderr)
    if any(result.reply is None for result in results):
        raise typer.Exit(1)


def as_line(result: Result, as_json: bool) -> str:
    """A result for people, or as one JSON object."""
    if result.reply is None:
        if as_json:
            return json.dumps({"name": result.name, "error": result.error})
        return f"{result.name}  error: {result.error}"
    outputs, parameters = result.reply.outputs, result.reply.parameters
    if as_json:
        about = {"name": result.name, "seconds": result.seconds, **parameters}
        return json.dumps({**about, "outputs": summary(outputs)})
    plan, first = parameters.get("plan", ""), readable(outputs)
    more = f"  (and {len(first) - 1} more)" if len(first) > 1 else ""
    text = first[0].removeprefix("answer 0: ")
    return f"{result.name}  {text}{more}  {plan}  {1e3 * result.seconds:.0f} ms"

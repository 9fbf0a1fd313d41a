"""What a board's daemon says, asked on the board: ``python -m prism_edge.deploy.ask``, as root.

It knows token, certificate and port from the release that serves, so a laptop needs none of them;
``ask`` runs it through a ``Runner``. Of a daemon that does not answer it says why.
"""

from __future__ import annotations

import dataclasses
import json
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from prism_edge.deploy import paths
from prism_edge.deploy.must import CLEAN, last_words
from prism_edge.deploy.runner import Runner
from prism_edge.errors import ClusterError, PrismError
from prism_edge.settings import Settings, read_settings

_PATIENCE_S = 10.0
_COMMAND = f"{CLEAN} {paths.CURRENT}/venv/bin/python -m prism_edge.deploy.ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``status``: what ``GET /status`` shows; ``error``: why there is none."""

    status: dict[str, Any] | None = None
    error: str | None = None


def ask(runner: Runner) -> Answer:
    """What the board's daemon says, asked on the board.

    Raises ``UnreachableError`` for a board that is out of reach, nothing for a daemon that is.
    """
    done = runner.run(_COMMAND, root=True, timeout_s=60)
    try:
        said = json.loads(done.out.splitlines()[-1])
        return Answer(status=said["status"], error=said["error"])  # an older release says more
    except (ValueError, IndexError, TypeError, KeyError):
        return Answer(error=last_words(done.err or done.out))


def await_group(runner: Runner, boards: Iterable[str], limit_s: float) -> dict[str, Any]:
    """The status of the leader behind ``runner`` as soon as all ``boards`` are in its group.

    Raises ``ClusterError`` after ``limit_s`` that says who is missing and why.
    """
    wanted, until_s = set(boards), time.monotonic() + limit_s
    while True:
        answer = ask(runner)
        missing = _missing(answer, wanted)
        if answer.status is not None and not missing:
            return answer.status
        if time.monotonic() > until_s:
            raise ClusterError(
                f"board {runner.name}: not in its group after {limit_s:g} s: "
                f"{'; '.join(f'{name} ({why})' for name, why in sorted(missing.items()))}; see "
                f"`prism-edge deploy logs --cluster FILE`"
            )
        time.sleep(0.5)


def _missing(answer: Answer, wanted: set[str]) -> dict[str, str]:
    """Why each of these boards is not in the leader's group."""
    boards = {} if answer.status is None else {b["name"]: b for b in answer.status["boards"]}
    silent = answer.error or "the leader does not know it"
    found = {name: boards.get(name) for name in wanted}
    word = "in_group" if len(boards) > 1 else "ready"  # a leader alone forms no group
    return {
        name: silent if board is None else str(board["why_out"] or "the group is not formed yet")
        for name, board in found.items()
        if board is None or not board[word]
    }


def asked_here(settings: Settings, board: str) -> Answer:
    """What the daemon of ``board``, which is this machine, says."""
    limits = settings.serve
    try:
        headers = {}
        if limits.token_file is not None:
            headers["Authorization"] = f"Bearer {limits.token_file.read_text().strip()}"
        trusted = ssl.create_default_context(cafile=limits.authority) if limits.authority else True
        with httpx.Client(
            base_url=_url(settings, board),
            headers=headers,
            verify=trusted,
            timeout=_PATIENCE_S,
            trust_env=False,
        ) as client:
            status = client.get("/status")
            if status.is_error:
                return Answer(error=f"{status.url} answered {status.status_code}: {status.text}")
            return Answer(status=status.json())
    except (OSError, httpx.HTTPError, ValueError, KeyError) as error:
        return Answer(error=f"{_url(settings, board)}: {error}; is the service active?")


def _url(settings: Settings, board: str) -> str:
    """Where the daemon listens; one that listens everywhere is also at its own address."""
    host, own = settings.serve.host, settings.url(board)
    if host in ("", "0.0.0.0", "::"):
        return own
    return f"{settings.serve.scheme}://{host}:{settings.serve.port}"


def main() -> None:
    """One line of JSON."""
    etc = Path(paths.CURRENT) / "etc"
    try:
        board = (etc / "board.env").read_text().strip().partition("=")[2]
        answer = asked_here(read_settings(etc / "cluster.toml"), board)
    except (OSError, PrismError) as error:
        answer = Answer(error=f"the release does not say how to ask it: {error}")
    print(json.dumps(dataclasses.asdict(answer)))


if __name__ == "__main__":
    main()

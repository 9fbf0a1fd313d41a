"""What a board's daemon says, asked on the board: ``python -m prism_edge.deploy.ask``, as root.

It knows token, certificate and port from the release that serves, so a laptop needs none of them;
``ask`` runs it through a ``Runner``. Of a daemon that does not answer it says why.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import ssl
import time
from collections.abc import Iterable, Mapping
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
_TRIAL_S = 120.0
_COMMAND = f"{CLEAN} {paths.CURRENT}/venv/bin/python -m prism_edge.deploy.ask"
_TOKENS = 8  # of a text that is only there to be answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``status``: what ``GET /status`` shows; ``ready``: what ``/v2/health/ready`` says; ``error``:
    why there is no answer; ``inferred``: ``plan`` and ``why`` of a request, if one was asked for.
    """

    status: dict[str, Any] | None = None
    ready: dict[str, Any] | None = None
    inferred: dict[str, Any] | None = None
    error: str | None = None


def ask(runner: Runner, *, infer: bool = False) -> Answer:
    """What the board's daemon says, asked on the board. ``infer``: answers a made-up request too.

    Raises ``UnreachableError`` for a board that is out of reach, nothing for a daemon that is.
    """
    command = f"{_COMMAND} --infer" if infer else _COMMAND
    done = runner.run(command, root=True, timeout_s=_TRIAL_S + 30)
    try:
        return Answer(**json.loads(done.out.splitlines()[-1]))
    except (ValueError, IndexError, TypeError):
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


def asked_here(settings: Settings, board: str, *, infer: bool) -> Answer:
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
            status, ready = client.get("/status"), client.get("/v2/health/ready")
            if status.is_error:  # a daemon that is not ready is no error, and says why
                return Answer(error=f"{status.url} answered {status.status_code}: {status.text}")
            inferred = _inferred(client, settings.models[0].name) if infer else None
            return Answer(status=status.json(), ready=ready.json(), inferred=inferred)
    except (OSError, httpx.HTTPError, ValueError, KeyError) as error:
        return Answer(error=f"{_url(settings, board)}: {error}; is the service active?")


def _url(settings: Settings, board: str) -> str:
    """Where the daemon listens; one that listens everywhere is also at its own address."""
    host, own = settings.serve.host, settings.url(board)
    if host in ("", "0.0.0.0", "::"):
        return own
    return f"{settings.serve.scheme}://{host}:{settings.serve.port}"


def _inferred(client: httpx.Client, model: str) -> dict[str, Any]:
    """Plan and reason of a made-up request: the smallest, all zeros. Raises ``httpx.HTTPError``."""
    known = client.get(f"/v2/models/{model}").raise_for_status().json()["inputs"]
    tensors = [_zeros(tensor) for tensor in known]
    reply = client.post(f"/v2/models/{model}/infer", json={"inputs": tensors}, timeout=_TRIAL_S)
    return dict(reply.raise_for_status().json()["parameters"])


def _zeros(tensor: Mapping[str, Any]) -> dict[str, Any]:
    """One row; of a text, a few tokens."""
    rows, *rest = tensor["shape"]
    shape = [max(rows, 1), *(size if size > 0 else _TOKENS for size in rest)]
    return {**tensor, "shape": shape, "data": [0] * math.prod(shape)}


def main() -> None:
    """One line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m prism_edge.deploy.ask", description=__doc__)
    parser.add_argument("--infer", action="store_true", help="send a made-up request too")
    infer = parser.parse_args().infer
    etc = Path(paths.CURRENT) / "etc"
    try:
        board = (etc / "board.env").read_text().strip().partition("=")[2]
        answer = asked_here(read_settings(etc / "cluster.toml"), board, infer=infer)
    except (OSError, PrismError) as error:
        answer = Answer(error=f"the release does not say how to ask it: {error}")
    print(json.dumps(dataclasses.asdict(answer)))


if __name__ == "__main__":
    main()

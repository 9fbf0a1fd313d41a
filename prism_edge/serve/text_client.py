"""The client's end of generate_stream: a text to a daemon, the pieces of its answer back.

Works with any server of the generate extension; the reply's ``parameters`` are this daemon's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from prism_edge.errors import ClusterError
from prism_edge.serve.event_client import events
from prism_edge.serve.service import TextPiece


def continue_text(
    url: str,
    model: str,
    text: str,
    parameters: Mapping[str, object],
    *,
    token: str | None = None,
    timeout_s: float = 60.0,
    authority: Path | None = None,
) -> Iterator[TextPiece]:
    """The pieces as they come; leaving early hangs up, which ends the work on them.

    ``timeout_s``: longest wait for one piece. Raises what the daemon refused with,
    ``ClusterError`` for what went wrong on the way, ``UnreachableError``.
    """
    path = f"/v2/models/{model}/generate_stream"
    body = {"text_input": text, "parameters": dict(parameters)}
    for said in events(url, path, body, token=token, timeout_s=timeout_s, authority=authority):
        yield _piece(url, said)


def _piece(url: str, line: str) -> TextPiece:
    try:
        document = json.loads(line)
        if "error" in document:
            raise ClusterError(f"{url}: {document['error']}")
        return TextPiece(
            text=str(document["text_output"]), parameters=document.get("parameters") or None
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterError(f"{url}: its answer does not parse ({error!r})") from error

"""The client's end of generate_stream: a text to a daemon, the pieces of its answer back.

Works with any server of the generate extension; the reply's ``parameters`` are this daemon's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from prism_edge.errors import ClusterError, UnreachableError
from prism_edge.serve.oip_client import refusal
from prism_edge.serve.service import TextPiece
from prism_edge.serve.tls import trusting


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
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    path = f"{url.rstrip('/')}/v2/models/{model}/generate_stream"
    body = {"text_input": text, "parameters": dict(parameters)}
    try:
        with (
            # a proxy of the environment is for the Internet, not for a board on this network
            httpx.Client(
                headers=headers, timeout=timeout_s, trust_env=False, verify=trusting(authority)
            ) as http,
            http.stream("POST", path, json=body) as reply,
        ):
            if reply.status_code >= 400:
                raise refusal(url, reply.status_code, reply.read())
            for line in reply.iter_lines():
                if line.startswith("data:"):
                    yield _piece(url, line.removeprefix("data:"))
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise UnreachableError(f"{url}: not a URL such as http://10.0.0.1:8000") from error
    except httpx.TransportError as error:
        said = str(error) or type(error).__name__
        raise UnreachableError(
            f"{url}: {said}; is `prism-edge serve` running there, and not busy?"
        ) from error


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

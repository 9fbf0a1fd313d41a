"""The client's end of server-sent events: the data of each, as it comes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from prism_edge.errors import UnreachableError
from prism_edge.serve.oip_client import refusal
from prism_edge.serve.tls import trusting


def events(
    url: str,
    path: str,
    body: Mapping[str, object] | None = None,
    *,
    token: str | None = None,
    timeout_s: float = 60.0,
    authority: Path | None = None,
) -> Iterator[str]:
    """What a daemon's ``path`` sends (POST with a ``body``); leaving early hangs up.

    ``timeout_s``: longest wait for one event. Raises what the daemon refused with, and
    ``UnreachableError``.
    """
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    method = "GET" if body is None else "POST"
    try:
        with (
            # a proxy of the environment is for the Internet, not for a board on this network
            httpx.Client(
                headers=headers, timeout=timeout_s, trust_env=False, verify=trusting(authority)
            ) as http,
            http.stream(method, url.rstrip("/") + path, json=body) as reply,
        ):
            if reply.status_code >= 400:
                raise refusal(url, reply.status_code, reply.read())
            for line in reply.iter_lines():
                if line.startswith("data:"):
                    yield line.removeprefix("data:")
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise UnreachableError(f"{url}: not a URL such as http://10.0.0.1:8000") from error
    except httpx.TransportError as error:
        said = str(error) or type(error).__name__
        raise UnreachableError(
            f"{url}: {said}; is `prism-edge serve` running there, and not busy?"
        ) from error

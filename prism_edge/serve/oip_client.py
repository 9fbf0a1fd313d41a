"""The client's end of the Open Inference Protocol v2: tensors to a daemon and back, as bytes.

The mirror of :mod:`prism_edge.serve.oip`; every refusal becomes an error that carries the daemon's
own words. Works with any server of the protocol that has the binary tensor extension.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import httpx

from prism_edge.errors import (
    ClusterError,
    DeadlineError,
    InputError,
    NotFoundError,
    PrismError,
    UnavailableError,
    UnreachableError,
)
from prism_edge.serve.datatypes import DATATYPES, Array, datatype_of
from prism_edge.serve.oip import HEADER_LENGTH
from prism_edge.serve.service import Parameter, TensorInfo
from prism_edge.serve.tensor_binary import from_binary, to_binary
from prism_edge.serve.tensor_json import from_json
from prism_edge.serve.tls import trusting

REFUSALS: dict[int, type[PrismError]] = {
    400: InputError,
    404: NotFoundError,
    413: InputError,
    429: UnavailableError,
    503: UnavailableError,
    504: DeadlineError,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer: outputs by name, and what the daemon says about it (``plan``, ``why``)."""

    outputs: Mapping[str, Array]
    parameters: Mapping[str, Parameter]


class Daemon:
    """A daemon at ``url``; a context manager.  ``timeout_s``: longest wait for one answer;
    ``authority``: who signed its certificate, None: somebody the system trusts."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: float = 60.0,
        authority: Path | None = None,
    ) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._url = url.rstrip("/")
        # who signs the Internet's certificates takes longer to read than a board to answer
        plain = authority is None and url.startswith("http://")
        verify = False if plain else trusting(authority)
        # a proxy of the environment is for the Internet, not for a board on this network
        self._http = httpx.Client(
            headers=headers, timeout=timeout_s, trust_env=False, verify=verify
        )

    def __enter__(self) -> Daemon:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def inputs(self, model: str) -> tuple[TensorInfo, ...]:
        """What ``model`` takes. Raises ``NotFoundError``, ``UnreachableError``."""
        document = _document(self._url, self._ask("GET", f"/v2/models/{model}").content)
        try:
            return tuple(
                TensorInfo(name=item["name"], datatype=item["datatype"], shape=tuple(item["shape"]))
                for item in document["inputs"]  # type: ignore[attr-defined]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _foreign(self._url, "its model's metadata lacks inputs") from error

    def infer(
        self, model: str, inputs: Mapping[str, Array], parameters: Mapping[str, Parameter]
    ) -> Reply:
        """The daemon's answer. Raises what the daemon refused with, or ``UnreachableError``."""
        body, length = encode_request(inputs, parameters)
        response = self._ask(
            "POST",
            f"/v2/models/{model}/infer",
            body,
            {HEADER_LENGTH: str(length), "Content-Type": "application/octet-stream"},
        )
        header = response.headers.get(HEADER_LENGTH)
        try:
            return decode_response(response.content, None if header is None else int(header))
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise _foreign(self._url, f"its answer does not parse ({error})") from error

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        try:
            response = self._http.request(method, self._url + path, content=body, headers=headers)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise UnreachableError(
                f"{self._url}: not a URL such as http://10.0.0.1:8000"
            ) from error
        except httpx.TimeoutException as error:
            raise UnreachableError(f"{self._url}: no answer in time; is the board busy?") from error
        except httpx.TransportError as error:
            said = str(error) or type(error).__name__
            advice = "is `prism-edge serve` running there, and on this port?"
            if "CERTIFICATE_VERIFY_FAILED" in said:
                advice = "give --authority, and a name or an address that its certificate holds"
            raise UnreachableError(f"{self._url}: {said}; {advice}") from error
        if response.status_code >= 400:
            again = response.headers.get("Retry-After")
            raise refusal(self._url, response.status_code, response.content, again)
        return response


def encode_request(
    inputs: Mapping[str, Array], parameters: Mapping[str, Parameter]
) -> tuple[bytes, int]:
    """The body of a request with binary tensors both ways, and how much of it is JSON."""
    tail = [to_binary(array) for array in inputs.values()]
    document = {
        "parameters": {**parameters, "binary_data_output": True},
        "inputs": [
            {
                "name": name,
                "datatype": datatype_of(array),
                "shape": list(array.shape),
                "parameters": {"binary_data_size": len(data)},
            }
            for (name, array), data in zip(inputs.items(), tail, strict=True)
        ],
    }
    header = json.dumps(document, separators=(",", ":")).encode()
    return b"".join([header, *tail]), len(header)


def decode_response(body: bytes, header_length: int | None) -> Reply:
    """The reply in ``body``; ``ValueError``, ``KeyError`` or ``TypeError`` when it is none."""
    length = len(body) if header_length is None else header_length
    document = json.loads(body[:length])
    tail, start, outputs = memoryview(body)[length:], 0, {}
    for item in document["outputs"]:
        name, datatype, shape = item["name"], item["datatype"], item["shape"]
        if datatype not in DATATYPES:
            raise ValueError(f"output {name!r}: unknown datatype {datatype!r}")
        size = item.get("parameters", {}).get("binary_data_size")
        if size is None:
            outputs[name] = from_json(name, datatype, shape, item["data"])
        else:
            outputs[name] = from_binary(name, datatype, shape, tail[start : start + size])
            start += size
    return Reply(outputs=outputs, parameters=document.get("parameters") or {})


def refusal(url: str, status: int, body: bytes, again: str | None = None) -> PrismError:
    """What a refused request raises, in the daemon's own words; ``again``: its Retry-After."""
    try:
        said = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        said = body[:200].decode(errors="replace").strip() or "without a word"
    advice = "; give --token-file" if status in (401, 403) else ""
    error = REFUSALS.get(status, ClusterError)(f"{url} answered {status}: {said}{advice}")
    if isinstance(error, UnavailableError) and again is not None and again.isdecimal():
        error.retry_after_s = float(again)
    return error


def _document(url: str, body: bytes) -> Mapping[str, object]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise _foreign(url, "its answer is not JSON") from error
    if not isinstance(document, dict):
        raise _foreign(url, "its answer is not a JSON object")
    return document


def _foreign(url: str, what: str) -> ClusterError:
    return ClusterError(f"{url}: {what}; is it a server of the Open Inference Protocol v2?")

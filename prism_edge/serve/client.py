"""A client of the daemon: one request over the Open Inference Protocol, tensors in binary."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from prism_edge.engine.messages import Array
from prism_edge.errors import InputError, NotFoundError, ServiceError, UnreachableError
from prism_edge.serve.datatypes import DATATYPES, datatype_of

HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Outputs by name, the reply's parameters (plan, why, ...), and the client's own latency."""

    outputs: Mapping[str, Array]
    parameters: Mapping[str, Any]
    latency_s: float


class Client:
    """Talks to one daemon; use as a context manager."""

    def __init__(self, url: str, token: str | None = None, timeout_s: float = 60.0) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._url = url.rstrip("/")
        self._http = httpx.Client(base_url=self._url, headers=headers, timeout=timeout_s)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def infer(
        self, model: str, inputs: Mapping[str, Array], parameters: Mapping[str, Any]
    ) -> Answer:
        """One answered request.

        Raises ``UnreachableError``, and for a refusal ``InputError`` (4xx) or ``ServiceError`` with
        the daemon's own words.
        """
        arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        listed = [
            {
                "name": name,
                "shape": list(array.shape),
                "datatype": datatype_of(array),
                "parameters": {"binary_data_size": array.nbytes},
            }
            for name, array in arrays.items()
        ]
        wanted = {**parameters, "binary_data_output": True}
        header = json.dumps({"inputs": listed, "parameters": wanted}).encode()
        body = header + b"".join(array.tobytes() for array in arrays.values())
        start_s = time.monotonic()
        response = self._request(
            "POST",
            f"/v2/models/{model}/infer",
            content=body,
            headers={HEADER_LENGTH: str(len(header))},
        )
        latency_s = time.monotonic() - start_s
        length = int(response.headers.get(HEADER_LENGTH, len(response.content)))
        reply = json.loads(response.content[:length])
        outputs, start = {}, length
        for output in reply["outputs"]:
            dtype = DATATYPES[output["datatype"]]
            if "data" in output:
                outputs[output["name"]] = np.array(output["data"], dtype).reshape(output["shape"])
                continue
            stop = start + int(output["parameters"]["binary_data_size"])
            data = np.frombuffer(response.content[start:stop], dtype)
            outputs[output["name"]] = data.reshape(output["shape"])
            start = stop
        return Answer(outputs=outputs, parameters=reply.get("parameters", {}), latency_s=latency_s)

    def get(self, path: str) -> Any:
        """The JSON at ``path``."""
        return self._request("GET", path).json()

    def post(self, path: str, value: object) -> Any:
        """The JSON that ``path`` answers to ``value``."""
        return self._request("POST", path, json=value).json()

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise UnreachableError(
                f"no daemon answers at {self._url}: {error}; is `prism-edge serve` running there?"
            ) from error
        if response.is_success:
            return response
        try:
            message = str(response.json()["error"])
        except (ValueError, KeyError, TypeError):
            message = f"{method} {path}: {response.status_code} {response.reason_phrase}"
        if response.status_code == 404:
            raise NotFoundError(message)
        if response.status_code < 500:
            raise InputError(message)
        raise ServiceError(message)

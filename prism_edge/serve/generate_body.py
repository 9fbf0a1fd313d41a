"""Bodies of the generate extension: one JSON object in, one or many out. Pure.

https://github.com/triton-inference-server/server (docs/protocol/extension_generate.md) and the
Open Inference Protocol's generate_rest.yaml. Members beside ``id``, ``text_input`` and
``parameters`` are parameters too, as in Triton.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from reprlib import repr as shown

from prism_edge.errors import InputError
from prism_edge.serve.oip import parse_object
from prism_edge.serve.service import ModelInfo, Parameter, TextPiece


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """One request, its parameters as they were written."""

    id: str | None
    text: str
    parameters: Mapping[str, object]
    timeout_us: Parameter | None


def decode_generate(body: bytes | bytearray, *, stream: bool) -> GenerateRequest:
    """The request in ``body``; ``stream``: whether it was sent where answers stream. Every
    malformed one is an ``InputError``."""
    document = parse_object(body)
    request_id, text = document.pop("id", None), document.pop("text_input", None)
    if request_id is not None and not isinstance(request_id, str):
        raise InputError(f"id must be a string, not {shown(request_id)}")
    if not isinstance(text, str):
        raise InputError(f"text_input must be a string, not {shown(text)}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError("text_input is not valid Unicode") from error
    given = document.pop("parameters", None)
    if given is not None and not isinstance(given, dict):
        raise InputError(f"parameters must be an object, not {shown(given)}")
    parameters = {**document, **(given or {})}
    wanted = parameters.pop("stream", None)
    if wanted is not None and wanted is not stream:
        raise InputError(
            f"parameter stream is {shown(wanted)}, but answers stream at generate_stream and come "
            f"whole at generate"
        )
    timeout_us = parameters.pop("timeout", None)
    if timeout_us is not None and not isinstance(timeout_us, (str, int, float)):
        raise InputError(f"parameter timeout: {shown(timeout_us)} is not a number of microseconds")
    return GenerateRequest(id=request_id, text=text, parameters=parameters, timeout_us=timeout_us)


def answer_of(
    info: ModelInfo, request_id: str | None, piece: TextPiece, *, stream: bool
) -> dict[str, object]:
    """One JSON object of a reply; those of a stream say whether they are the last."""
    done = piece.parameters is not None
    return {
        **({} if request_id is None else {"id": request_id}),
        "model_name": info.name,
        "model_version": info.version,
        "text_output": piece.text,
        **({"done": done} if stream else {}),
        **({"parameters": dict(piece.parameters)} if piece.parameters else {}),
    }


def event(value: Mapping[str, object]) -> bytes:
    """One server-sent event."""
    return f"data: {json.dumps(value, allow_nan=False)}\n\n".encode()

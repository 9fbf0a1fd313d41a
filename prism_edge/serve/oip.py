"""Requests and replies of the Open Inference Protocol v2, JSON and binary, as values.

https://github.com/kserve/open-inference-protocol (specification/protocol/inference_rest.md) and
the binary tensor extension of https://github.com/triton-inference-server/server
(docs/protocol/extension_binary_data.md): a message may hold some tensors in its JSON and others as
bytes behind it, in the order of the tensors that carry ``binary_data_size``; the header
``Inference-Header-Content-Length`` is the length of the JSON. A ``null`` member counts as absent.
Pure; every malformed request is an InputError.
"""

import json
import math
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from reprlib import repr as shown

from prism_edge.errors import InputError
from prism_edge.serve.datatypes import DATATYPES, Array, datatype_of
from prism_edge.serve.long_json import Lists, at_once, numbers, shortened, written
from prism_edge.serve.service import Parameter
from prism_edge.serve.tensor_binary import from_binary, to_binary
from prism_edge.serve.tensor_json import from_json

HEADER_LENGTH = "Inference-Header-Content-Length"
MAX_DIMENSIONS = 32  # what every supported numpy can hold
MAX_ELEMENTS = 2**48  # 256 T: more than any body holds, and any such array can be indexed
INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, kw_only=True, slots=True)
class InferRequest:
    """One request; ``outputs``: wanted name -> as bytes; None: all, as ``binary_output`` says."""

    id: str | None
    inputs: Mapping[str, Array]
    outputs: Mapping[str, bool] | None
    binary_output: bool
    parameters: Mapping[str, Parameter]


def parse_object(text: bytes | bytearray) -> dict[str, object]:
    """The JSON object that a body is."""
    try:
        document = json.loads(text.decode())
    except RecursionError as error:
        raise InputError("the request's JSON is nested too deeply") from error
    except ValueError as error:
        raise InputError(
            f"the request is not JSON ({error}); with binary tensors, send {HEADER_LENGTH}"
        ) from error
    if not isinstance(document, dict):
        raise InputError(f"the request must be a JSON object, not {type(document).__name__}")
    return document


def header_length(text: str | None) -> int | None:
    """The value of an ``Inference-Header-Content-Length`` header; None when there is none."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InputError(f"header {HEADER_LENGTH}: {shown(text)} is not a length in bytes")
    return int(text)


def decode_request(body: bytes | bytearray, header_length: int | None) -> InferRequest:
    """The request in ``body``, whose first ``header_length`` bytes are JSON (None: all of it)."""
    return at_once(decoding(body, header_length))


def decoding(
    body: bytes | bytearray, header_length: int | None
) -> Generator[None, None, InferRequest]:
    """The same, with pauses in which others may have their turn."""
    length = len(body) if header_length is None else header_length
    if not 0 <= length <= len(body):
        raise InputError(f"{HEADER_LENGTH} is {length}, but the body is {len(body)} bytes")
    text = body if length == len(body) else body[:length]
    short, lists = yield from shortened(text)
    document = parse_object(short)
    parameters = dict(_parameters("the request", document))
    binary_output = _flag("binary_data_output", parameters.pop("binary_data_output", False))
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InputError(f"id must be a string, not {shown(request_id)}")
    tail = memoryview(body)[length:]
    inputs = yield from _inputs(_objects(document, "inputs"), text, lists, tail)
    return InferRequest(
        id=request_id,
        inputs=inputs,
        outputs=_outputs(_objects(document, "outputs"), binary_output),
        binary_output=binary_output,
        parameters=parameters,
    )


def index_filter(body: bytes | bytearray) -> bool:
    """Whether a repository index request asks for the ready models only; an empty body does not."""
    return bool(body) and _flag("ready", parse_object(body).get("ready") or False)


def wanted_outputs(request: InferRequest, names: Iterable[str]) -> dict[str, bool]:
    """Which of the model's outputs to send, in the order asked for, and whether as bytes."""
    known = list(names)
    if request.outputs is None:
        return dict.fromkeys(known, request.binary_output)
    for name in request.outputs:
        if name not in known:
            raise InputError(f"output {shown(name)}: the model gives {', '.join(known)}")
    return dict(request.outputs)


def encoding(
    *,
    model_name: str,
    model_version: str,
    request_id: str | None,
    outputs: Mapping[str, Array],
    wanted: Mapping[str, bool],
    parameters: Mapping[str, Parameter],
) -> Generator[None, None, tuple[bytes, dict[str, str]]]:
    """The body and headers of a reply with the ``wanted`` outputs: JSON first, then the bytes. In
    its pauses others may have their turn."""
    described: list[str] = []
    tail: list[bytes] = []
    for name, binary in wanted.items():
        array = outputs[name]
        item: dict[str, object] = {
            "name": name,
            "datatype": datatype_of(array),
            "shape": list(array.shape),
        }
        if binary:
            tail.append(to_binary(array))
            item["parameters"] = {"binary_data_size": len(tail[-1])}
            described.append(_text(item))
        else:
            data = yield from written(name, array)
            described.append(f'{_text(item)[:-1]},"data":{data}}}')
    document: dict[str, object] = {"model_name": model_name, "model_version": model_version}
    if request_id is not None:
        document["id"] = request_id
    if parameters:
        document["parameters"] = dict(parameters)
    header = f'{_text(document)[:-1]},"outputs":[{",".join(described)}]}}'.encode()
    if not any(wanted.values()):
        return header, {"Content-Type": "application/json"}
    return b"".join([header, *tail]), {
        "Content-Type": "application/octet-stream",
        HEADER_LENGTH: str(len(header)),
    }


def _text(document: Mapping[str, object]) -> str:
    return json.dumps(document, allow_nan=False, separators=(",", ":"))


def _objects(document: Mapping[str, object], key: str) -> list[dict[str, object]]:
    """The list of objects under ``key``, each with a name of its own."""
    items = document.get(key)
    if items is None:
        return []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InputError(f"{key} must be a list of objects")
    seen: set[str] = set()
    for index, item in enumerate(items):
        name = item.get("name")
        if not isinstance(name, str) or not name:
            raise InputError(f"{key}[{index}]: name must be a string, not {shown(name)}")
        if name in seen:
            raise InputError(f"{key}: {shown(name)} is given twice")
        seen.add(name)
    return items


def _inputs(
    items: list[dict[str, object]], text: bytes | bytearray, lists: Lists, tail: memoryview
) -> Generator[None, None, dict[str, Array]]:
    if not items:
        raise InputError("inputs: the request holds none; at least one tensor is needed")
    inputs: dict[str, Array] = {}
    offset = 0
    for item in items:
        name, where = str(item["name"]), f"input {shown(item['name'])}"
        datatype = item.get("datatype")
        if not isinstance(datatype, str) or datatype not in DATATYPES:
            raise InputError(
                f"{where}: datatype {shown(datatype)} is none of {', '.join(DATATYPES)}"
            )
        shape = _shape(where, item.get("shape"))
        size = _parameters(where, item).get("binary_data_size")
        data = item.get("data")
        if size is None:
            if isinstance(data, str) and data in lists:
                inputs[name] = yield from numbers(name, datatype, shape, text, lists[data])
                continue
            if not isinstance(data, list):
                raise InputError(f"{where}: needs a list data, or binary_data_size and its bytes")
            inputs[name] = from_json(name, datatype, shape, data)
            continue
        if data is not None:
            raise InputError(f"{where}: holds both data and binary_data_size; send one")
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise InputError(f"{where}: binary_data_size {shown(size)} is not a length in bytes")
        if offset + size > len(tail):
            raise InputError(
                f"{where}: binary_data_size is {size}, but {len(tail) - offset} bytes are left "
                f"behind the JSON; {HEADER_LENGTH} says where it ends"
            )
        inputs[name] = from_binary(name, datatype, shape, tail[offset : offset + size])
        offset += size
    if offset != len(tail):
        raise InputError(
            f"{len(tail) - offset} bytes follow the last binary input; no input claims them"
        )
    return inputs


def _shape(where: str, shape: object) -> tuple[int, ...]:
    if (
        not isinstance(shape, list)
        or len(shape) > MAX_DIMENSIONS
        or not all(type(size) is int and 0 <= size < MAX_ELEMENTS for size in shape)
        or math.prod(size for size in shape if size) >= MAX_ELEMENTS
    ):
        raise InputError(
            f"{where}: shape {shown(shape)} must be a list of at most {MAX_DIMENSIONS} sizes, "
            f"none negative, for less than {MAX_ELEMENTS} elements"
        )
    return tuple(shape)


def _outputs(items: list[dict[str, object]], binary_output: bool) -> dict[str, bool] | None:
    wanted: dict[str, bool] = {}
    for item in items:
        where = f"output {shown(item['name'])}"
        parameters = _parameters(where, item)
        for key in ("classification", "shared_memory_region"):
            if parameters.get(key):
                raise InputError(f"{where}: {key} is an extension that this server does not have")
        wanted[str(item["name"])] = _flag(
            f"{where}: binary_data", parameters.get("binary_data", binary_output)
        )
    return wanted or None


def _flag(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{where} is true or false, not {shown(value)}")
    return value


def _parameters(where: str, document: Mapping[str, object]) -> Mapping[str, Parameter]:
    parameters = document.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InputError(f"{where}: parameters must be an object, not {shown(parameters)}")
    for key, value in parameters.items():
        if (
            not isinstance(value, (str, int, float))
            or value != value
            or value in (math.inf, -math.inf)
        ):
            raise InputError(
                f"{where}: parameter {shown(key)} must be a string, number or boolean, "
                f"not {shown(value)}"
            )
        if isinstance(value, int) and value not in INT64:
            raise InputError(f"{where}: parameter {shown(key)} does not fit 64 bits")
    return parameters

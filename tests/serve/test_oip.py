"""Requests and replies: our codec against itself, against tritonclient's, and against noise."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import tritonclient.http as triton
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prism_edge.errors import InputError
from prism_edge.serve import oip
from prism_edge.serve.datatypes import DATATYPES, Array, bytes_array, datatype_of
from prism_edge.serve.long_json import at_once
from prism_edge.serve.tensor_binary import to_binary
from prism_edge.serve.tensor_json import to_json

OFFICIAL = Path(__file__).parents[1] / "data" / "oip" / "open_inference_rest.yaml"
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)


@st.composite
def tensors(draw: st.DrawFn) -> Array:
    datatype = draw(st.sampled_from(list(DATATYPES)))
    shape = draw(SHAPES)
    if datatype != "BYTES":
        array: Array = draw(hnp.arrays(DATATYPES[datatype], shape))
        return array
    count = int(np.prod(shape))
    items = draw(st.lists(st.text(max_size=5), min_size=count, max_size=count))
    return bytes_array([item.encode() for item in items]).reshape(shape)


def body_of(inputs: dict[str, tuple[Array, bool]], **more: object) -> tuple[bytes, int]:
    """A request written by hand: each tensor as JSON or, where its flag says so, as bytes."""
    described, tail = [], []
    for name, (array, binary) in inputs.items():
        item: dict[str, Any] = {"name": name, "shape": array.shape, "datatype": datatype_of(array)}
        if binary:
            tail.append(to_binary(array))
            item["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            item["data"] = to_json(name, array)
        described.append(item)
    header = json.dumps({"inputs": described, **more}).encode()
    return b"".join([header, *tail]), len(header)


def same(left: Array, right: Array) -> None:
    assert left.dtype == right.dtype
    assert left.shape == right.shape
    np.testing.assert_array_equal(left, right)


@given(st.dictionaries(st.text(min_size=1), st.tuples(tensors(), st.booleans()), min_size=1))
@settings(max_examples=60, deadline=None)
def test_json_and_binary_mix_in_one_request(inputs: dict[str, tuple[Array, bool]]) -> None:
    body, length = body_of(inputs, id="7", parameters={"plan": "local"})
    request = oip.decode_request(body, length)
    assert list(request.inputs) == list(inputs)
    for name, (array, _) in inputs.items():
        same(request.inputs[name], array)
    assert request.id == "7"
    assert request.parameters == {"plan": "local"}
    assert request.outputs is None


@given(st.dictionaries(st.text(min_size=1), st.tuples(tensors(), st.booleans()), min_size=1))
@settings(max_examples=60, deadline=None)
def test_a_reply_is_what_tritonclient_reads(outputs: dict[str, tuple[Array, bool]]) -> None:
    body, headers = at_once(
        oip.encoding(
            model_name="m",
            model_version="1",
            request_id="7",
            outputs={name: array for name, (array, _) in outputs.items()},
            wanted={name: binary for name, (_, binary) in outputs.items()},
            parameters={"plan": "local"},
        )
    )
    length = headers.get(oip.HEADER_LENGTH)
    assert (length is not None) == any(binary for _, binary in outputs.values())
    result = triton.InferResult.from_response_body(body, header_length=length and int(length))
    assert result.get_response()["id"] == "7"
    assert result.get_response()["parameters"] == {"plan": "local"}
    for name, (array, binary) in outputs.items():
        read = result.as_numpy(name)
        if datatype_of(array) == "BYTES":
            items = [item if binary else str(item).encode() for item in read.ravel().tolist()]
            assert items == array.ravel().tolist()
            assert read.shape == array.shape
        else:
            # Older tritonclients forget the type of an empty tensor.
            same(read if read.size else read.astype(array.dtype), array)


@given(tensors(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_tritonclient_writes_is_read(array: Array, binary: bool) -> None:
    tensor = triton.InferInput("x", list(array.shape), datatype_of(array))
    tensor.set_data_from_numpy(array, binary_data=binary)
    body, length = triton.InferenceServerClient.generate_request_body([tensor], request_id="a")
    request = oip.decode_request(body, length)
    same(request.inputs["x"], array)
    assert request.id == "a"
    assert request.binary_output
    assert "binary_data_output" not in request.parameters


def test_wanted_outputs_follow_the_request() -> None:
    one = np.zeros(1, np.float32)

    def wanted(**more: object) -> dict[str, bool]:
        body, _ = body_of({"x": (one, False)}, **more)
        return oip.wanted_outputs(oip.decode_request(body, None), ["a", "b"])

    assert wanted() == {"a": False, "b": False}
    assert wanted(outputs=[]) == {"a": False, "b": False}
    assert wanted(parameters={"binary_data_output": True}) == {"a": True, "b": True}
    assert list(wanted(outputs=[{"name": "b"}, {"name": "a"}])) == ["b", "a"]
    mixed = [{"name": "b", "parameters": {"binary_data": False}}, {"name": "a"}]
    assert wanted(outputs=mixed, parameters={"binary_data_output": True}) == {"b": False, "a": True}
    assert wanted(outputs=[{"name": "a", "parameters": {"binary_data": True}}]) == {"a": True}
    with pytest.raises(InputError, match="output 'c': the model gives a, b"):
        wanted(outputs=[{"name": "c"}])


def test_null_members_are_absent_members() -> None:
    tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1], "parameters": None}
    document = {"id": None, "inputs": [tensor], "outputs": None, "parameters": None}
    request = oip.decode_request(json.dumps(document).encode(), None)
    assert request.id is None
    assert request.outputs is None
    assert request.parameters == {}


def test_the_official_examples_of_requests_are_read() -> None:
    schema = yaml.safe_load(OFFICIAL.read_text())["components"]["schemas"]["inference_request"]
    example = schema["x-examples"]["Example 1"]
    with pytest.raises(
        InputError, match=r"'input1'.*3.*holds 1"
    ):  # as published: 3 values, 1 given
        oip.decode_request(json.dumps(example).encode(), None)
    example["inputs"][1]["data"] *= 3
    request = oip.decode_request(json.dumps(example).encode(), None)
    assert request.inputs["input0"].tolist() == [[1, 2], [3, 4]]
    assert request.inputs["input1"].tolist() == [True, True, True]
    assert request.outputs == {"output0": False}


@given(tensors())
@settings(max_examples=30, deadline=None)
def test_json_replies_fit_the_official_schema(array: Array) -> None:
    components = yaml.safe_load(OFFICIAL.read_text())["components"]
    schema = {"$ref": "#/components/schemas/inference_response", "components": components}
    validator = jsonschema.Draft4Validator(schema)
    body, headers = at_once(
        oip.encoding(
            model_name="m",
            model_version="1",
            request_id=None,
            outputs={"y": array},
            wanted={"y": False},
            parameters={},
        )
    )
    assert headers == {"Content-Type": "application/json"}
    document = json.loads(body, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    validator.validate(document)
    del document["outputs"][0]["data"]
    with pytest.raises(jsonschema.ValidationError, match="'data' is a required property"):
        validator.validate(document)


def request_with(tensor: dict[str, object] | None = None, **members: object) -> bytes:
    x = {"name": "x", "shape": [2], "datatype": "UINT8", "data": [1, 2], **(tensor or {})}
    return json.dumps({"inputs": [x], **members}).encode()


def binary(size: object = 2, **tensor: object) -> bytes:
    return request_with({"data": None, "parameters": {"binary_data_size": size}, **tensor})


REFUSED: dict[str, tuple[bytes, bytes | None, str]] = {
    # what is wrong: the JSON, the bytes behind it (None: no header length), the message
    "empty": (b"", None, "not JSON"),
    "no JSON": (b"{", None, "not JSON"),
    "no UTF-8": (b'"\xff"', None, "not JSON"),
    "a list": (b"[]", None, "must be a JSON object, not list"),
    "a number": (b"1", None, "not int"),
    "deep": (b"[" * 100_000, None, "nested too deeply"),
    "deep data": (request_with({"data": [[[[1, 2]]]]}), None, "'x'.*nested like its shape"),
    "huge number": (b'{"inputs": ' + b"9" * 5000 + b"}", None, "not JSON"),
    "no inputs": (b"{}", None, "inputs: the request holds none"),
    "inputs no list": (b'{"inputs": {}}', None, "inputs must be a list of objects"),
    "input no object": (b'{"inputs": [1]}', None, "inputs must be a list of objects"),
    "no name": (b'{"inputs": [{}]}', None, r"inputs\[0\]: name must be a string, not None"),
    "name no string": (request_with({"name": 1}), None, "not 1"),
    "empty name": (request_with({"name": ""}), None, "name must be"),
    "two inputs": (
        json.dumps({"inputs": json.loads(request_with())["inputs"] * 2}).encode(),
        None,
        "inputs: 'x' is given twice",
    ),
    "two outputs": (request_with(outputs=[{"name": "y"}] * 2), None, "outputs: 'y' is given twice"),
    "outputs no list": (request_with(outputs=1), None, "outputs must be"),
    "id no string": (request_with(id=1), None, "id must be a string, not 1"),
    "no datatype": (request_with({"datatype": None}), None, "'x': datatype None is none of BOOL"),
    "datatype": (request_with({"datatype": "BF16"}), None, "'x': datatype 'BF16' is none of"),
    "datatype no string": (request_with({"datatype": []}), None, "'x': datatype"),
    "no shape": (request_with({"shape": None}), None, "'x': shape None must be a list"),
    "negative size": (request_with({"shape": [-1]}), None, r"'x': shape \[-1\]"),
    "size no integer": (request_with({"shape": [2.0]}), None, r"'x': shape \[2.0\]"),
    "size a boolean": (request_with({"shape": [True]}), None, r"'x': shape \[True\]"),
    "many sizes": (request_with({"shape": [1] * 33}), None, "at most 32 sizes"),
    "huge size": (request_with({"shape": [10**4000]}), None, "'x': shape"),
    "huge beside zero": (request_with({"shape": [0, 2**40, 2**40]}), None, "'x': shape"),
    "huge product": (binary(shape=[2**24, 2**24]), b"ab", "'x': shape"),
    "shape * size": (request_with({"shape": [3]}), None, "'x'.*3 values, but data holds 2"),
    "no data": (request_with({"data": None}), None, "'x': needs a list data"),
    "data no list": (request_with({"data": 1}), None, "'x': needs a list data"),
    "data and bytes": (request_with({"parameters": {"binary_data_size": 2}}), b"ab", "'x'.*both"),
    "shared memory": (
        request_with({"data": None, "parameters": {"shared_memory_region": "r"}}),
        None,
        "'x': needs a list data",
    ),
    "bytes cut": (binary(), b"a", "'x': binary_data_size is 2, but 1 bytes are left"),
    "no header length": (binary(), None, "'x'.*0 bytes are left.*Inference-Header-Content-Length"),
    "bytes left": (binary(), b"abc", "1 bytes follow the last binary input"),
    "bytes of nobody": (request_with(), b"abc", "3 bytes follow"),
    "bytes * shape": (binary(3), b"abc", r"'x': shape \[2\] of UINT8 is 2 bytes"),
    "negative bytes": (binary(-1), b"", "'x': binary_data_size -1 is not a length"),
    "bytes no integer": (binary("2"), b"ab", "'x': binary_data_size '2' is not a length"),
    "bytes a boolean": (binary(True), b"a", "'x': binary_data_size True is not a length"),
    "bytes huge": (binary(10**4000), b"ab", "'x': parameter 'binary_data_size' does not fit"),
    "parameters": (request_with(parameters=[1]), None, "the request: parameters must be an object"),
    "parameter": (request_with(parameters={"a": [1]}), None, r"parameter 'a'.*not \[1\]"),
    "parameter null": (request_with(parameters={"a": None}), None, "parameter 'a'.*not None"),
    "parameter NaN": (request_with(parameters={"a": float("nan")}), None, "parameter 'a'.*nan"),
    "parameter inf": (request_with(parameters={"a": float("inf")}), None, "parameter 'a'.*inf"),
    "binary_data_output": (
        request_with(parameters={"binary_data_output": 1}),
        None,
        "binary_data_output is true or false, not 1",
    ),
    "binary_data": (
        request_with(outputs=[{"name": "y", "parameters": {"binary_data": "yes"}}]),
        None,
        "output 'y': binary_data is true or false, not 'yes'",
    ),
    "classification": (
        request_with(outputs=[{"name": "y", "parameters": {"classification": 3}}]),
        None,
        "output 'y': classification is an extension",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_malformed_is_refused_by_name(what: str) -> None:
    header, tail, message = REFUSED[what]
    with pytest.raises(InputError, match=message) as refusal:
        oip.decode_request(header + (tail or b""), None if tail is None else len(header))
    assert len(str(refusal.value)) < 400  # a client's text never makes ours long


def test_the_request_that_the_refusals_bend_is_itself_taken() -> None:
    assert oip.decode_request(request_with(), None).inputs["x"].tolist() == [1, 2]
    straight = oip.decode_request(binary() + b"\1\2", len(binary()))
    assert straight.inputs["x"].tolist() == [1, 2]


@pytest.mark.parametrize("length", [-1, 1000])
def test_a_header_length_beyond_the_body_is_refused(length: int) -> None:
    with pytest.raises(InputError, match=f"Content-Length is {length}, but the body is"):
        oip.decode_request(request_with(), length)


@pytest.mark.parametrize("text", ["", "NaN", "-1", "+1", "1.0", "1_0", " 1", "٣", "1" * 20, "0x1"])
def test_a_header_length_is_digits(text: str) -> None:
    with pytest.raises(InputError, match="is not a length in bytes"):
        oip.header_length(text)


def test_a_header_length_is_optional() -> None:
    assert oip.header_length(None) is None
    assert oip.header_length("012") == 12


def test_the_index_filter() -> None:
    assert oip.index_filter(b'{"ready": true}')
    assert not oip.index_filter(b'{"ready": false}')
    assert not oip.index_filter(b"{}")
    assert not oip.index_filter(b"")
    with pytest.raises(InputError, match="ready is true or false, not 1"):
        oip.index_filter(b'{"ready": 1}')


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
LIKELY = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "y"]) | JSON,
        "shape": st.lists(st.integers(-1, 3), max_size=3) | JSON,
        "datatype": st.sampled_from([*DATATYPES, "BF16"]) | JSON,
        "data": st.lists(st.booleans() | st.integers(-300, 300) | st.text(max_size=2)) | JSON,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 9)}) | JSON,
    },
)


def only_input_errors(body: bytes, length: int | None) -> bool:
    try:
        oip.decode_request(body, length)
    except InputError:
        return False
    return True


@given(st.binary(), st.none() | st.integers(-2, 40))
def test_noise_is_refused(body: bytes, length: int | None) -> None:
    assert not only_input_errors(body, length)


@given(
    st.fixed_dictionaries(
        {"inputs": st.lists(LIKELY, max_size=3) | JSON},
        optional={"id": JSON, "outputs": st.lists(LIKELY) | JSON, "parameters": JSON},
    ),
    st.binary(max_size=12),
)
@settings(max_examples=300, deadline=None)
def test_what_looks_like_a_request_is_taken_or_refused(document: Any, tail: bytes) -> None:
    header = json.dumps(document).encode()
    only_input_errors(header + tail, len(header))


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_request_is_taken_or_refused(data: st.DataObject) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    text = bytes_array([b"a", b"bc"])
    body, length = body_of({"x": (x, True), "t": (text, True), "j": (x, False)})
    assert only_input_errors(body, length)
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, len(damaged) - 1))
        damaged[where : where + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    only_input_errors(bytes(damaged), data.draw(st.sampled_from([None, length, length + 1])))

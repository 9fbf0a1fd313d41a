"""The JSON that clients send and get, as JSON Schema: ``components.schemas`` of our OpenAPI."""

from prism_edge.serve.datatypes import DATATYPES
from prism_edge.serve.oip import MAX_DIMENSIONS, MAX_ELEMENTS

Schema = dict[str, object]


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def listed(items: Schema, **more: object) -> Schema:
    return {"type": "array", "items": items, **more}


def record(required: str, optional: Schema | None = None, /, **members: Schema) -> Schema:
    """An object with these members, all ``required`` ones named in one string."""
    properties = {**members, **(optional or {})}
    return {"type": "object", "required": required.split(), "properties": properties}


def or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
REASON = or_null(TEXT)
DATATYPE: Schema = {"type": "string", "enum": list(DATATYPES)}
SHAPE = listed(
    {"type": "integer", "minimum": 0, "exclusiveMaximum": MAX_ELEMENTS}, maxItems=MAX_DIMENSIONS
)
VALUE: Schema = {"anyOf": [{"type": kind} for kind in ("number", "string", "boolean")]}

SCHEMAS: dict[str, Schema] = {
    "Error": record("error", error=TEXT),
    "Server": record(
        "name version extensions",
        {"release": TEXT},
        name=TEXT,
        version=TEXT,
        extensions=listed(TEXT),
    ),
    "Live": record("live", live={"const": True}),
    "Ready": record("ready reason", ready={"const": True}, reason=REASON),
    "NotReady": record("ready error", ready={"const": False}, error=TEXT),
    "ModelReady": record("name ready reason", name=TEXT, ready={"const": True}, reason=REASON),
    "ModelNotReady": record("error", {"name": TEXT, "ready": {"const": False}}, error=TEXT),
    "TensorInfo": record(
        "name datatype shape",
        name=TEXT,
        datatype=DATATYPE,
        shape=listed({"type": "integer", "minimum": -1, "description": "-1 is any size"}),
    ),
    "Model": record(
        "name versions platform inputs outputs",
        name=TEXT,
        versions=listed(TEXT),
        platform=TEXT,
        inputs=listed(ref("TensorInfo")),
        outputs=listed(ref("TensorInfo")),
    ),
    "IndexRequest": record("", {"ready": or_null(FLAG)}),
    "Index": listed(
        record(
            "name version state reason",
            name=TEXT,
            version=TEXT,
            state={"enum": ["READY", "UNAVAILABLE"]},
            reason=TEXT,
        )
    ),
    "Parameters": {"type": "object", "additionalProperties": VALUE},
    "Data": {
        "description": "The values, flat and row-major or nested like the shape.",
        "type": "array",
        "items": {"anyOf": [ref("Data"), VALUE]},
    },
    "Input": record(
        "name datatype shape",
        {
            "data": ref("Data"),
            "parameters": {
                "description": "binary_data_size: its bytes follow the JSON instead of data.",
                **or_null(ref("Parameters")),
            },
        },
        name=NAME,
        datatype=DATATYPE,
        shape=SHAPE,
    ),
    "WantedOutput": record(
        "name",
        {
            "parameters": {
                "description": "binary_data: as bytes behind the JSON.",
                **or_null(ref("Parameters")),
            }
        },
        name=NAME,
    ),
    "InferRequest": record(
        "inputs",
        {
            "id": REASON,
            "outputs": or_null(listed(ref("WantedOutput"))),
            "parameters": {
                "description": "timeout (microseconds), binary_data_output, plan.",
                **or_null(ref("Parameters")),
            },
        },
        inputs=listed(ref("Input"), minItems=1),
    ),
    "Output": record(
        "name datatype shape",
        {"data": ref("Data"), "parameters": record("binary_data_size", binary_data_size=COUNT)},
        name=TEXT,
        datatype=DATATYPE,
        shape=SHAPE,
    ),
    "InferReply": record(
        "model_name model_version outputs",
        {"id": TEXT, "parameters": ref("Parameters")},
        model_name=TEXT,
        model_version=TEXT,
        outputs=listed(ref("Output")),
    ),
    "GenerateRequest": {
        **record(
            "text_input",
            {"id": REASON, "parameters": or_null({"type": "object"})},
            text_input=TEXT,
        ),
        "description": "Any other member is a parameter as well.",
    },
    "GenerateReply": record(
        "model_name model_version text_output",
        {"id": TEXT, "parameters": ref("Parameters")},
        model_name=TEXT,
        model_version=TEXT,
        text_output=TEXT,
    ),
}

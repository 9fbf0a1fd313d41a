"""Replies held against what our own OpenAPI document says of them."""

from __future__ import annotations

import re
from typing import Any

import httpx
import jsonschema

from prism_edge.serve.openapi import document

DOCUMENT: dict[str, Any] = document("1", secured=True)


def documented_path(path: str) -> str | None:
    """The document's path that this one is."""
    for template in DOCUMENT["paths"]:
        pattern = re.sub(r"\\\{[a-z]+\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path, re.DOTALL):
            return str(template)
    return None


def as_documented(response: httpx.Response) -> None:
    """The status, the type and the JSON of a reply are among those that the document allows."""
    status, request = response.status_code, response.request
    path = documented_path(request.url.path)
    method = "get" if request.method == "HEAD" else request.method.lower()
    said = DOCUMENT["paths"][path].get(method) if path else None
    if said is None:
        assert status in ({401, 405} if path else {401, 404}), (request.method, path, status)
        holds(response, {"$ref": "#/components/schemas/Error"})
        return
    assert str(status) in said["responses"], (request.method, path, status)
    answer = said["responses"][str(status)]
    if "$ref" in answer:
        answer = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    kind = response.headers["content-type"].partition(";")[0]
    assert kind in answer["content"], (request.method, path, kind)
    if kind == "application/json" and request.method != "HEAD":
        holds(response, answer["content"][kind]["schema"])


def holds(response: httpx.Response, schema: dict[str, Any]) -> None:
    response.read()
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(whole).validate(response.json())

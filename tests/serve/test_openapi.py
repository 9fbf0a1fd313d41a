"""The OpenAPI document: complete, well-formed, and what the daemon does."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import jsonschema
import pytest
from as_documented import DOCUMENT, as_documented, documented_path
from starlette.routing import Route

from prism_edge.serve.answers import ANSWERS
from prism_edge.serve.docs_page import render_docs
from prism_edge.serve.guard import OPEN_PATHS
from prism_edge.serve.http import create_app
from prism_edge.serve.metrics import Metrics
from prism_edge.serve.openapi import document
from prism_edge.serve.service import TextCall, TextPiece
from prism_edge.serve.twin import Echo


class Silent:
    """A writer whose endpoints are there, and never asked."""

    def generate(self, request: TextCall) -> AsyncGenerator[TextPiece, None]:
        raise AssertionError(request)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method in sorted({"get", "post"} & set(item)):
            yield path, method, item[method]


def test_it_names_every_route_and_method_and_no_other() -> None:
    app = create_app(Echo(), writer=Silent(), token=None, max_body_bytes=1, metrics=Metrics())
    routes = {
        (route.path, method.lower())
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or ()) - {"HEAD"}
    }
    assert {(path, method) for path, method, _ in operations()} == routes


def test_every_reference_leads_somewhere_and_every_component_is_referred_to() -> None:
    found = set(references(DOCUMENT))
    for reference in found:
        here: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            here = here[part]
    named = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "responses", "headers")
        for name in DOCUMENT["components"][kind]
    }
    assert named - found == set()


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from references(item)


def test_every_status_of_an_error_is_documented() -> None:
    said = {int(status) for status in DOCUMENT["components"]["responses"]}
    assert {status for status, _ in ANSWERS.values()} <= said
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_what_is_open_is_said_to_be() -> None:
    opened = {path for path, method, said in operations() if said.get("security") == []}
    assert opened == OPEN_PATHS
    assert DOCUMENT["security"] == [{"token": []}]
    assert "security" not in document("1", secured=False)


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
def test_it_is_served_without_a_token(serve: Any, path: str) -> None:
    served = serve(Echo(), token="secret")
    reply = httpx.get(served.url + path, trust_env=False, timeout=60)
    assert reply.status_code == 200
    as_documented(reply)


class Page(HTMLParser):
    """What the page refers to, and what it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.headings: list[str] = []
        self.loads: list[str] = []
        self._tag = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        for name, value in attrs:
            if name == "href":
                self.links.add(str(value))
            if name == "id":
                self.ids.add(str(value))
            if name in ("src", "srcset", "data") or tag in ("script", "link", "img", "iframe"):
                self.loads.append(tag)

    def handle_data(self, data: str) -> None:
        if self._tag == "h2":
            self.headings.append(data)


def test_the_page_shows_every_operation_and_loads_nothing() -> None:
    html = render_docs(document("<1>", secured=True))
    assert "<1>" not in html
    page = Page()
    page.feed(html)
    assert page.loads == []
    assert {f"{method.upper()} {path}" for path, method, _ in operations()} <= set(page.headings)
    assert page.links - {"/openapi.json"} == {
        link for link in page.links if link.removeprefix("#") in page.ids
    }
    assert page.ids == set(DOCUMENT["components"]["schemas"])


def test_the_check_on_replies_can_fail() -> None:
    assert documented_path("/v2/models/a") == "/v2/models/{model}"
    assert documented_path("/v2/models/a/b") is None
    request = httpx.Request("GET", "http://x/v2/health/live")
    as_documented(httpx.Response(200, json={"live": True}, request=request))
    with pytest.raises(AssertionError, match="404"):
        as_documented(httpx.Response(404, json={"error": "x"}, request=request))
    with pytest.raises(AssertionError, match="text/plain"):
        as_documented(httpx.Response(200, text="{}", request=request))
    with pytest.raises(jsonschema.ValidationError):
        as_documented(httpx.Response(200, json={"live": False}, request=request))
    with pytest.raises(jsonschema.ValidationError):
        as_documented(httpx.Response(401, json={"detail": "x"}, request=request))

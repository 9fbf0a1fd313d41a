"""Whatever the documents allow, ours and the official one, a daemon answers as they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkpoints import vit, write
from daemons import Serving, serving
from hypothesis import HealthCheck, Phase, given, settings

schemathesis = pytest.importorskip("schemathesis")

from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi import checks as openapi  # noqa: E402

pytestmark = [pytest.mark.gloo, pytest.mark.slow]
OFFICIAL = Path(__file__).parents[1] / "data" / "oip" / "open_inference_rest.yaml"
CHECKS = [
    not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
    openapi.response_headers_conformance,
]
ENDLESS = "/events"
NAMES = {
    "model": ["net", "none"],
    "version": ["1", "2"],
    "MODEL_NAME": ["net"],  # the official document has no status for strangers
    "MODEL_VERSION": ["1"],
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    path = tmp_path_factory.mktemp("net")
    argv = ["--model", f"net={write(path / 'vit', *vit())}", "--port", "0"]
    with serving(*argv, "--journal", str(path / "j.sqlite")) as found:
        yield found.until_ready()


def ours(daemon: Serving) -> dict[str, Any]:
    found: dict[str, Any] = daemon.get("/openapi.json").json()
    return found


def official(daemon: Serving) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(OFFICIAL.read_text())
    return found


def named(document: dict[str, Any]) -> dict[str, Any]:
    """The document with names that this daemon knows; strangers are tried elsewhere."""
    document = json.loads(json.dumps(document))
    document["paths"].pop(ENDLESS, None)
    for item in document["paths"].values():
        for parameter in item.get("parameters", []):
            parameter["schema"]["enum"] = NAMES[parameter["name"]]
    return document


def violations(document: dict[str, Any], url: str, examples: int) -> tuple[int, list[str]]:
    """How many requests were sent, and what was wrong with their replies."""
    count, found = 0, []
    for operation in schemathesis.openapi.from_dict(document).get_all_operations():
        api = operation.ok()

        @settings(
            max_examples=examples,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=api.as_strategy())
        def ask(case: Any) -> None:
            nonlocal count
            count += 1
            case.call_and_validate(base_url=url, checks=CHECKS)

        try:
            ask()
        except BaseException as group:
            if not hasattr(group, "exceptions"):
                raise
            found.append(f"{api.label}: {group.exceptions!r}")
    return count, found


@pytest.mark.parametrize("read", [ours, official])
def test_no_5xx_and_nothing_undocumented(daemon: Serving, read: Any) -> None:
    count, found = violations(named(read(daemon)), daemon.url, examples=25)
    assert found == []
    assert count >= 30
    assert daemon.get("/v2/health/ready").status_code == 200


def test_the_check_can_fail(daemon: Serving) -> None:
    document = named(official(daemon))
    item = document["paths"]["/v2/models/{MODEL_NAME}/versions/{MODEL_VERSION}/infer"]
    del item["post"]["responses"]["400"]
    _, found = violations(document, daemon.url, examples=5)
    assert len(found) == 1
    assert "UndefinedStatusCode" in found[0]

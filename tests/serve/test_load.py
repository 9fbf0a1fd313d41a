"""The clients of the chaos tests find what they are there to find."""

from __future__ import annotations

import httpx
import numpy as np
import pytest
from load import Case, counted, judged

from prism_edge.serve import oip
from prism_edge.serve.long_json import at_once

LOGITS = np.array([[1.0, 2.0]], dtype=np.float32)
CASE = Case(pixels=np.zeros((1, 3, 2, 2), dtype=np.uint8), logits=LOGITS, plan="local")


def reply(logits: np.ndarray) -> httpx.Response:
    body, headers = at_once(
        oip.encoding(
            model_name="net",
            model_version="1",
            request_id=None,
            outputs={"logits": logits},
            wanted=oip.wanted_outputs(
                oip.decode_request(
                    b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[0]}],'
                    b'"parameters":{"binary_data_output":true}}',
                    None,
                ),
                ["logits"],
            ),
            parameters={"plan": "local"},
        )
    )
    return httpx.Response(200, content=body, headers=headers)


def test_the_models_own_answer_is_right_and_any_other_is_wrong() -> None:
    told = judged(reply(LOGITS), CASE, 0.0)
    assert (told.status, told.plan, told.wrong) == (200, "local", None)
    assert "off by 0.5" in str(judged(reply(LOGITS + 0.5), CASE, 0.0).wrong)
    assert judged(reply(LOGITS * np.float32(np.nan)), CASE, 0.0).wrong is not None


@pytest.mark.parametrize(
    ("status", "headers", "right"),
    [
        (503, {"Retry-After": "1"}, True),
        (429, {"Retry-After": "1"}, False),
        (503, {}, False),
        (500, {"Retry-After": "1"}, False),
        (504, {}, False),
    ],
)
def test_only_a_refusal_that_says_when_to_come_again_is_one(
    status: int, headers: dict[str, str], right: bool
) -> None:
    told = judged(httpx.Response(status, headers=headers, json={"error": "no"}), CASE, 0.0)
    assert (told.wrong is None) == right


def test_requests_are_counted_by_outcome() -> None:
    text = (
        'prism_edge_requests_total{method="local",model="a",outcome="ok"} 3.0\n'
        'prism_edge_requests_total{method="prism",model="a",outcome="ok"} 2.0\n'
        'prism_edge_requests_total{method="none",model="a",outcome="unavailable"} 1.0\n'
        'prism_edge_request_seconds_count{method="none",model="a"} 6.0\n'
    )
    assert counted(text) == {"ok": 5, "unavailable": 1}

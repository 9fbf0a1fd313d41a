from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.errors import PlanError
from prism_edge.plan import LOCAL, Plan

ranks = st.integers(2, 8)
dtypes = st.sampled_from(["fp32", "fp16"])
plans = st.one_of(
    st.just(LOCAL),
    st.builds(lambda p: Plan(method="split", p=p), ranks),
    st.builds(
        lambda p, count, dtype: Plan(method="prism", p=p, l=count, dtype=dtype),
        ranks,
        st.integers(1, 999),
        dtypes,
    ),
    st.builds(lambda p, dtype: Plan(method="voltage", p=p, dtype=dtype), ranks, dtypes),
)


@given(plans)
def test_the_text_form_is_the_plan(plan: Plan) -> None:
    assert Plan.parse(str(plan)) == plan


@given(plans, plans)
def test_different_plans_read_differently(one: Plan, other: Plan) -> None:
    assert (str(one) == str(other)) == (one == other)


@pytest.mark.parametrize(
    "text",
    [
        "local",
        "split:p=2",
        "prism:p=2,l=10,dtype=fp16",
        "prism:p=8,l=1,dtype=fp32",
        "voltage:p=3,dtype=fp32",
    ],
)
def test_canonical_texts(text: str) -> None:
    assert str(Plan.parse(text)) == text


def test_what_may_be_left_out_and_shuffled() -> None:
    assert str(Plan.parse(" prism:l=3,p=2 ")) == "prism:p=2,l=3,dtype=fp32"
    assert str(Plan.parse("voltage:p=2")) == "voltage:p=2,dtype=fp32"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "unknown method ''"),
        ("prsm:p=2,l=3", "did you mean 'prism'"),
        ("astra:p=2,g=32", "unknown method 'astra'"),
        ("local:p=2", "cannot read 'p=2'"),
        ("split", "p is missing"),
        ("split:p=1", "p=1, allowed is 2 to 8"),
        ("split:p=9", "p=9, allowed is 2 to 8"),
        ("split:p=two", "'two' is not a whole number"),
        ("split:p=-2", "'-2' is not a whole number"),
        ("split:p=²", "is not a whole number"),
        ("split:p=2,p=3", "p is given twice"),
        ("split:p", "cannot read 'p'"),
        ("split:p=2,l=3", "cannot read 'l=3'"),
        ("prism:p=2", "l is missing"),
        ("prism:p=2,l=0", "l=0, allowed is 1 or more"),
        ("prism:p=2,l=3,dtype=int8", "dtype='int8'"),
        ("voltage:p=2,l=3", "cannot read 'l=3'"),
    ],
)
def test_what_does_not_parse_is_named(text: str, says: str) -> None:
    with pytest.raises(PlanError) as caught:
        Plan.parse(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "local", "p": 2},
        {"method": "split", "p": 2, "l": 3},
        {"method": "split", "p": 2, "dtype": "fp32"},
        {"method": "prism", "p": 2, "l": 3},
        {"method": "prism", "p": 2, "dtype": "fp32"},
        {"method": "voltage", "p": 2},
    ],
)
def test_combinations_that_mean_nothing_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(PlanError):
        Plan(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "exact", "exchanges"),
    [
        ("local", True, False),
        ("split:p=2", True, False),
        ("voltage:p=2,dtype=fp32", True, True),
        ("voltage:p=2,dtype=fp16", False, True),
        ("prism:p=2,l=10,dtype=fp32", False, True),
    ],
)
def test_exactness_and_exchange(text: str, exact: bool, exchanges: bool) -> None:
    plan = Plan.parse(text)
    assert (plan.exact, plan.exchanges) == (exact, exchanges)


def test_plans_are_values() -> None:
    assert len({LOCAL, Plan(method="local"), Plan.parse("local")}) == 1
    with pytest.raises(AttributeError):
        LOCAL.p = 2  # type: ignore[misc]

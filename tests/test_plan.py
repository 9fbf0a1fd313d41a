from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.errors import PlanError
from prism_edge.plan import LOCAL, OPTIONS, Method, Plan


@st.composite
def options(draw: st.DrawFn, method: Method) -> dict[str, Any]:
    """Any options that the method takes; those with a default may be missing."""
    taken = OPTIONS[method]
    found: dict[str, Any] = {}
    if "p" in taken:
        found["p"] = draw(st.integers(2, 8))
    if "l" in taken:
        each = st.lists(st.integers(0, 99), min_size=1, max_size=12)
        counts = st.tuples(st.integers(1, 99), each).map(lambda drawn: (drawn[0], *drawn[1]))
        found["l"] = draw(st.integers(1, 999) | counts)
    if "dtype" in taken:
        found["dtype"] = draw(st.sampled_from(["fp32", "fp16", "int8"]))
    if "g" in taken:
        found["g"] = draw(st.integers(1, 64))
    optional: dict[str, st.SearchStrategy[Any]] = {
        "k": st.integers(2, 1 << 16),
        "tap": st.sampled_from(["after", "before"]),
        "pieces": st.integers(1, 8),
    }
    if "share" in taken:
        rest = st.lists(st.integers(0, 200), min_size=found["p"] - 1, max_size=found["p"] - 1)
        optional["share"] = st.tuples(st.integers(1, 200), rest).map(lambda s: (s[0], *s[1]))
    for key, values in optional.items():
        if key in taken and draw(st.booleans()):
            found[key] = draw(values)
    return found


plans = st.sampled_from(list(OPTIONS)).flatmap(
    lambda method: options(method).map(lambda found: Plan(method=method, **found))
)


@given(plans)
def test_the_text_form_is_the_plan(plan: Plan) -> None:
    assert Plan.parse(str(plan)) == plan


@given(plans, plans)
def test_different_plans_read_differently(one: Plan, other: Plan) -> None:
    assert (str(one) == str(other)) == (one == other)


@given(plans, st.randoms())
def test_the_order_of_options_does_not_matter(plan: Plan, shuffle: Any) -> None:
    method, _, rest = str(plan).partition(":")
    listed = rest.split(",")
    shuffle.shuffle(listed)
    assert Plan.parse(f" {method}:{','.join(listed)} ") == plan


@pytest.mark.parametrize(
    "text",
    [
        "local",
        "split:p=2",
        "split:p=3,share=3/2/0",
        "prism:p=2,l=10,dtype=fp16",
        "prism:p=8,l=1,dtype=fp32",
        "prism:p=2,l=16/16/0/8,dtype=int8,tap=before,share=100/97,pieces=2",
        "voltage:p=3,dtype=fp32",
        "voltage:p=2,dtype=int8,tap=before,share=2/1",
        "astra:p=2,g=32",
        "astra:p=4,g=16,k=256,tap=before,share=4/3/2/1,pieces=4",
        "split+prism:p=2,l=10,dtype=fp16",
        "split+prism:p=2,l=4/0/2,dtype=fp32,tap=before,share=2/1",
    ],
)
def test_canonical_texts(text: str) -> None:
    assert str(Plan.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (" prism:l=3,p=2 ", "prism:p=2,l=3,dtype=fp32"),
        ("voltage:p=2", "voltage:p=2,dtype=fp32"),
        ("voltage:p=2,tap=after,pieces=1", "voltage:p=2,dtype=fp32"),
        ("astra:k=1024,g=32,p=2", "astra:p=2,g=32"),
        ("split+prism:p=2,l=3", "split+prism:p=2,l=3,dtype=fp32"),
    ],
)
def test_what_may_be_left_out_and_shuffled(text: str, canonical: str) -> None:
    assert str(Plan.parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "unknown method ''"),
        ("prsm:p=2,l=3", "did you mean 'prism'"),
        ("asta:p=2,g=32", "did you mean 'astra'"),
        ("prism+split:p=2,l=3", "unknown method 'prism+split'"),
        ("local:p=2", "cannot read 'p=2'; local takes no options"),
        ("split", "p is missing"),
        ("split:p=1", "p=1, allowed is 2 to 8 ranks"),
        ("split:p=9", "p=9, allowed is 2 to 8 ranks"),
        ("split:p=two", "'two' is not a whole number"),
        ("split:p=-2", "'-2' is not a whole number"),
        ("split:p=²", "is not a whole number"),
        ("split:p=2,p=3", "p is given twice"),
        ("split:p", "cannot read 'p'"),
        ("split:p=2,l=3", "cannot read 'l=3'; split takes p=..., share=..."),
        ("split:p=2,share=1", "share=1, allowed is one whole number per rank (2)"),
        ("split:p=2,share=1/2/3", "share=1/2/3, allowed is one whole number per rank (2)"),
        ("split:p=2,share=0/1", "share=0/1, allowed is one whole number per rank (2), the first"),
        ("split:p=2,share=2/-1", "'-1' is not a whole number"),
        ("split:p=2,share=2/", "'' is not a whole number"),
        ("prism:p=2", "l is missing"),
        ("prism:p=2,l=0", "l=0, allowed is 1 or more segments (before the first block)"),
        ("prism:p=2,l=0/4", "l=0/4, allowed is 1 or more segments (before the first block)"),
        ("prism:p=2,l=4/x", "'x' is not a whole number"),
        ("prism:p=2,l=3,dtype=fp64", "dtype=fp64, allowed is fp32, fp16 or int8"),
        ("prism:p=2,l=3,tap=inside", "tap=inside, allowed is after or before"),
        ("prism:p=2,l=3,pieces=0", "pieces=0, allowed is 1 to 8 pieces"),
        ("prism:p=2,l=3,pieces=9", "pieces=9, allowed is 1 to 8 pieces"),
        ("prism:p=2,l=3,g=4", "cannot read 'g=4'"),
        ("voltage:p=2,l=3", "cannot read 'l=3'"),
        ("astra:p=2", "g is missing"),
        ("astra:p=2,g=0", "g=0, allowed is 1 or more groups"),
        ("astra:p=2,g=4,k=1", "k=1, allowed is 2 to 65536 codes"),
        ("astra:p=2,g=4,k=65537", "k=65537, allowed is 2 to 65536 codes"),
        ("astra:p=2,g=4,dtype=fp16", "cannot read 'dtype=fp16'"),
        ("split+prism:p=2", "l is missing"),
    ],
)
def test_what_does_not_parse_is_named(text: str, says: str) -> None:
    with pytest.raises(PlanError) as caught:
        Plan.parse(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"method": "local", "p": 2}, "it runs on one rank"),
        ({"method": "split", "p": 2, "l": 3}, "does not take l"),
        ({"method": "split", "p": 2, "dtype": "fp32"}, "does not take dtype"),
        ({"method": "split", "p": 2, "tap": "after"}, "does not take tap"),
        ({"method": "split", "p": 2, "pieces": 1}, "does not take pieces"),
        ({"method": "local", "share": (1,)}, "does not take share"),
        ({"method": "prism", "p": 2, "l": 3}, "needs dtype"),
        ({"method": "prism", "p": 2, "dtype": "fp32"}, "needs l"),
        ({"method": "prism", "p": 2, "l": (3, -1), "dtype": "fp32"}, "0 or more segments"),
        ({"method": "prism", "p": 2, "l": (3,), "dtype": "fp32"}, "one for each of several blocks"),
        ({"method": "prism", "p": 2, "l": (), "dtype": "fp32"}, "one for each of several blocks"),
        ({"method": "voltage", "p": 2}, "needs dtype"),
        ({"method": "voltage", "p": 2, "dtype": "fp32", "k": 4}, "does not take k"),
        ({"method": "astra", "p": 2}, "needs g"),
        ({"method": "astra", "p": 2, "g": 4, "dtype": "fp32"}, "does not take dtype"),
        ({"method": "telepathy"}, "unknown method 'telepathy'"),
    ],
)
def test_combinations_that_mean_nothing_are_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanError) as caught:
        Plan(**fields)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "exact", "exchanges"),
    [
        ("local", True, False),
        ("split:p=2", True, False),
        ("voltage:p=2,dtype=fp32", True, True),
        ("voltage:p=2,dtype=fp32,tap=before,share=2/1", True, True),
        ("voltage:p=2,dtype=fp16", False, True),
        ("voltage:p=2,dtype=int8", False, True),
        ("prism:p=2,l=10,dtype=fp32", False, True),
        ("astra:p=2,g=32", False, True),
        ("split+prism:p=2,l=10,dtype=fp32", False, True),
    ],
)
def test_exactness_and_exchange(text: str, exact: bool, exchanges: bool) -> None:
    plan = Plan.parse(text)
    assert (plan.exact, plan.exchanges) == (exact, exchanges)


@given(plans, st.integers(1, 40))
def test_parts_answer_the_whole_batch(plan: Plan, batch: int) -> None:
    parts = plan.parts(batch)
    assert sum(count for _, count in parts) == batch
    assert all(count > 0 for _, count in parts)
    if plan.method != "split+prism":
        assert parts == ((plan, batch),)


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (1, [("prism", 1)]),
        (2, [("prism", 2)]),
        (3, [("split", 3)]),
        (7, [("split", 6), ("prism", 1)]),
        (8, [("split", 6), ("prism", 2)]),
    ],
)
def test_a_hybrid_splits_what_divides_and_exchanges_over_the_rest(
    batch: int, expected: list[tuple[str, int]]
) -> None:
    hybrid = Plan.parse("split+prism:p=3,l=4/0/2,dtype=int8,tap=before,share=3/2/1,pieces=2")
    texts = {
        "split": "split:p=3",
        "prism": "prism:p=3,l=4/0/2,dtype=int8,tap=before,share=3/2/1,pieces=2",
    }
    found = [(str(plan), count) for plan, count in hybrid.parts(batch)]
    assert found == [(texts[method], count) for method, count in expected]


def test_plans_are_values() -> None:
    assert len({LOCAL, Plan(method="local"), Plan.parse("local")}) == 1
    assert len({Plan.parse("astra:p=2,g=4"), Plan(method="astra", p=2, g=4, k=1024)}) == 1
    with pytest.raises(AttributeError):
        LOCAL.p = 2  # type: ignore[misc]

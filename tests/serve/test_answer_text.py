"""The pieces of an answer, joined, are its text: no half characters, nothing behind a stop."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.serve.answer_text import AnswerText

TEXTS = st.text(alphabet="ab\n é€😀", max_size=30)


def by_bytes(ids: Sequence[int]) -> str:
    """A tokenizer whose tokens are bytes."""
    return bytes(ids).decode(errors="replace")


def told(text: bytes, stops: Sequence[str] = ()) -> tuple[list[str], bool]:
    """What is told token by token, and whether a stop was seen."""
    answer, pieces = AnswerText(by_bytes, stops), []
    for token in text:
        pieces.append(answer.add(token))
        if answer.stopped:
            break
    return [*pieces, answer.end()], answer.stopped


@given(text=TEXTS, stops=st.lists(TEXTS.filter(bool), max_size=3))
def test_the_pieces_are_the_text_up_to_the_first_stop(text: str, stops: list[str]) -> None:
    pieces, stopped = told(text.encode(), stops)
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    # the stop that is whole first ends the answer, where it or one around it begins
    seen = text[: min(ends)] if ends else text
    expected = seen[: min(at for stop in stops if (at := seen.find(stop)) >= 0)] if ends else text
    assert "".join(pieces) == expected
    assert stopped == bool(ends)


@given(text=TEXTS)
def test_no_piece_holds_half_a_character(text: str) -> None:
    pieces, _ = told(text.encode())
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


@given(text=st.binary(max_size=20))
def test_bytes_that_are_no_text_are_told_as_the_tokenizer_tells_them(text: bytes) -> None:
    assert "".join(told(text)[0]) == by_bytes(list(text))


def test_text_comes_as_soon_as_it_is_certain() -> None:
    assert told("aé b".encode())[0] == ["a", "", "é", " ", "b", ""]
    assert told(b"ab ab!", ["ab!"])[0] == ["", "", "ab ", "", "", "", ""]
    assert told(b"abc", ["ab!"])[0] == ["", "", "abc", ""]
    assert told(b"ab", ["abc"]) == (["", "", "ab"], False)


@pytest.mark.parametrize("stops", [["!", "b!"], ["b!", "!"]])
def test_of_two_stops_the_earlier_ends_the_answer(stops: list[str]) -> None:
    assert told(b"ab!c", stops) == (["a", "", "", ""], True)

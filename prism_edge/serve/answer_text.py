"""The text of an answer while its tokens come: whole characters only, up to what ends it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

HALF = "\N{REPLACEMENT CHARACTER}"  # what the bytes of half a character decode to


class AnswerText:
    """``decode`` makes a text of tokens; ``stops``: texts that end an answer and are no part of it.

    All that ``add`` and ``end`` return, joined, is the answer: the decoded tokens, up to the first
    of ``stops``. What may be the beginning of one is held back until it is known not to be.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stops: Sequence[str] = ()) -> None:
        self._decode = decode
        self._stops = stops
        self._ids: list[int] = []
        self._shown = 0  # tokens whose text has been passed on, and from which decoding begins
        self._from = 0
        self._held = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """What is certain with one more token."""
        self._ids.append(token)
        text = self._decode(self._ids[self._from :])
        if text.endswith(HALF):
            return ""
        return self._pass_on(text)

    def end(self) -> str:
        """The rest, when no more tokens come."""
        if self.stopped:
            return ""
        text = self._pass_on(self._decode(self._ids[self._from :]))
        rest, self._held = self._held, ""
        return text + ("" if self.stopped else rest)

    def _pass_on(self, text: str) -> str:
        """Of the text of the tokens since ``_from``, what has not been shown and cannot be (part
        of) a stop. A window of tokens is decoded, since a decoder may want to see one before."""
        before = self._decode(self._ids[self._from : self._shown])
        self._from, self._shown = self._shown, len(self._ids)
        held = self._held + text[len(before) :]
        found = [at for stop in self._stops if (at := held.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return held[: min(found)]
        keep = max((_overlap(held, stop) for stop in self._stops), default=0)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of ``text`` that may be the beginning of ``stop``."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)

"""A plan says how one batch is answered; its text form is the same everywhere it is shown.

``local`` · ``split:p=2`` · ``prism:p=2,l=10,dtype=fp16`` · ``voltage:p=2,dtype=fp32`` ·
``astra:p=2,g=32`` · ``split+prism:p=2,l=10,dtype=fp16``
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from prism_edge.errors import PlanError

Method = Literal["local", "split", "prism", "voltage", "astra", "split+prism"]
WireDtype = Literal["fp32", "fp16", "int8"]
Tap = Literal["after", "before"]

CODEBOOK_SIZE = 1024  # K of ASTRA (arXiv 2505.19342)

# method -> the options its text form takes, in canonical order
OPTIONS: dict[Method, tuple[str, ...]] = {
    "local": (),
    "split": ("p", "share"),
    "prism": ("p", "l", "dtype", "tap", "share", "pieces"),
    "voltage": ("p", "dtype", "tap", "share", "pieces"),
    "astra": ("p", "g", "k", "tap", "share", "pieces"),
    "split+prism": ("p", "l", "dtype", "tap", "share", "pieces"),
}
# options that are not printed at this value, and have it when they are left out
DEFAULTS: dict[str, Any] = {"k": CODEBOOK_SIZE, "tap": "after", "share": None, "pieces": 1}
EXAMPLES = (
    "local, split:p=2, prism:p=2,l=10,dtype=fp16, voltage:p=2,dtype=fp32, astra:p=2,g=32, "
    "split+prism:p=2,l=10,dtype=fp16"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one batch is answered; an option that its method does not take is None.

    ``p``: ranks that take part. ``l``: segments each rank announces, one number or one for every
    block (0: nothing is sent before that block, what was heard last stays). ``dtype``: how rows
    travel; int8 has one fp32 scale a row. ``tap``: the rows are taken after or before the block's
    first norm. ``g``, ``k``: codes per token and size of their codebooks. ``share``: relative
    sizes of the ranks' parts; None means equal ones. ``pieces``: a block's message leaves in that
    many, part of the batch by part, each as soon as it is computed. Raises ``PlanError`` on
    anything else.
    """

    method: Method
    p: int = 1
    l: int | tuple[int, ...] | None = None  # noqa: E741 - the paper's letter and the text form's
    dtype: WireDtype | None = None
    tap: Tap | None = None
    g: int | None = None
    k: int | None = None
    share: tuple[int, ...] | None = None
    pieces: int | None = None

    def __post_init__(self) -> None:
        if self.method not in OPTIONS:
            near = difflib.get_close_matches(self.method, list(OPTIONS), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise PlanError(f"plan: unknown method {self.method!r}{hint} (known: {EXAMPLES})")
        for key in ("k", "tap", "pieces"):
            if key in OPTIONS[self.method] and getattr(self, key) is None:
                object.__setattr__(self, key, DEFAULTS[key])
        for key in ("l", "dtype", "tap", "g", "k", "share", "pieces"):
            self._check_taken(key)
        if "p" in OPTIONS[self.method]:
            self._check("p", 2 <= self.p <= 8, "2 to 8 ranks")
        elif self.p != 1:
            raise PlanError(f"plan {self.method}: p={self.p}, but it runs on one rank")
        one_each = not isinstance(self.l, tuple) or len(self.l) > 1
        self._check("l", one_each, "one number, or one for each of several blocks")
        counts = (self.l,) if isinstance(self.l, int) else self.l or (1,)
        self._check("l", counts[0] >= 1, "1 or more segments (before the first block)")
        self._check("l", min(counts) >= 0, "0 or more segments per block")
        self._check("dtype", self.dtype in (None, *get_args(WireDtype)), "fp32, fp16 or int8")
        self._check("tap", self.tap in (None, *get_args(Tap)), "after or before")
        self._check("g", self.g is None or self.g >= 1, "1 or more groups")
        self._check("k", self.k is None or 2 <= self.k <= 1 << 16, "2 to 65536 codes")
        self._check("pieces", self.pieces is None or 1 <= self.pieces <= 8, "1 to 8 pieces")
        if self.share is not None:
            fits = len(self.share) == self.p and min(self.share) >= 0 and self.share[0] > 0
            self._check("share", fits, f"one whole number per rank ({self.p}), the first above 0")

    def __str__(self) -> str:
        shown = [
            f"{key}={_text(getattr(self, key))}"
            for key in OPTIONS[self.method]
            if key not in DEFAULTS or getattr(self, key) != DEFAULTS[key]
        ]
        return f"{self.method}:{','.join(shown)}" if shown else self.method

    @property
    def exchanges(self) -> bool:
        """True when ranks tell each other about their tokens between blocks."""
        return self.method in ("prism", "voltage", "astra", "split+prism")

    @property
    def exact(self) -> bool:
        """True when the answer equals the single-device answer up to rounding."""
        return self.method in ("local", "split", "voltage") and self.dtype in (None, "fp32")

    def parts(self, batch: int) -> tuple[tuple[Plan, int], ...]:
        """The plans that answer a batch, one after another, and the samples each takes.

        A hybrid splits what divides by p and exchanges over the rest; others are their own part.
        """
        if self.method != "split+prism":
            return ((self, batch),)
        whole, rest = batch // self.p * self.p, batch % self.p
        split = Plan(method="split", p=self.p)
        prism = replace(self, method="prism")
        return tuple((plan, count) for plan, count in ((split, whole), (prism, rest)) if count)

    @classmethod
    def parse(cls, text: str) -> Plan:
        """The plan whose text form is ``text``; options with a default may be left out.

        Raises ``PlanError`` that names the part that does not parse.
        """
        method, _, rest = text.strip().partition(":")
        known = OPTIONS.get(method)  # type: ignore[call-overload]
        if known is None:
            return cls(method=method)  # type: ignore[arg-type]  # raises, naming the nearest one
        values: dict[str, Any] = {}
        for item in filter(None, rest.split(",")):
            key, equals, value = item.partition("=")
            if not equals or key not in known:
                allowed = ", ".join(f"{key}=..." for key in known) or "no options"
                raise PlanError(f"plan {text!r}: cannot read {item!r}; {method} takes {allowed}")
            if key in values:
                raise PlanError(f"plan {text!r}: {key} is given twice")
            values[key] = READERS[key](text, key, value)
        for key in ("p", "l", "g"):
            if key in known and key not in values:
                raise PlanError(f"plan {text!r}: {key} is missing; examples: {EXAMPLES}")
        if "dtype" in known:
            values.setdefault("dtype", "fp32")
        return cls(method=method, **values)  # type: ignore[arg-type]

    def _check(self, key: str, fits: bool, allowed: str) -> None:
        if not fits:
            value = _text(getattr(self, key))
            raise PlanError(f"plan {self.method}: {key}={value}, allowed is {allowed}")

    def _check_taken(self, key: str) -> None:
        given, taken = getattr(self, key) is not None, key in OPTIONS[self.method]
        if given != taken and not (key == "share" and taken):
            verb = "needs" if taken else "does not take"
            raise PlanError(f"plan {self.method}: {verb} {key}; examples: {EXAMPLES}")


LOCAL = Plan(method="local")


def _text(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _word(text: str, key: str, value: str) -> str:
    return value


def _integer(text: str, key: str, value: str) -> int:
    if not value.isascii() or not value.isdigit():
        raise PlanError(f"plan {text!r}: {key}={value!r} is not a whole number")
    return int(value)


def _integers(text: str, key: str, value: str) -> tuple[int, ...]:
    return tuple(_integer(text, key, item) for item in value.split("/"))


def _one_or_each(text: str, key: str, value: str) -> int | tuple[int, ...]:
    return _integers(text, key, value) if "/" in value else _integer(text, key, value)


READERS: Mapping[str, Callable[[str, str, str], Any]] = {
    "p": _integer,
    "l": _one_or_each,
    "dtype": _word,
    "tap": _word,
    "g": _integer,
    "k": _integer,
    "share": _integers,
    "pieces": _integer,
}

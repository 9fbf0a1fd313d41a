"""A plan says how one batch is answered; its text form is the same everywhere it is shown.

``local`` · ``split:p=2`` · ``prism:p=2,l=10,dtype=fp16`` · ``voltage:p=2,dtype=fp32``
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal, get_args

from prism_edge.errors import PlanError

Method = Literal["local", "split", "prism", "voltage"]
WireDtype = Literal["fp32", "fp16"]

DTYPE_BYTES: dict[WireDtype, int] = {"fp32": 4, "fp16": 2}

# method -> the options its text form takes, in canonical order
OPTIONS: dict[Method, tuple[str, ...]] = {
    "local": (),
    "split": ("p",),
    "prism": ("p", "l", "dtype"),
    "voltage": ("p", "dtype"),
}
EXAMPLES = "local, split:p=2, prism:p=2,l=10,dtype=fp16, voltage:p=2,dtype=fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one batch is answered.

    ``p``: ranks that take part. ``l``: segments each rank announces (prism only). ``dtype``: how
    exchanged values travel (prism and voltage only). Raises ``PlanError`` on any other combination.
    """

    method: Method
    p: int = 1
    l: int | None = None  # noqa: E741 - the letter of the paper and of the text form
    dtype: WireDtype | None = None

    def __post_init__(self) -> None:
        if self.method not in OPTIONS:
            near = difflib.get_close_matches(self.method, list(OPTIONS), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise PlanError(f"plan: unknown method {self.method!r}{hint} (known: {EXAMPLES})")
        options = OPTIONS[self.method]
        if "p" in options and not 2 <= self.p <= 8:
            raise PlanError(f"plan {self.method}: p={self.p}, allowed is 2 to 8 ranks")
        if "p" not in options and self.p != 1:
            raise PlanError(f"plan {self.method}: p={self.p}, but it runs on one rank")
        if ("l" in options) != (self.l is not None):
            raise PlanError(_option_message(self.method, "l", missing=self.l is None))
        if self.l is not None and self.l < 1:
            raise PlanError(f"plan {self.method}: l={self.l}, allowed is 1 or more segments")
        if ("dtype" in options) != (self.dtype is not None):
            raise PlanError(_option_message(self.method, "dtype", missing=self.dtype is None))
        if self.dtype is not None and self.dtype not in get_args(WireDtype):
            raise PlanError(
                f"plan {self.method}: dtype={self.dtype!r}, allowed is {' or '.join(DTYPE_BYTES)}"
            )

    def __str__(self) -> str:
        options = ",".join(f"{key}={getattr(self, key)}" for key in OPTIONS[self.method])
        return f"{self.method}:{options}" if options else self.method

    @property
    def exchanges(self) -> bool:
        """True when ranks tell each other about their tokens between blocks."""
        return self.method in ("prism", "voltage")

    @property
    def exact(self) -> bool:
        """True when the answer equals the single-device answer up to rounding, at any l."""
        return self.method != "prism" and self.dtype in (None, "fp32")

    @classmethod
    def parse(cls, text: str) -> Plan:
        """The plan whose text form is ``text``; ``dtype`` may be left out and is then fp32.

        Raises ``PlanError`` that names the part that does not parse.
        """
        method, _, rest = text.strip().partition(":")
        known = OPTIONS.get(method)  # type: ignore[call-overload]
        if known is None:
            return cls(method=method)  # type: ignore[arg-type]  # raises, naming the nearest one
        values: dict[str, str] = {}
        for item in filter(None, rest.split(",")):
            key, equals, value = item.partition("=")
            if not equals or key not in known:
                allowed = ", ".join(f"{key}=..." for key in known) or "no options"
                raise PlanError(f"plan {text!r}: cannot read {item!r}; {method} takes {allowed}")
            if key in values:
                raise PlanError(f"plan {text!r}: {key} is given twice")
            values[key] = value
        dtype = values.get("dtype", "fp32") if "dtype" in known else None
        return cls(
            method=method,  # type: ignore[arg-type]
            p=_integer(text, "p", values.get("p")) if "p" in known else 1,
            l=_integer(text, "l", values.get("l")) if "l" in known else None,
            dtype=dtype,  # type: ignore[arg-type]
        )


LOCAL = Plan(method="local")


def _integer(text: str, key: str, value: str | None) -> int:
    if value is None:
        raise PlanError(f"plan {text!r}: {key} is missing; examples: {EXAMPLES}")
    if not value.isascii() or not value.isdigit():
        raise PlanError(f"plan {text!r}: {key}={value!r} is not a whole number")
    return int(value)


def _option_message(method: str, option: str, *, missing: bool) -> str:
    verb = "needs" if missing else "does not take"
    return f"plan {method}: {verb} {option}; examples: {EXAMPLES}"

"""Values that are what their annotations say, out of CSV cells and TOML. Pure."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from dataclasses import MISSING
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from prism_edge.errors import PlanError, TableError
from prism_edge.plan import Plan

_SIGNED = ("value", "ci_low", "ci_high")  # every other number is a count, a time, a size
_SOME = ("latency_s", "batch", "tokens", "tokens_own", "tokens_known", "bytes", "n")  # never 0
_LEAST = {"world": 2}
_T = TypeVar("_T")


class Checked:
    """Fields are what their annotations say: finite, not negative, one printable line of text."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for name, hint in hints(type(self)).items():
            check(name, hint, getattr(self, name))


def parse(name: str, hint: Any, cell: str) -> Any:
    """The value a CSV cell holds; an empty cell is None where None is allowed."""
    if hint is int:
        if not (cell.isascii() and cell.isdigit()):
            raise TableError(f"{name}={cell!r} is not a whole number")
        return int(cell)
    if hint in (float, float | None):
        if not cell and hint is not float:
            return None
        try:
            return float(cell.replace("_", "?"))  # Python's digit groups are not a number format
        except ValueError as error:
            raise TableError(f"{name}={cell!r} is not a number") from error
    return cell


def build(cls: type[_T], values: Mapping[str, Any], exclude: Collection[str] = ()) -> _T:
    """``cls`` from what TOML holds: tables become dataclasses, arrays become tuples."""
    known = {name: hint for name, hint in hints(cls).items() if name not in exclude}
    for key in values:
        if key not in known:
            raise TableError(unknown("key", key, known))
    made = {key: _made(known[key], value) for key, value in values.items()}
    for key, value in made.items():
        check(key, known[key], value)
    for name, spec in cls.__dataclass_fields__.items():  # type: ignore[attr-defined]
        if name not in made and spec.default is MISSING and spec.default_factory is MISSING:
            raise TableError(f"key {name!r} is missing from {cls.__name__}")
    return cls(**made)


def _made(hint: Any, value: Any) -> Any:
    inside = get_args(hint)
    if isinstance(value, list) and inside:
        return tuple(_made(inside[0], item) for item in value)
    # not isinstance(hint, type): on Python 3.10 that also holds for Mapping[str, str]
    known = hasattr(hint, "__dataclass_fields__")
    return build(hint, value) if isinstance(value, dict) and known else value


def unknown(what: str, name: str, known: Collection[str]) -> str:
    """Says that ``name`` is not known, and what comes nearest."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"unknown {what} {name!r}" + (f" (is it {near[0]!r}?)" if near else "")


def check(name: str, hint: Any, value: object) -> None:
    """Raise ``TableError`` unless ``value`` is what its annotation and its name allow."""
    origin = get_origin(hint)
    if value is None and hint == (float | None):
        return
    if origin is Literal:
        if value not in get_args(hint):
            raise TableError(f"{name}={value!r}, allowed is {' or '.join(get_args(hint))}")
    elif hint in (int, float, float | None):
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole and (hint is int or not isinstance(value, float)):
            raise TableError(f"{name}={value!r} is not a {'whole ' if hint is int else ''}number")
        assert isinstance(value, int | float)
        least = _LEAST.get(name, 0)
        if not math.isfinite(value) or (value < least and name not in _SIGNED):
            raise TableError(f"{name}={value!r}, allowed is a finite number from {least}")
        if value == 0 and name in _SOME:
            raise TableError(f"{name}={value!r}, allowed is more than 0")
    elif hint is str:
        if not isinstance(value, str) or not value.isprintable():
            raise TableError(f"{name}={value!r} is not one line of text")
        if name == "plan":
            _canonical(value)
    elif origin is tuple:
        if not isinstance(value, tuple):
            raise TableError(f"{name}={value!r} is not a list")
        for item in value:
            check(name, get_args(hint)[0], item)
    elif origin is Mapping:
        if not isinstance(value, Mapping):
            raise TableError(f"{name}={value!r} is not a table of texts")
        for key, item in value.items():
            check(f"{name}.{key}", str, item)
    elif not isinstance(value, hint):
        raise TableError(f"{name}={value!r} is not a {hint.__name__}")


def _canonical(text: str) -> None:
    try:
        plan = Plan.parse(text)
    except PlanError as error:
        raise TableError(str(error)) from error
    if str(plan) != text:
        raise TableError(f"plan {text!r} is written {str(plan)!r}")


def hints(cls: Any) -> dict[str, Any]:
    """Field name -> annotation, in order."""
    return _hints(cls)


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)

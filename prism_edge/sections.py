"""A section of a TOML file as a frozen dataclass; what the class does not allow is refused.

Every refusal is a ``SettingsError`` that names section, key and value, and what is allowed.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from pathlib import Path
from typing import Any, TypeVar

from prism_edge.errors import SettingsError

T = TypeVar("T")


def read_section(kind: type[T], section: str, data: object, base: Path) -> T:
    """A settings dataclass from its table, with keys and types checked."""
    if not isinstance(data, dict):
        raise SettingsError(f"{section}: expected a table, found {data!r}")
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    known_keys(section, data, tuple(fields))
    values: dict[str, Any] = {}
    for key, item in fields.items():
        if key not in data:
            if item.default is dataclasses.MISSING:
                raise SettingsError(f"{section}: {key} is missing")
            continue
        declared = str(item.type)
        if "Path" in declared:
            text = typed(section, key, data[key], str)
            if not text and "None" not in declared:
                raise SettingsError(f"{section}: {key} = '', expected a path")
            values[key] = base / Path(text).expanduser() if text else None
        elif "float" in declared:
            values[key] = float(typed(section, key, data[key], int, float))
        elif declared == "int":
            values[key] = typed(section, key, data[key], int)
        elif declared == "bool":
            values[key] = typed(section, key, data[key], bool)
        else:
            values[key] = typed(section, key, data[key], str)
    return kind(**values)


def typed(section: str, key: str, value: Any, *kinds: type) -> Any:
    """``value``, which is of one of ``kinds``."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join(
            {"str": "text", "int": "a whole number"}.get(k.__name__, k.__name__) for k in kinds
        )
        raise SettingsError(f"{section}: {key} = {value!r}, expected {names}")
    return value


def listed(data: dict[str, Any], section: str) -> list[Any]:
    """The entries of ``[[section]]``, none when there are none."""
    value = data.get(section, [])
    if not isinstance(value, list):
        raise SettingsError(f"{section}: write [[{section}]] for each one, not [{section}]")
    return value


def known_keys(section: str, data: dict[str, Any], known: tuple[str, ...]) -> None:
    """Every key of ``data`` is known."""
    for key in data:
        if key not in known:
            raise SettingsError(f"{section}: unknown key {key!r}{nearest(key, known)}")


def nearest(name: str, known: tuple[str, ...]) -> str:
    """What may have been meant, as the end of a message."""
    near = difflib.get_close_matches(name, known, n=1)
    every = f" (known: {', '.join(known) or 'none'})"
    return f"; did you mean {near[0]!r}?{every}" if near else every


def one_of(section: str, key: str, value: str, allowed: tuple[str, ...]) -> None:
    """``value`` is among ``allowed``."""
    if value not in allowed:
        raise SettingsError(f"{section}: {key} = {value!r}, allowed is {', '.join(allowed)}")


def at_least(section: str, key: str, value: float, low: float) -> None:
    """``value`` is finite and not below ``low``."""
    if not low <= value < math.inf:
        raise SettingsError(f"{section}: {key} = {value}, allowed is {low} or more")

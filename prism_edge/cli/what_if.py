"""``boards=4,rate=300mbit``: what of a cluster is imagined, as values."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields

from prism_edge.errors import SettingsError

EXAMPLE = "boards=4,rate=300mbit,model=gpt2,batch=16,tokens=256"


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """What is imagined; None: as it is."""

    boards: int | None = None
    rate: str | None = None
    model: str | None = None
    batch: int | None = None
    tokens: int | None = None


def parse_what_if(text: str) -> WhatIf:
    """The values of a text. Raises ``SettingsError`` that names the part and what is allowed."""
    kinds = {field.name: str(field.type) for field in fields(WhatIf)}
    values: dict[str, int | str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key not in kinds:
            near = difflib.get_close_matches(key, kinds, n=1, cutoff=0.4)
            hint = f" (is it {near[0]!r}?)" if near else ""
            raise SettingsError(f"--what-if: unknown key {key!r}{hint}; for example {EXAMPLE}")
        if not equals or not value:
            raise SettingsError(f"--what-if {part!r}: expected {key}=...; for example {EXAMPLE}")
        if key in values:
            raise SettingsError(f"--what-if: {key} is given twice")
        if not kinds[key].startswith("int"):
            values[key] = value
        elif value.isascii() and value.isdigit() and int(value) > 0:
            values[key] = int(value)
        else:
            raise SettingsError(f"--what-if {part!r}: expected a whole number from 1")
    return WhatIf(**values)  # type: ignore[arg-type]

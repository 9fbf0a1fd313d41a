"""One colour and one mark per method, everywhere; told apart by those who see no red or green.

Every colour has a name and a tone for light and for dark paper. Figures are drawn in the light
tones and refer to the names, so that one drawing follows the reader's colour scheme.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tone:
    """A colour on light and on dark paper."""

    light: str
    dark: str


TONES: dict[str, Tone] = {
    "paper": Tone("#ffffff", "#15191d"),
    "panel": Tone("#f4f6f8", "#1d2328"),
    "line": Tone("#d9dfe5", "#333c44"),
    "ink": Tone("#1a2027", "#e7ebee"),
    "soft": Tone("#56616c", "#9fabb6"),
    "warn": Tone("#9a3412", "#ffb08a"),
    "local": Tone("#0072b2", "#3d9bff"),
    "split": Tone("#00966d", "#2fd0a0"),
    "prism": Tone("#d55e00", "#ff9248"),
    "voltage": Tone("#7a1f5c", "#e08fd2"),
    "astra": Tone("#8866ee", "#5f5cff"),
    "hybrid": Tone("#664422", "#ffee44"),
    "other": Tone("#767676", "#a3a3a3"),
}
# method -> its mark in figures (matplotlib) and in text
MARKS: dict[str, tuple[str, str]] = {
    "local": ("o", "●"),
    "split": ("s", "■"),
    "prism": ("^", "▲"),
    "voltage": ("D", "◆"),
    "astra": ("*", "★"),
    "hybrid": ("v", "▼"),
    "other": ("X", "✚"),
}


def method_of(plan: str) -> str:
    """The name under which the plan's method has its colour and mark."""
    method = plan.partition(":")[0]
    if "+" in method:  # no character of a CSS name
        return "hybrid"
    return method if method in MARKS else "other"


def css(dark: bool) -> str:
    """The tones as custom properties of one colour scheme."""
    return "".join(f"--{name}:{tone.dark if dark else tone.light};" for name, tone in TONES.items())

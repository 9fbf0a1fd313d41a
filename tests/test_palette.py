"""Methods are told apart by everybody: on both papers, and by those who do not see red or green."""

from __future__ import annotations

from itertools import combinations
from typing import get_args

import pytest

from prism_edge.palette import MARKS, TONES, Tone, css, method_of
from prism_edge.plan import Method

# Viénot, Brettel, Mollon 1999: linear RGB as dichromats see it
SEEN_BY = {
    "everybody": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopes": ((0.11238, 0.88762, 0), (0.11238, 0.88762, 0), (0.00401, -0.00401, 1)),
    "deuteranopes": ((0.29275, 0.70725, 0), (0.29275, 0.70725, 0), (-0.02234, 0.02234, 1)),
}
METHODS = [method_of(method) for method in get_args(Method)]
PAPERS = ("light", "dark")


def linear(colour: str) -> list[float]:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]


def lab(colour: str, who: str = "everybody") -> tuple[float, float, float]:
    """CIE L*a*b* of a colour as ``who`` see it."""
    rgb = [
        max(0.0, sum(a * b for a, b in zip(row, linear(colour), strict=True)))
        for row in SEEN_BY[who]
    ]
    to_xyz = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    white = (0.9505, 1.0, 1.089)
    x, y, z = (
        sum(a * b for a, b in zip(row, rgb, strict=True)) / w
        for row, w in zip(to_xyz, white, strict=True)
    )
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def distance(a: str, b: str, who: str) -> float:
    return sum((p - q) ** 2 for p, q in zip(lab(a, who), lab(b, who), strict=True)) ** 0.5


def contrast(a: str, b: str) -> float:
    """WCAG 2 contrast ratio."""
    lights = sorted(
        0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear(colour) for colour in (a, b))
    )
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def tone(name: str, paper: str) -> str:
    found = TONES[name]
    assert isinstance(found, Tone)
    return found.light if paper == "light" else found.dark


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("who", SEEN_BY)
def test_no_two_methods_look_alike(paper: str, who: str) -> None:
    for a, b in combinations(METHODS, 2):
        assert distance(tone(a, paper), tone(b, paper), who) > 20, (a, b)


def test_a_red_and_a_green_would_look_alike() -> None:
    assert distance("#c02020", "#20a020", "everybody") > 100
    assert distance("#a52a2a", "#5a6e1e", "deuteranopes") < 20


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("ground", ["paper", "panel"])
def test_text_and_marks_stand_out(paper: str, ground: str) -> None:
    for name in ("ink", "soft", "warn"):
        assert contrast(tone(name, paper), tone(ground, paper)) >= 4.5, name
    for name in METHODS:
        assert contrast(tone(name, paper), tone(ground, paper)) >= 3, name
    assert contrast("#e69f00", "#ffffff") < 3  # negative control: Okabe and Ito's own orange


def test_every_method_has_its_own_colour_and_mark() -> None:
    assert {*METHODS, "other"} == set(MARKS)
    assert len({*METHODS}) == len(get_args(Method))
    assert all(name.isalpha() for name in MARKS)  # they are part of CSS names
    assert set(MARKS) < set(TONES)
    for which in (0, 1):
        assert len({mark[which] for mark in MARKS.values()}) == len(MARKS)


def test_figures_can_tell_tones_by_their_light_colour() -> None:
    assert len({tone.light for tone in TONES.values()}) == len(TONES)


def test_a_plan_has_the_colour_of_its_method() -> None:
    assert method_of("prism:p=2,l=10,dtype=fp16") == "prism"
    assert method_of("local") == "local"
    assert method_of("astra:p=2,g=32") == "astra"
    assert method_of("split+prism:p=2,l=10,dtype=fp16") == "hybrid"
    assert method_of("none") == method_of("") == "other"


def test_css_names_every_tone() -> None:
    assert css(dark=False).startswith("--paper:#ffffff;")
    assert css(dark=True).count(";") == len(TONES)
    assert css(dark=True) != css(dark=False)

"""A matplotlib figure becomes SVG that lives inside a page, or a picture on light paper."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from prism_edge.palette import TONES

PIXELS_PER_INCH = 72  # one unit of the drawing is one CSS pixel
_TONES = {tone.light: name for name, tone in TONES.items()}
_STYLE: dict[Any, object] = {
    "svg.fonttype": "none",  # text stays text: searchable, and in the reader's own font
    "svg.hashsalt": "prism-edge",
    "text.parse_math": False,  # a dollar sign in a model's name is a dollar sign
    "text.color": TONES["ink"].light,
    "axes.edgecolor": TONES["line"].light,
    "axes.labelcolor": TONES["soft"].light,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": TONES["line"].light,
    "grid.linewidth": 0.8,
    "xtick.color": TONES["soft"].light,
    "ytick.color": TONES["soft"].light,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
}


def inline_svg(
    name: str,
    label: str,
    width_px: int,
    height_px: int,
    paint: Callable[[Figure], None],
    font_px: float = 12.5,
) -> str:
    """What ``paint`` draws, as an SVG element; ``name`` keeps its ids apart from other figures'."""
    with mpl.rc_context({**_STYLE, "font.size": font_px}), warnings.catch_warnings():
        # the reader's browser has the letters that matplotlib's own font lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(width_px / PIXELS_PER_INCH, height_px / PIXELS_PER_INCH))
        figure.patch.set_alpha(0)
        paint(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return adapted(file.getvalue(), name, label)


def png(width_px: int, height_px: int, paint: Callable[[Figure], None]) -> bytes:
    """What ``paint`` draws, as a picture of two dots to the pixel."""
    with mpl.rc_context({**_STYLE, "font.size": 12.5}):
        figure = Figure(figsize=(width_px / PIXELS_PER_INCH, height_px / PIXELS_PER_INCH))
        figure.patch.set_facecolor(TONES["paper"].light)
        paint(figure)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=2 * PIXELS_PER_INCH, metadata={"Software": None})
    return file.getvalue()


def adapted(text: str, name: str, label: str) -> str:
    """``text`` of an SVG file as an element of a page: no header, own ids, the page's colours."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text).replace("xlink:href", "href")
    text = re.sub(r"(<style[^>]*>)\*", rf"\1.{name} *", text)
    text = re.sub(r'(href="|url\()#', rf"\1#{name}-", text)
    text = re.sub(r"#[0-9a-f]{6}\b", lambda m: _colour(m[0]), text)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", text)
    view = re.search(r'viewBox="[^"]*"', text)
    assert view is not None, text[:200]
    head = f'<svg {view[0]} role="img" aria-label="{escape(label)}" class="{name}">'
    return head + text[text.index(">") + 1 :]


def _colour(tone: str) -> str:
    name = _TONES.get(tone)
    return tone if name is None else f"var(--{name})"

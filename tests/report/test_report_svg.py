"""A figure inside a page takes the page's colours and fonts and keeps its ids to itself."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from matplotlib.figure import Figure

from prism_edge.palette import TONES
from prism_edge.report.svg import adapted, inline_svg


def paint(figure: Figure) -> None:
    axes = figure.add_axes((0.1, 0.2, 0.8, 0.7))
    axes.plot([1, 2, 3], [1, 4, 2], "o-", color=TONES["prism"].light, label="x")
    axes.set_title("a <b>$model$</b> & 模型")
    axes.grid(visible=True)


def test_it_is_one_element_with_its_text_as_text() -> None:
    text = inline_svg("one", 'a "label"', 300, 200, paint)
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    assert root.get("aria-label") == 'a "label"'
    assert root.get("role") == "img"
    assert root.get("viewBox") == "0 0 300 200"
    assert root.get("width") is None
    texts = ["".join(node.itertext()) for node in root.iter("text")]
    assert "a <b>$model$</b> & 模型" in texts


def test_colours_are_names_so_that_they_follow_the_page() -> None:
    text = inline_svg("one", "x", 300, 200, paint)
    assert "var(--prism)" in text
    assert "var(--line)" in text
    assert set(re.findall(r"#[0-9a-f]{6}\b", text)) == set()


def test_fonts_are_the_readers_own() -> None:
    text = inline_svg("one", "x", 300, 200, paint)
    assert "system-ui" in text
    assert "DejaVu" not in text


def test_its_style_stays_inside() -> None:
    text = inline_svg("one", "x", 300, 200, paint)
    styles = re.findall(r"<style[^>]*>(.*?)</style>", text, flags=re.DOTALL)
    assert styles
    assert all(style.lstrip().startswith(".one ") for style in styles)


def test_two_figures_share_no_id() -> None:
    one, two = (inline_svg(name, "x", 300, 200, paint) for name in ("one", "two"))
    ids = [set(re.findall(r'\bid="([^"]+)"', text)) for text in (one, two)]
    assert ids[0]
    assert ids[0].isdisjoint(ids[1])
    # and every reference is to an id of its own figure
    for text, own in zip((one, two), ids, strict=True):
        used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
        assert used
        assert used <= own


def test_the_same_drawing_is_the_same_text() -> None:
    assert inline_svg("a", "x", 300, 200, paint) == inline_svg("a", "x", 300, 200, paint)


def test_a_foreign_colour_and_a_metadata_block() -> None:
    raw = (
        "<?xml version='1.0'?>\n<svg width='9' viewBox=\"0 0 9 9\"><metadata>secret</metadata>"
        '<g id="g" style="fill: #123456; stroke: #ffffff"/></svg>'
    )
    text = adapted(raw, "n", "l<>")
    assert "secret" not in text
    assert "#123456" in text
    assert "stroke: var(--paper)" in text
    assert 'id="n-g"' in text
    assert 'aria-label="l&lt;&gt;"' in text

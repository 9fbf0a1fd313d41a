"""The picture is a picture; the page stands alone and says in words what the map shows."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
from measured import profile
from paper_map import HEAD, paper_map
from PIL import Image

from prism_edge.decision_map.colours import SHADES, blend, shades
from prism_edge.decision_map.files import write_map
from prism_edge.decision_map.grid import grid
from prism_edge.decision_map.page import page
from prism_edge.decision_map.png import png
from prism_edge.decision_map.words import DOUBT, EXTRAPOLATED, marks, reading
from prism_edge.errors import PrismError, SettingsError
from prism_edge.plan import Plan
from prism_edge.report.units import bits_per_second
from prism_edge.schedule.cost import costs_of
from prism_edge.schedule.events import Aim
from prism_edge.schedule.explain import rate_text


class Outline(HTMLParser):
    """Tags that are open at the end, attributes that fetch something, and all text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [f"{name}={value}" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br", "path"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def outline(text: str) -> Outline:
    parser = Outline()
    parser.feed(text)
    return parser


def test_the_picture_has_its_size_and_the_colours_of_its_plans() -> None:
    made = paper_map()
    with Image.open(BytesIO(png(made, HEAD))) as image:
        assert image.size == (1760, 1056)
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or []}
    assert len(colours) > 10


def test_the_page_is_whole_needs_nothing_else_and_runs_nothing() -> None:
    text = page(paper_map(), HEAD)
    found = outline(text)
    assert found.open == []
    assert found.fetched == []
    assert "<script" not in text
    assert not re.search(r"url\(|@import|https?:", text)
    for wanted in ("lab, emulated", "2025-01-02", "edge-1, edge-2", "as profiled: 105 Mbit/s"):
        assert wanted in found.text
    assert "prefers-color-scheme:dark" in text


def test_every_cell_reads_as_a_sentence_and_the_table_covers_every_batch() -> None:
    made = paper_map()
    found = outline(page(made, HEAD))
    for row in made.spots:
        for spot in row:
            assert reading(spot) in found.text
    assert DOUBT in found.text
    assert EXTRAPOLATED in found.text


def test_a_model_called_like_markup_stays_text() -> None:
    head = dataclasses.replace(HEAD, model="<b>$x$</b>", supposed=("4 boards & more",))
    text = page(paper_map(), head)
    assert "<b>$x$" not in text
    assert "&lt;b&gt;$x$" in text
    assert "4 boards &amp; more" in text
    assert png(paper_map(), head)


def test_lines_say_what_is_minimised() -> None:
    assert HEAD.lead(0.1) == "next best takes 10 % longer"
    energy = dataclasses.replace(HEAD, aim=Aim(objective="energy", exact=True))
    assert energy.lead(0.05) == "next best needs 5 % more"
    assert energy.how == "197 tokens · least energy, exact plans only"
    assert "next best needs 25 % more" in page(paper_map(), energy)


@pytest.mark.parametrize("given_bps", [110e6, 5e3])
def test_a_rate_that_was_asked_about_is_marked_beside_the_profiled_one(given_bps: float) -> None:
    costs = costs_of(profile(batches=(1, 2)), "net")
    made = grid(costs, Aim(), tokens=197, measured={1, 2}, given_bps=given_bps)
    assert made.edges_bps[0] <= given_bps
    assert [mark.name for mark in marks(made)] == ["profiled", "given"]
    text = outline(page(made, HEAD)).text
    assert f"as given: {bits_per_second(given_bps)}" in text
    assert png(made, HEAD)


def test_many_plans_do_not_crowd_out_the_rest_of_the_legend() -> None:
    made = paper_map(boards=8)
    assert len(made.plans) > 8
    with Image.open(BytesIO(png(made, HEAD))) as image:
        assert image.size == (1760, 1056)


def test_plans_of_one_method_have_shades_of_their_own() -> None:
    plans = [Plan(method="split", p=p) for p in range(2, 7)]
    assert [share for _, share in shades(plans).values()] == list(SHADES)
    assert blend("#000000", "#ffffff", 0.0) == "#ffffff"
    assert blend("#000000", "#ffffff", 1.0) == "#000000"


@pytest.mark.parametrize(
    ("rate_bps", "text"),
    [(5e9, "5 Gbit/s"), (50e6, "50 Mbit/s"), (2e3, "2 kbit/s"), (100.0, "100 bit/s")],
)
def test_round_rates_are_short(rate_bps: float, text: str) -> None:
    assert rate_text(rate_bps) == text


def test_what_is_written_goes_by_the_name(tmp_path: Path) -> None:
    both = write_map(paper_map(), HEAD, tmp_path)
    assert [path.name for path in both] == ["decision-map.html", "decision-map.png"]
    assert all(path.stat().st_size > 10_000 for path in both)
    with pytest.raises(SettingsError, match=r"name a \.html or \.png file"):
        write_map(paper_map(), HEAD, tmp_path / "map.pdf")
    with pytest.raises(PrismError, match="cannot be written"):
        write_map(paper_map(), HEAD, tmp_path / "none" / "map.html")


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path) -> None:
    tests = Path(__file__).parent
    program = (
        "import sys, pathlib; sys.modules['matplotlib'] = None\n"
        f"sys.path[:0] = [{str(tests)!r}, {str(tests.parent)!r}]\n"
        "from paper_map import HEAD, paper_map\n"
        "from prism_edge.decision_map.files import write_map\n"
        "from prism_edge.errors import PrismError\n"
        "try: write_map(paper_map(), HEAD, pathlib.Path(sys.argv[1]))\n"
        "except PrismError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "map.png")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "pip install 'prism-edge[report]'" in done.stdout

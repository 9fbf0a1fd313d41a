"""Real Chromium shows the page without complaint, and no width makes it scroll sideways."""

from __future__ import annotations

import http.server
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from synthetic_journal import synthetic, without
from synthetic_profile import synthetic_profile

from prism_edge.report.numbers import numbers
from prism_edge.report.page import page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTHS_PX = (1200, 1000, 880, 700, 400, 320)
# frames of every width around the page, and how much wider their contents are
MEASURE = """<!doctype html><meta charset="utf-8"><body><script>
const widths = %s, found = [];
for (const width of widths) {
  const frame = document.createElement("iframe");
  frame.style.cssText = `width:${width}px;height:600px;border:0`;
  frame.onload = () => {
    const root = frame.contentDocument.documentElement;
    found.push(`${width}:${root.scrollWidth - root.clientWidth}`);
    if (found.length == widths.length)
      document.body.append(Object.assign(document.createElement("output"), {textContent: found}));
  };
  frame.src = "report.html";
  document.body.append(frame);
}
</script>"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "site").mkdir()
    handler = partial(Quiet, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def browse(url: str, tmp_path: Path) -> tuple[str, list[str]]:
    """The document as Chromium built it, and what it wrote to the console."""
    program = next(path for name in BROWSERS if (path := shutil.which(name)))
    done = subprocess.run(
        [
            program,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'chromium'}",
            "--virtual-time-budget=20000",
            "--dump-dom",
            url,
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, [line for line in said if "favicon.ico" not in line]


def full_page() -> str:
    return page(numbers(synthetic(), synthetic_profile()))


def test_chromium_has_nothing_to_complain_about(tmp_path: Path, site: str) -> None:
    (tmp_path / "site" / "report.html").write_text(full_page(), encoding="utf-8")
    document, console = browse(f"{site}/report.html", tmp_path)
    assert console == []
    headings = re.findall(r"<h[12]>\s*([^<]+?)\s*<", document)
    assert headings == [
        "lab: how requests were answered",
        "Latency per phase",
        "Every request",
        "How latencies are distributed",
        "Outcome and energy per phase",
        "By plan",
        "Energy per request by plan",
        "Power of every board",
        "Fallbacks and losses",
        "Decisions",
        "Predicted and measured, live",
        "Cost tables",
        "Conditions and limits",
    ]
    assert document.count("<svg") == 10


def test_an_external_picture_or_a_script_would_be_complained_about(
    tmp_path: Path, site: str
) -> None:
    for extra in ('<img src="http://127.0.0.1:9/x.png">', "<script>document.title = 1</script>"):
        text = full_page().replace("<footer>", f"{extra}<footer>")
        (tmp_path / "site" / "report.html").write_text(text, encoding="utf-8")
        assert browse(f"{site}/report.html", tmp_path)[1] != [], extra


@pytest.mark.parametrize("kind", ["full", "empty"])
def test_no_width_scrolls_sideways(tmp_path: Path, site: str, kind: str) -> None:
    empty = page(numbers(without(synthetic(), "samples", "requests", "events")))
    text = full_page() if kind == "full" else empty
    assert excess_px(text, tmp_path, site) == dict.fromkeys(WIDTHS_PX, 0)


def test_a_page_that_is_too_wide_is_noticed(tmp_path: Path, site: str) -> None:
    text = full_page().replace("<footer>", '<div style="width:500px">x</div><footer>')
    found = excess_px(text, tmp_path, site)
    assert found[400] > 0
    assert found[700] == 0


def excess_px(text: str, tmp_path: Path, site: str) -> dict[int, int]:
    """For every frame width how much wider the page is than what is seen of it."""
    (tmp_path / "site" / "report.html").write_text(text, encoding="utf-8")
    (tmp_path / "site" / "measure.html").write_text(MEASURE % list(WIDTHS_PX), encoding="utf-8")
    document, _ = browse(f"{site}/measure.html", tmp_path)
    found = re.search(r"<output>([^<]*)</output>", document)
    assert found is not None, document[:500]
    pairs = [pair.split(":") for pair in found[1].split(",")]
    return {int(width): int(excess) for width, excess in pairs}

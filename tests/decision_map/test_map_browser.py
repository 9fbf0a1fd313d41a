"""Real Chromium shows the map without complaint, no width scrolls sideways, a cell can be read."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from paper_map import HEAD, paper_map

from prism_edge.decision_map.page import page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTHS_PX = (1200, 880, 400, 320)
# Frames of every width: how much wider their contents are; and whether the middle of the plot is a
# cell with a reading, so that nothing drawn over the cells keeps the pointer from them.
MEASURE = """<!doctype html><meta charset="utf-8"><body><script>
const widths = %s, found = [];
for (const width of widths) {
  const frame = document.createElement("iframe");
  frame.style.cssText = `width:${width}px;height:900px;border:0`;
  frame.onload = () => {
    const inside = frame.contentDocument, root = inside.documentElement;
    const box = inside.querySelector(".plot").getBoundingClientRect();
    const hit = inside.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
    found.push(`${width}:${root.scrollWidth - root.clientWidth}:${hit.textContent.trim()}`);
    if (found.length == widths.length)
      document.body.append(
        Object.assign(document.createElement("output"), {textContent: found.join("|")}));
  };
  frame.src = "map.html";
  document.body.append(frame);
}
</script>"""


def browse(path: Path, tmp_path: Path) -> tuple[str, list[str]]:
    """The document as Chromium built it, and what it wrote to the console."""
    program = next(found for name in BROWSERS if (found := shutil.which(name)))
    done = subprocess.run(
        [
            program,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--allow-file-access-from-files",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'chromium'}",
            "--virtual-time-budget=20000",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_the_page_is_shown_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "map.html").write_text(page(paper_map(), HEAD), encoding="utf-8")
    document, console = browse(tmp_path / "map.html", tmp_path)
    assert console == []
    headings = re.findall(r"<h[12]>\s*([^<]+?)\s*<", document)
    assert headings == ["net: the plan to choose, by batch and link rate", "The same as a table"]


def test_every_width_fits_and_cells_can_be_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "map.html").write_text(page(paper_map(boards=8), HEAD), encoding="utf-8")
    (tmp_path / "measure.html").write_text(MEASURE % list(WIDTHS_PX), encoding="utf-8")
    document, _ = browse(tmp_path / "measure.html", tmp_path)
    output = re.search(r"<output>([^<]*)</output>", document)
    assert output is not None, document[:500]
    found = {line.split(":", 2)[0]: line.split(":", 2)[1:] for line in output[1].split("|")}
    for width in WIDTHS_PX:
        excess, reading = found[str(width)]
        assert excess == "0", f"{width} px: {excess} too wide"
        assert re.match(r"batch \d+ over [\d.]+ Mbit/s: ", reading), reading

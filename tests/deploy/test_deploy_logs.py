"""Logs of several boards as one."""

from __future__ import annotations

from prism_edge.deploy.everywhere import Found
from prism_edge.deploy.logs import Line, Page, in_order, parse

FIRST = """\
2026-11-21T18:06:11.518254+0000 prism-edge[1540]: edge-2: release r1
2026-11-21T18:06:13.986648+0000 systemd[1]: Started prism-edge.service.
-- Boot 4f0e8a --
2026-11-21T18:07:13.986648+0000 systemd[1]: Starting prism-edge.service...
-- cursor: s=7f;i=1a
"""


def test_lines_and_the_place_after_them() -> None:
    page = parse("edge-2", FIRST)
    assert page.cursor == "s=7f;i=1a"
    assert len(page.lines) == 3
    assert page.lines[0] == Line(
        board="edge-2",
        at="2026-11-21T18:06:11.518254+0000",
        text="prism-edge[1540]: edge-2: release r1",
    )


def test_nothing_new_leaves_the_place() -> None:
    assert parse("edge-2", "", "s=7f;i=1a") == Page(lines=(), cursor="s=7f;i=1a")


def test_lines_of_boards_are_in_the_order_of_time() -> None:
    other = Line(board="edge-1", at="2026-11-21T18:06:12.000000+0000", text="between")
    away: Found[Page] = Found(board="edge-3", error="away")
    found = (
        Found(board="edge-1", value=Page(lines=(other,), cursor=None)),
        away,
        Found(board="edge-2", value=parse("edge-2", FIRST)),
    )
    assert [line.board for line in in_order(found)] == ["edge-2", "edge-1", "edge-2", "edge-2"]

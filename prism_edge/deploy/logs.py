"""The service's log of several boards as one, in the order of time, each line with its board."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

from prism_edge.deploy import paths
from prism_edge.deploy.everywhere import Found, Open, everywhere
from prism_edge.deploy.must import must
from prism_edge.deploy.runner import Runner
from prism_edge.errors import ClusterError
from prism_edge.settings import BoardSettings

_CURSOR = "-- cursor: "
_EVERY_S = 1.0
_AGAIN_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """``at``: the board's time, as ISO 8601; ``text``: what was said."""

    board: str
    at: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Lines of one board, and the place in its log after them."""

    lines: tuple[Line, ...]
    cursor: str | None


def read_page(
    runner: Runner, *, since: str | None = None, count: int = 50, after: str | None = None
) -> Page:
    """The last ``count`` lines; all since ``since``, in words of journalctl; all after a cursor."""
    if after is not None:
        part = f"--after-cursor={quote(after)}"
    elif since is not None:
        part = f"--since={quote(since)}"
    else:
        part = f"--lines={count}"
    said = must(
        runner,
        "its log cannot be read",
        f"journalctl --unit={paths.UNIT} --output=short-iso-precise --utc --no-pager --quiet "
        f"--no-hostname --show-cursor {part}",
        then="is --since a time that journalctl knows, such as '10 min ago' or 'today'?",
    )
    return parse(runner.name, said, after)


def parse(board: str, text: str, before: str | None = None) -> Page:
    """The page that journalctl printed; ``before``: where it began, if nothing was new."""
    lines, cursor = [], before
    for line in text.splitlines():
        if line.startswith(_CURSOR):
            cursor = line.removeprefix(_CURSOR)
        elif line and not line.startswith("-- "):
            at, _, said = line.partition(" ")
            lines.append(Line(board=board, at=at, text=said))
    return Page(lines=tuple(lines), cursor=cursor)


def pages(
    boards: Sequence[BoardSettings], opened: Open, since: str | None, count: int
) -> tuple[Found[Page], ...]:
    """The end of each board's log, or why it cannot be read."""
    return everywhere(boards, opened, lambda _, runner: read_page(runner, since=since, count=count))


def in_order(found: Sequence[Found[Page]]) -> list[Line]:
    """All their lines by time; lines of one board stay as they were."""
    lines = [line for one in found if one.value is not None for line in one.value.lines]
    return sorted(lines, key=lambda line: line.at)


def follow(
    boards: Sequence[BoardSettings],
    opened: Open,
    cursors: Mapping[str, str | None],
    say: Callable[[str, str], None],
    over: threading.Event,
) -> None:
    """``say`` hears board and text of what comes after the cursors, until ``over`` is set or
    Ctrl-C, and nothing afterwards: Python may abort where a thread still writes to stdout when it
    ends. A board that is lost is said to be, and asked again."""
    saying = threading.Lock()

    def tell(board: str, text: str) -> None:
        with saying:
            if not over.is_set():
                say(board, text)

    def watch(board: BoardSettings) -> None:
        cursor, lost = cursors.get(board.name), ""
        while not over.is_set():
            try:
                with opened(board) as runner:
                    while not over.wait(_EVERY_S):
                        page = read_page(runner, after=cursor, count=0)
                        cursor, lost = page.cursor or cursor, ""
                        for line in page.lines:
                            tell(line.board, f"{line.at} {line.text}")
            except ClusterError as error:
                if str(error) != lost:
                    lost = str(error)
                    tell(board.name, f"{error}; trying again every {_AGAIN_S:g} s")
                over.wait(_AGAIN_S)

    watchers = [threading.Thread(target=watch, args=(board,), daemon=True) for board in boards]
    for watcher in watchers:
        watcher.start()
    try:
        for watcher in watchers:
            watcher.join()
    finally:
        with saying:
            over.set()

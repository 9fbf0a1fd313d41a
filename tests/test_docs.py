"""The documentation names every command, no command that is not there, and links to what exists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import pytest
import typer

from prism_edge.cli import app

ROOT = Path(__file__).parents[1]
CODE = re.compile(r"```.*?\n(.*?)```|`([^`\n]+)`|((?:^ {4,}\S.*\n?)+)", re.MULTILINE | re.DOTALL)
CALL = re.compile(r"^\s*(?:\$ |sudo )*(?:\S*/)?prism-edge((?: +[a-z][a-z0-9-]*)*)", re.MULTILINE)
MAKE = re.compile(r"^\s*(?:\$ )?make ((?:[a-z]+ ?)+)$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def guide() -> dict[Path, str]:
    """README.md and everything under docs/: where a user looks for a command."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {path: path.read_text(encoding="utf-8") for path in paths}


def pages() -> dict[Path, str]:
    """Every page we wrote, the guide included."""
    folders = ("examples", "deploy", "ansible")
    others = [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    others += [path for folder in folders for path in sorted((ROOT / folder).rglob("*.md"))]
    return guide() | {path: path.read_text(encoding="utf-8") for path in others}


def commands(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every command a user can see: ('serve',), ('lab', 'up'), ..."""
    children: dict[str, object] | None = getattr(command, "commands", None)
    if children is None:
        yield path
        return
    for name, child in children.items():
        if not getattr(child, "hidden", False):
            yield from commands(child, (*path, name))


def code(text: str) -> Iterator[str]:
    """Fenced blocks, indented blocks and code spans of a Markdown page."""
    for match in CODE.finditer(text):
        yield next(group for group in match.groups() if group is not None)


def undocumented(known: Iterable[tuple[str, ...]], texts: Iterable[str]) -> list[str]:
    """Commands that no page mentions in full."""
    text = "\n".join(texts)
    calls = [" ".join(["prism-edge", *path]) for path in known]
    return [call for call in calls if not re.search(re.escape(call) + r"(?![\w-])", text)]


def invented(known: Iterable[tuple[str, ...]], texts: Iterable[str]) -> list[str]:
    """Calls in code that name a command there is not; words after a command are its arguments."""
    paths = set(known)
    prefixes = {path[:count] for path in paths for count in range(len(path) + 1)} - paths
    found = []
    for call in (match for text in texts for part in code(text) for match in CALL.finditer(part)):
        words = call.group(1).split()
        at: tuple[str, ...] = ()
        while words and at in prefixes:
            at = (*at, words.pop(0))
        if at not in paths | prefixes:
            found.append(" ".join(["prism-edge", *at]))
    return sorted(set(found))


def make_targets(makefile: str) -> set[str]:
    return set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


def dead_links(page: Path, text: str) -> list[str]:
    """Links to files that are not there; addresses elsewhere and anchors are not followed."""
    targets = [link.partition("#")[0] for link in LINK.findall(text) if ":" not in link]
    return [target for target in targets if target and not (page.parent / target).exists()]


def all_commands() -> list[tuple[str, ...]]:
    return sorted(commands(typer.main.get_group(app)))


def test_every_command_is_documented() -> None:
    assert undocumented(all_commands(), guide().values()) == []


def test_no_command_is_invented() -> None:
    assert invented(all_commands(), guide().values()) == []


def test_every_link_leads_somewhere() -> None:
    assert {
        str(page): dead for page, text in pages().items() if (dead := dead_links(page, text))
    } == {}


def test_every_make_target_exists() -> None:
    targets = make_targets((ROOT / "Makefile").read_text(encoding="utf-8"))
    assert {"help", "demo", "test", "check", "bench", "clean"} <= targets
    calls = [MAKE.findall(part) for text in pages().values() for part in code(text)]
    named = {name for call in calls for line in call for name in line.split()}
    assert named <= targets, named - targets


KNOWN = [("lab", "link"), ("lab", "up"), ("serve",)]


def test_an_undocumented_command_is_caught() -> None:
    texts = ["`prism-edge lab up`", "prism-edge lab link-speed and prism-edge served"]
    assert undocumented(KNOWN, texts) == ["prism-edge lab link", "prism-edge serve"]


@pytest.mark.parametrize(
    "text",
    [
        "use `prism-edge launch`",
        "```sh\n$ prism-edge launch now\n```",
        "so:\n\n    .venv/bin/prism-edge launch --json\n",
    ],
)
def test_an_invented_command_is_caught(text: str) -> None:
    assert invented(KNOWN, [text]) == ["prism-edge launch"]
    assert invented(KNOWN, ["`prism-edge lab down`"]) == ["prism-edge lab down"]


def test_arguments_groups_and_prose_are_not_taken_for_commands() -> None:
    texts = ["`prism-edge serve vit` or `prism-edge lab --help`, `prism-edge`; prism-edge is here"]
    assert invented(KNOWN, texts) == []


def test_a_dead_link_is_caught(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("")
    text = "[a](there.md#x) [b](gone.md) [c](https://example.org/gone.md) [d](#here)"
    assert dead_links(tmp_path / "page.md", text) == ["gone.md"]


def test_commands_are_walked_and_hidden_ones_are_not() -> None:
    lab = click.Group("lab", commands=[click.Command("up"), click.Command("link")])
    secret = click.Command("secret", hidden=True)
    group = click.Group("x", commands=[lab, secret, click.Command("serve")])
    assert sorted(commands(group)) == KNOWN

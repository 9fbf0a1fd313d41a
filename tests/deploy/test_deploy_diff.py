"""What would change is shown in words and as differences; secrets never are."""

from __future__ import annotations

import pytest
from paper_board import after, facts, goods, private, settings, wished

from prism_edge.deploy import paths
from prism_edge.deploy.diff import differences, words, written
from prism_edge.deploy.step import Activate, Prune
from prism_edge.deploy.steps import steps
from prism_edge.settings import PolicySettings


def test_every_step_has_words() -> None:
    now = facts()
    told = [words(step) for step in steps(wished(now, own=private("mesh")), now)]
    assert len(told) == len(set(told)) == 12
    assert told[0] == "make the user prism-edge"
    assert "send 2 wheels, 0.0 MB" in told
    assert any("torch 2.5.0a0+872d972e41.nv24.8 stays" in text for text in told)
    assert words(Activate(why="", id="x", old="x", restart=True)) == "restart release x"
    gone = (f"{paths.RELEASES}/a", f"{paths.RELEASES}/b", f"{paths.MODELS}/c")
    assert words(Prune(why="", paths=gone)) == "remove 2 releases, 1 model"


def test_settings_differ_line_by_line() -> None:
    now = facts()
    now = after(now, steps(wished(now), now))
    strict = settings(policy=PolicySettings(exact=True))
    made = steps(wished(now, cluster=strict), now)
    wanted = written(made, now.installed.current)
    current = paths.release(str(now.installed.current))
    assert set(wanted.values()) == {
        f"{current}/etc/{name}" for name in ("cluster.toml", "board.env", paths.UNIT)
    }
    old = wished(facts()).etc
    there: dict[str, str | None] = {
        path: old[where.rpartition("/")[2]].decode() for path, where in wanted.items()
    }
    lines = list(differences(made, there))
    assert "+exact = true" in lines
    assert sum(line.startswith("+++") for line in lines) == 1  # the other files are as they were


def test_what_is_not_there_yet_is_all_new() -> None:
    now = facts()
    made = steps(wished(now), now)
    there: dict[str, str | None] = dict.fromkeys(written(made, None))
    lines = list(differences(made, there))
    assert "--- /dev/null" in lines
    assert "+#!/bin/sh" in lines


@pytest.mark.parametrize("there", ["old secret", None])
def test_secrets_are_named_and_not_shown(there: str | None) -> None:
    now = facts()
    made = steps(wished(now, sent=goods(token="hush")), now)
    wanted = written(made, None)
    assert paths.TOKEN not in wanted
    shown = "\n".join(differences(made, {paths.TOKEN: there}))
    assert f"# {paths.TOKEN}: a secret, not shown" in shown
    assert "hush" not in shown
    assert "old secret" not in shown
    assert "hush" not in "".join(words(step) for step in made)

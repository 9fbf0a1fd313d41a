"""What a real leader decided is decided again from its journal, also after it was killed."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import measured
import numpy as np
import pytest
from checkpoints import vit, write
from daemons import Pair, pair, until

from prism_edge import tables
from prism_edge.energy.journal import decisions, read
from prism_edge.families import load
from prism_edge.families.checkpoint import fingerprint
from prism_edge.schedule.events import Asked, Event, Started, from_json

pytestmark = [pytest.mark.gloo, pytest.mark.slow]

NAMES = {"edge-1": "a", "edge-2": "b"}
PIXELS = np.random.default_rng(1).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)


def tables_of(model: Path) -> tables.Profile:
    """Tables for boards a and b on which computing is so slow that sharing it pays."""
    shape = load(model).shape
    made = measured.profile(shape, segments=(1, 2), speeds=(1e-4, 1e-4))
    return dataclasses.replace(
        made,
        boards=tuple(dataclasses.replace(row, name=NAMES[row.name]) for row in made.boards),
        models=(tables.ModelEntry(name="net", fingerprint=fingerprint(model), shape=shape),),
        compute=tuple(dataclasses.replace(row, board=NAMES[row.board]) for row in made.compute),
        link=tuple(
            dataclasses.replace(row, src=NAMES[row.src], dst=NAMES[row.dst]) for row in made.link
        ),
    )


def events(journal: Path) -> list[Event]:
    return [from_json(row.event) for _, row in decisions(journal)]


def kept(journal: Path) -> set[str | None]:
    """The requests that the journal has, each with its decision."""
    asked = {
        row.request for _, row in decisions(journal) if isinstance(from_json(row.event), Asked)
    }
    return asked & {request.id for request in read(journal).requests}


def replayed(journal: Path, profile: Path, code: int = 0) -> dict[str, Any]:
    argv = [sys.executable, "-m", "prism_edge", "plan", "--replay", str(journal)]
    argv += ["--profile", str(profile), "--json"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def ask(boards: Pair, times: int) -> set[str]:
    """The plans that answered."""
    plans = set()
    for turn in range(times):
        rows = PIXELS[: (1, 2, 4)[turn % 3]]
        plans.add(boards.leader.infer("net", {"pixel_values": rows}).parameters["plan"])
    return plans


def test_a_leaders_day_replays(tmp_path: Path) -> None:
    """A day on which a board is lost, an engine restarted and the leader killed."""
    model = write(tmp_path / "net", *vit())
    profile, journal = tmp_path / "profiles" / "test", tmp_path / "journal.sqlite"
    tables.write(profile, tables_of(model))
    with pair(tmp_path, {"net": model}) as boards:
        plans = ask(boards, 12)
        assert plans - {"local"}, "nothing was shared: little is decided"
        os.kill(boards.worker.engine(), signal.SIGKILL)
        until(lambda: not boards.in_group(), "the loss")
        ask(boards, 3)
        boards.together()
        os.kill(boards.leader.engine(), signal.SIGKILL)
        until(lambda: not boards.in_group(), "the loss of the leader's engine")
        boards.together()
        ask(boards, 6)
        asked = 12 + 3 + 6
        until(lambda: len(kept(journal)) >= asked - 1, "decisions and their requests")
        boards.leader.process.kill()
        boards.leader.ended()
    found = replayed(journal, profile)
    assert found["decisions"] == found["equal"] >= asked - 1
    assert found["not_replayed"] == 0
    assert len(found["starts"]) == sum(isinstance(event, Started) for event in events(journal)) == 2
    assert len(kept(journal)) >= asked - 1

    # the control: the first decision, as if it had had another reason
    first = min(number for number, row in decisions(journal) if row.plan is not None)
    connection = sqlite3.connect(journal)
    connection.execute("UPDATE decisions SET why = 'a whim' WHERE number = ?", (first,))
    connection.commit()
    connection.close()
    assert replayed(journal, profile, code=1)["other_why"] == 1

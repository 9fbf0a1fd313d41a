"""What a daemon says to the board it runs on, and who is in its leader's group."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict
from pathlib import Path

import pytest
from twin_daemon import serving

from prism_edge.deploy.ask import Answer, asked_here, await_group
from prism_edge.deploy.runner import Done
from prism_edge.errors import ClusterError
from prism_edge.settings import BoardSettings, ModelSettings, ServeSettings, Settings


def settings(port: int, token: Path | None = None) -> Settings:
    return Settings(
        name="c",
        leader="edge-1",
        profiles=Path("profiles"),
        boards=(BoardSettings(name="edge-1", address="127.0.0.1"),),
        models=(ModelSettings(name="colours", path=Path("model")),),
        serve=ServeSettings(port=port, token_file=token),
    )


def test_a_daemon_is_asked(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    with serving() as url:
        answer = asked_here(settings(int(url.rpartition(":")[2]), tmp_path / "token"), "edge-1")
    assert answer.error is None
    assert answer.status is not None


def test_a_daemon_that_is_not_there_is_an_answer_too() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        answer = asked_here(settings(taken.getsockname()[1]), "edge-1")
    assert answer.status is None
    assert "is the service active?" in str(answer.error)


def test_a_token_that_cannot_be_read_is_said() -> None:
    answer = asked_here(settings(1, token=Path("/nowhere/token")), "edge-1")
    assert "/nowhere/token" in str(answer.error)


class Leader:
    """A runner on a board whose daemon gives these answers in turn, the last for ever."""

    name = "edge-1"

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)

    def run(self, command: str, **_: object) -> Done:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return Done(code=0, out=f"a warning\n{json.dumps(asdict(answer))}\n", err="")

    def put(self, source: Path | bytes, target: str, **_: object) -> None:
        raise NotImplementedError

    def get(self, source: str, target: Path) -> None:
        raise NotImplementedError


def group(*inside: str) -> Answer:
    boards = [
        {"name": name, "ready": True, "in_group": name in inside, "why_out": f"{name} sleeps"}
        for name in ("edge-1", "edge-2")
    ]
    return Answer(status={"boards": boards})


def test_a_group_is_waited_for() -> None:
    leader = Leader(Answer(error="refused"), group("edge-1"), group("edge-1", "edge-2"))
    status = await_group(leader, ["edge-1", "edge-2"], 30.0)
    assert [board["in_group"] for board in status["boards"]] == [True, True]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (group("edge-1"), r"edge-2 \(edge-2 sleeps\)"),
        (Answer(error="refused"), r"edge-1 \(refused\); edge-2 \(refused\)"),
        (Answer(status={"boards": []}), "edge-2 .the leader does not know it."),
    ],
)
def test_a_group_that_does_not_form_says_who_is_missing(answer: Answer, words: str) -> None:
    with pytest.raises(ClusterError, match=words):
        await_group(Leader(answer), ["edge-1", "edge-2"], 0.0)


def test_a_leader_alone_is_its_own_group() -> None:
    alone = {"name": "edge-1", "ready": True, "in_group": False, "why_out": None}
    assert await_group(Leader(Answer(status={"boards": [alone]})), ["edge-1"], 0.0)

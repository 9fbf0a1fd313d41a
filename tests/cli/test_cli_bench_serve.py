"""``prism-edge bench serve`` asks real daemons and prints what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from twin_daemon import serving

from prism_edge.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*options: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["prism-edge", "bench", "serve", *map(str, options)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture(scope="module")
def daemon() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.mark.parametrize("how", [("--rate", "100"), ("--concurrency", "2")])
def test_a_daemon_elsewhere_is_asked(run: Run, daemon: str, how: tuple[str, str]) -> None:
    where = ("--url", daemon, "--model", "colours", "--seconds", "0.3", "--deadline", "60")
    code, out, err = run(*where, *how, "--json", "--plan", "local")
    assert code == 0, err
    said = json.loads(out)
    assert said["outcomes"] == {"200": said["requests"]}
    assert said["plans"] == {"local": said["requests"]}
    assert said["latency_s"]["p50"] > 0
    assert said["conditions"]["inputs"] == {"pixel_values": "float32 [1, 3, 4, 4]"}
    assert said["conditions"]["load_average"]
    code, out, _ = run(*where, *how, "--pixels", "--batch", "2")
    assert code == 0
    assert "requests in " in out
    assert "achieved  " in out
    assert "uint8 [2, 3, 4, 4]" in out


def test_more_than_a_daemon_can_answer_is_asked_and_what_came_of_it_told(
    run: Run, daemon: str
) -> None:
    where = ("--url", daemon, "--model", "colours", "--overload", 2, "--seconds", 0.5)
    code, out, err = run(*where, "--json", "--deadline", 60)  # nothing is too late
    assert code == 0, err
    said = json.loads(out)
    found = said["overload"]
    assert found["times"] == 2
    assert found["offered_hz"] == pytest.approx(2 * found["sustained_hz"])
    assert found["accepted"] == said["outcomes"]["200"]
    assert found["accepted_in_time"] > 0
    assert found["deadline_s"] == 60
    assert found["recovered_s"] > 0
    assert found["resident_mib"] == {}  # of a daemon elsewhere, for all this knows
    code, out, _ = run(*where)
    assert code == 0
    assert "sustained " in out
    assert float(out.partition("in time (within ")[2].partition(" s)")[0]) >= 1.0
    assert "afterwards the first answer came after " in out


def test_a_refusal_is_a_figure_not_a_failure(run: Run, daemon: str) -> None:
    code, out, _ = run("--url", daemon, "--model", "colours", "--rate", 50, "--seconds", 0.3,
                       "--tokens", 2, "--batch", 8000)  # fmt: skip
    assert code == 0
    assert " x 413" in out


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (["--rate", "1", "--concurrency", "1"], 2, "exclude each other"),
        (["--rate", "1", "--health"], 2, "--health goes with --concurrency alone"),
        (["--url", "http://127.0.0.1:1"], 2, "--url needs --model"),
        (["--url", "http://127.0.0.1:1", "--model", "m"], 1, "is `prism-edge serve` running"),
        (["--model", "no-such-size"], 2, "no-such-size"),
        (["--plan", "warp:p=2"], 2, "unknown method"),
    ],
)
def test_what_cannot_be_asked_is_said(
    run: Run, options: list[str], code: int, expected: str
) -> None:
    got, out, err = run(*options)
    assert (got, out) == (code, "")
    assert expected in err


def test_another_server_s_overhead_cannot_be_told(run: Run, daemon: str) -> None:
    code, _, err = run("--url", daemon, "--model", "colours", "--overhead")
    assert code == 1
    assert "is it a prism-edge of this version?" in err


def test_how_soon_a_daemon_elsewhere_says_how_it_is(run: Run, daemon: str) -> None:
    where = ("--url", daemon, "--model", "colours", "--health")
    seconds, asked = 0.15, 0
    while asked < 2:  # a median is of two at least, for which a busy machine may need longer
        seconds *= 2
        code, out, err = run(*where, "--seconds", seconds, "--json")
        assert code == 0, err
        said = json.loads(out)["health"]
        asked = min(one["asked"] for one in said["inference"].values())
    assert list(said) == ["inference"]  # nobody else's engine is killed
    assert list(said["inference"]) == ["/metrics", "/v2/health/live", "/v2/health/ready"]
    for one in said["inference"].values():
        assert one["unanswered"] == 0
        assert 0 < one["p50"] <= one["max"]
    code, out, _ = run(*where, "--seconds", "0.3")
    assert code == 0
    assert "/v2/health/live" in out


@pytest.mark.gloo
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(find_spec("torch") is None, reason="its engine needs torch")
def test_a_daemon_of_its_own_says_what_it_adds(run: Run, tmp_path: Path) -> None:
    import checkpoints

    checkpoints.write(tmp_path / "vit", *checkpoints.vit())
    model = f"vit={tmp_path / 'vit'}"
    code, out, err = run("--model", model, "--health", "--seconds", "0.3", "--json")
    assert code == 0, err
    said = json.loads(out)["health"]
    assert said["restart_s"] > 0
    for one in said["restart"].values():
        assert one["asked"] > 0 == one["unanswered"]
    code, out, err = run("--model", model, "--overhead", "--json")
    assert code == 0, err
    said = json.loads(out)
    assert said["outcomes"] == {"200": 200}
    parts = said["overhead"]
    assert 0 < parts["added_p50_low_s"] <= parts["added_p50_s"] <= parts["added_p50_high_s"]
    assert said["overhead"]["http_s"]["p50"] > 0

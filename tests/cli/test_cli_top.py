"""``prism-edge top``: what the page says, in a terminal that obeys nobody's text."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from typing import Any

from rich.console import Console
from twin_daemon import serving

from prism_edge.cli.top_view import view
from prism_edge.energy.rows import RequestRow
from prism_edge.serve.history import History
from prism_edge.serve.service import ModelInfo, Readiness
from prism_edge.serve.snapshot import snapshot

TOP = [sys.executable, "-m", "prism_edge", "top", "--url"]
EVIL = "\x1b]0;harmed\x07[red]\nx"


def now(text: str, boards: int = 3) -> dict[str, Any]:
    """A leader, lost workers, 30 batches and an event; ``text`` wherever there is one."""
    history = History()
    for number in range(30):
        row = RequestRow(
            id=str(number),
            model=text,
            batch=4,
            plan="voltage:p=2,dtype=fp32" if number % 2 else "local",
            why=text,
            forced=False,
            start_s=0.0,
            stop_s=0.1,
            latency_s=0.12,
            ok=True,
            error=None,
            wire_bytes=0,
        )
        history.batch(row, float(number))
    history.event("lost", text, 30.0)
    others = [
        {"name": f"{text}{k}", "in_group": False, "why_out": "silent for 9 s", "silent_s": 9.0}
        for k in range(1, boards)
    ]
    return snapshot(
        cluster=text,
        readiness=Readiness(ready=True, reason=text),
        models=[ModelInfo(name=text, inputs=(), outputs=(), ready=True)],
        status={"kind": "lab", "boards": [{"name": "a", "in_group": True}, *others]},
        history=history.view(65.0),
    )


def shown(said: dict[str, Any], lost: str | None, rows: int | None, width: int = 100) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(view(said, lost, rows))
    return capture.get()


def test_it_says_what_the_page_says() -> None:
    text = shown(now("edge"), None, None)
    assert text.startswith("edge  degraded  emulated lab  up 1:05  edge\n")
    assert "p50 119 ms  p95 119 ms  p99 119 ms  of 30 batches in 1:05 min, 0 lost" in text
    assert "plans: ● local × 15  ◆ voltage × 15; link unknown" in text
    assert "edge1  lost (silent for 9 s)  n/a" in text
    assert "0:36  edge × 4  ◆ voltage:p=2,dtype=fp32  –          100 ms    edge" in text
    assert "0:35  lost  edge" in text
    gone = shown(now("edge"), "nobody there", None).splitlines()[0]
    assert gone == "edge  out of reach  emulated lab  up 1:05  nobody there"


def test_it_fits_the_terminal() -> None:
    for rows in (20, 24, 60):
        lines = shown(now("a rather long name " * 9), None, rows, width=80).splitlines()
        assert len(lines) <= rows
        assert max(map(len, lines)) <= 80
    assert "◆ voltage:p=2,dtype=fp32" in shown(now("long" * 9), None, None, width=120)


def test_a_text_is_never_obeyed() -> None:
    text = shown(now(EVIL), EVIL, None)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[red]" in text


def test_once_prints_and_ends_and_a_refusal_is_told() -> None:
    with serving() as url:
        done = subprocess.run([*TOP, url, "--once"], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert "ready" in done.stdout
    done = subprocess.run([*TOP, url, "--once"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "is `prism-edge serve` running there" in done.stderr


def test_it_goes_on_until_it_is_interrupted() -> None:
    ours, theirs = pty.openpty()
    with serving() as url:
        process = subprocess.Popen([*TOP, url], stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        seen = b""
        while seen.count(b"  up ") < 2:
            seen += os.read(ours, 1 << 16)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # Linux says so at the end
            while more := os.read(ours, 1 << 16):
                seen += more
        assert process.wait(60) == 130
    os.close(ours)
    assert b"\x1b[?1049h" in seen
    assert b"\x1b[?1049l" in seen  # the screen is what it was before
    assert b"Traceback" not in seen

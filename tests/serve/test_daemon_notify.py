"""A real daemon tells a service manager that it serves, how it does, and that it ends."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from checkpoints import vit, write
from daemons import HERE, PATIENCE_S, Serving

pytestmark = [pytest.mark.gloo, pytest.mark.slow]


def test_a_daemon_reports_ready_lives_and_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write(tmp_path / "vit", *vit())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(PATIENCE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "2000000")
        journal = ("--journal", str(tmp_path / "j.sqlite"))
        daemon = Serving("--model", f"net={model}", "--port", "0", *journal, host=HERE)
        try:
            said: list[str] = []

            def hear_until(line: str) -> None:
                while line not in said:
                    said.extend(end.recv(4096).decode().splitlines())

            hear_until("READY=1")
            assert "STATUS=not ready: the engine is loading" in said
            assert daemon.get("/v2/health/ready").status_code == 200
            assert daemon.get("/status").json()["release"] is None
            said.clear()
            hear_until("WATCHDOG=1")
            assert daemon.stop() == 0
            hear_until("STOPPING=1")
        finally:
            daemon.end()

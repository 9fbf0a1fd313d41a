"""A cluster's token: boards and users without it are refused, whatever they send."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from checkpoints import vit, write
from daemons import Serving, cluster_toml, until

pytestmark = [pytest.mark.gloo, pytest.mark.slow]
PATHS = ("/cluster/hello", "/cluster/mark", "/v2/models/net/infer", "/v2/repository/index")


def argv(directory: Path, board: str, port: int, token: str) -> list[str]:
    file = directory / f"{board}.token"
    file.write_text(token)
    file.chmod(0o600)
    path = cluster_toml(
        directory / f"{board}.toml",
        models={"net": directory / "vit"},
        port=port,
        token_file=str(file),
    )
    journal = str(directory / f"{board}.sqlite")
    return ["--cluster", str(path), "--board", board, "--journal", journal]


def test_a_board_with_another_token_is_no_member(tmp_path: Path) -> None:
    write(tmp_path / "vit", *vit())
    leader = Serving(*argv(tmp_path, "a", 0, "sesame"), token="sesame")
    worker = None
    try:
        leader.until_ready()
        for headers in ({}, {"Authorization": "Bearer open"}, {"Authorization": "sesame"}):
            for path in PATHS:
                reply = httpx.post(
                    leader.url + path, content=b"{", headers=headers, trust_env=False, timeout=60
                )
                assert reply.status_code == 401, path
        right = {"Authorization": "Bearer sesame"}
        for content in (b"{", b"[]", b"[" * 100_000, b'{"board": "b"}', b'{"board": "x"}'):
            url = leader.url + "/cluster/hello"
            reply = httpx.post(url, content=content, headers=right, trust_env=False, timeout=60)
            assert reply.status_code == 400, content
        worker = Serving(*argv(tmp_path, "b", leader.port, "open"), token="open")
        # a busy machine may let it wait in vain before it is told so
        until(lambda: "401" in worker.log(), "a word on the leader")
        assert "leader unreachable" in worker.log()
        boards = leader.status()["boards"]
        assert [board["in_group"] for board in boards] == [False, False]
        assert boards[1]["silent_s"] is None  # it was never heard
        assert "Traceback" not in leader.log()
    finally:
        leader.end()
        if worker is not None:
            worker.end()

"""Daemons with certificates: users and workers check whom they talk to; the token still counts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from checkpoints import vit, write
from daemons import PATIENCE_S, Serving, certify, cluster_toml, serving, until

from prism_edge.errors import ClusterError, UnreachableError
from prism_edge.serve.oip_client import Daemon
from prism_edge.serve.tls import trusting

pytestmark = [pytest.mark.gloo, pytest.mark.slow]
TOKEN = "sesame"
PIXELS = np.zeros((1, 3, 32, 32), dtype=np.uint8)


class Secured:
    """Boards a and b over loopback, each with a certificate of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.model = write(directory / "vit", *vit())
        token = directory / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        certify(directory, self.settings("plain", 1))
        self.authority = directory / "authority.crt"

    def settings(self, name: str, port: int, **more: str) -> Path:
        path = self.directory / f"{name}.toml"
        token = str(self.directory / "token")
        return cluster_toml(path, models={"net": self.model}, port=port, token_file=token, **more)

    def argv(self, board: str, port: int, **changes: str) -> list[str]:
        files = {
            "certificate": f"{board}.crt",
            "certificate_key": f"{board}.key",
            "authority": "authority.crt",
            **changes,
        }
        journal = str(self.directory / f"{board}.sqlite")
        path = self.settings(board, port, **files)
        return ["--cluster", str(path), "--board", board, "--journal", journal]

    @contextmanager
    def leading(self) -> Iterator[Serving]:
        with serving(*self.argv("a", 0)) as leader:
            assert leader.url.startswith("https://127.0.0.1:")
            yield leader

    def status(self, leader: Serving) -> httpx.Response:
        return httpx.get(
            f"{leader.url}/status",
            headers={"Authorization": f"Bearer {TOKEN}"},
            verify=trusting(self.authority),
            timeout=PATIENCE_S,
            trust_env=False,
        )


@pytest.fixture
def secured(tmp_path: Path) -> Secured:
    return Secured(tmp_path)


def test_a_worker_meets_its_leader_and_a_user_is_answered(secured: Secured) -> None:
    with secured.leading() as leader, serving(*secured.argv("b", leader.port)) as worker:

        def together() -> bool:
            assert worker.process.poll() is None, worker.log()
            return all(board["in_group"] for board in secured.status(leader).json()["boards"])

        until(together, "a group")
        with Daemon(leader.url, token=TOKEN, authority=secured.authority) as daemon:
            plan = {"plan": "voltage:p=2,dtype=fp32"}
            reply = daemon.infer("net", {"pixel_values": PIXELS}, plan)
            assert reply.parameters["plan"] == plan["plan"]
        with (
            Daemon(leader.url, authority=secured.authority) as daemon,
            pytest.raises(ClusterError, match="401"),
        ):
            daemon.inputs("net")


def test_a_stranger_is_not_trusted_and_told_what_to_do(secured: Secured, tmp_path: Path) -> None:
    """Neither by users nor by workers; and http is not answered as if nothing were the matter."""
    (tmp_path / "other").mkdir()
    other = Secured(tmp_path / "other")
    with secured.leading() as leader:
        with (
            Daemon(leader.url, token=TOKEN) as daemon,
            pytest.raises(UnreachableError, match=r"certificate verify failed.*give --authority"),
        ):
            daemon.inputs("net")
        with (
            Daemon(leader.url.replace("https", "http"), token=TOKEN) as daemon,
            pytest.raises(UnreachableError),
        ):
            daemon.inputs("net")
        strange = secured.argv("b", leader.port, authority=str(other.authority))
        with serving(*strange) as worker:
            # a busy machine may let it wait in vain before it is told so
            until(lambda: "CERTIFICATE_VERIFY_FAILED" in worker.log(), "a word on the leader")
            assert "leader unreachable" in worker.log()
            boards = secured.status(leader).json()["boards"]
            assert [board["in_group"] for board in boards] == [False, False]


def test_infer_takes_the_authority_from_the_command_line(secured: Secured, tmp_path: Path) -> None:
    inputs = tmp_path / "in.npz"
    np.savez(inputs, pixel_values=PIXELS)
    with secured.leading() as leader:
        until(
            lambda: (
                "serving" in leader.log() and secured.status(leader).json()["boards"][0]["ready"]
            ),
            "ready",
        )
        argv = [sys.executable, "-m", "prism_edge", "infer", "--url", leader.url, "--model", "net"]
        argv += ["--inputs", str(inputs), "--token-file", str(tmp_path / "token")]
        done = subprocess.run([*argv, "--authority", str(secured.authority)], capture_output=True)
        assert done.returncode == 0, done.stderr
        assert subprocess.run(argv, capture_output=True).returncode != 0


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda s: (s.directory / "a.key").chmod(0o640), "readable by others; chmod 600"),
        (lambda s: (s.directory / "a.key").unlink(), "No such file"),
        (lambda s: (s.directory / "a.crt").write_text("x"), "PEM files"),
        (lambda s: (s.directory / "a.crt").write_bytes(b_crt(s)), "made for each other"),
        (lambda s: s.authority.write_text("x"), "PEM file with the certificate"),
    ],
)
def test_what_cannot_be_served_with_is_named(secured: Secured, spoil: object, said: str) -> None:
    assert callable(spoil)
    spoil(secured)
    board = "b" if said.startswith("PEM file with") else "a"
    argv = [sys.executable, "-m", "prism_edge", "serve", *secured.argv(board, 4711)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def b_crt(secured: Secured) -> bytes:
    return (secured.directory / "b.crt").read_bytes()

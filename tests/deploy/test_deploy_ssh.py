"""Commands and files by SSH, and every way not to get in, against a real sshd on this machine."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sshd import CLIENT, PORT, new_key, sshd

from prism_edge.cluster.local import LocalHost
from prism_edge.deploy.hosts import connect
from prism_edge.deploy.runner import Runner
from prism_edge.deploy.ssh.runner import SshRunner
from prism_edge.deploy.transcript import Transcript
from prism_edge.errors import ClusterError, UnreachableError
from prism_edge.settings import BoardSettings

pytestmark = pytest.mark.ssh
RELAY = """
import os, socket, sys, threading
there = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def back():
    while data := there.recv(65536):
        os.write(1, data)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    there.sendall(data)
"""
# nobody else's: on one machine several runs of the tests may have an sshd at this port
HOST = LocalHost(
    name="edge-1", address=f"127.88.{os.getpid() // 250 % 250}.{1 + os.getpid() % 250}"
)


@dataclass(frozen=True, kw_only=True)
class Site:
    """A board at this machine's loopback; ``config`` is for ``ssh -F``."""

    directory: Path

    def board(
        self, more: str = "", *, user: str = "root", known: str | None = None
    ) -> BoardSettings:
        """``more``: lines for the configuration, which come first. ``known``: the known_hosts."""
        lines = CLIENT.format(directory=self.directory)
        number = len(list(self.directory.glob("config*")))
        config = self.directory / f"config{number}"
        if known is not None:
            (self.directory / f"known_hosts{number}").write_text(known)
            more += f"\nUserKnownHostsFile {self.directory}/known_hosts{number}\n"
        config.write_text(more + lines)
        return BoardSettings(
            name=HOST.name,
            address=HOST.address,
            ssh=f"{user}@{HOST.address}:{PORT}",
            ssh_config=config,
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("ssh")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    public = new_key(directory / "host_key")
    new_key(directory / "user_key")
    (directory / "known_hosts").write_text(f"[{HOST.address}]:{PORT} {public}\n")
    with sshd(HOST, directory):
        yield Site(directory=directory)


@pytest.fixture(scope="module")
def runner(site: Site) -> Iterator[SshRunner]:
    with connect(site.board()) as found:
        yield found


def refusal(board: BoardSettings, kind: type[ClusterError] = ClusterError) -> str:
    with pytest.raises(kind) as refused:
        connect(board).close()
    assert type(refused.value) is kind
    assert str(refused.value).startswith(f"board edge-1 ({board.ssh}): ")
    return str(refused.value)


def test_it_is_a_runner(runner: Runner) -> None:
    assert runner.name == "edge-1"
    done = runner.run("echo out; echo err >&2; exit 7")
    assert (done.code, done.out, done.err) == (7, "out\n", "err\n")


def test_every_word_survives_and_sbin_is_on_the_path(runner: SshRunner) -> None:
    words = "a 'b' \"c\" $HOME `id` \\ é\n* ;"
    assert runner.run(f"printf %s {shlex.quote(words)}").out == words
    assert "/usr/sbin" in runner.run("echo $PATH").out.strip().split(":")


def test_root_needs_no_sudo(runner: SshRunner) -> None:
    assert runner.run("id -u", root=True).out == "0\n"


def test_stdin_may_be_large_and_need_not_be_read(runner: SshRunner) -> None:
    data = bytes(range(256)) * 40_000
    assert runner.run("wc -c", stdin=data).out == f"{len(data)}\n"
    assert runner.run("exit 3", stdin=data).code == 3
    assert runner.run("cat").out == ""


def test_much_output_on_both_streams_does_not_block(runner: SshRunner) -> None:
    done = runner.run("head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero")
    assert (len(done.out), len(done.err)) == (3_000_000, 3_000_000)


def test_what_is_no_text_is_replaced(runner: SshRunner) -> None:
    assert runner.run("printf 'a\\377b'").out == "a\ufffdb"


def test_a_late_command_is_killed_there_with_its_children(runner: SshRunner) -> None:
    late = f"sleep {1_000_000 + os.getpid()}"  # nobody else's on this machine
    with pytest.raises(ClusterError, match=f"no end after 1 s: {late}"):
        runner.run(f"{late} & {late}; wait", timeout_s=1)
    until_s = time.monotonic() + 60
    while subprocess.run(["pgrep", "-f", f"{late}$"], check=False).returncode == 0:
        assert time.monotonic() < until_s
        time.sleep(0.05)


def test_an_exit_code_of_124_alone_is_not_late(runner: SshRunner) -> None:
    assert runner.run("exit 124").code == 124


def test_threads_share_a_connection(runner: SshRunner) -> None:
    found: list[str] = []
    work = [
        threading.Thread(target=lambda n=n: found.append(runner.run(f"sleep 0.2; echo {n}").out))
        for n in range(5)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert sorted(found) == [f"{n}\n" for n in range(5)]


def test_a_file_arrives_whole_with_its_mode(runner: SshRunner, tmp_path: Path) -> None:
    target, heard = tmp_path / "a file", list[int]()
    target.write_text("before")
    runner.put(b"secret", str(target), mode=0o600)
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("secret", 0o600)
    source = tmp_path / "source"
    source.write_bytes(b"x" * 1_000_000)
    runner.put(source, str(target), sent=heard.append)
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (source.read_bytes(), 0o644)
    assert heard[-1] == 1_000_000
    assert heard == sorted(heard)
    runner.put(b"", str(target))
    assert target.read_bytes() == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file", "source"]


def test_a_file_that_cannot_be_written_or_read_is_named(runner: SshRunner, tmp_path: Path) -> None:
    with pytest.raises(
        ClusterError, match=r"board edge-1 .*/nowhere/file cannot be written: .*No s"
    ):
        runner.put(b"x", f"{tmp_path}/nowhere/file")
    with pytest.raises(ClusterError, match=r"missing.* cannot be read: No such file"):
        runner.put(tmp_path / "missing", f"{tmp_path}/file")


def test_a_file_comes_back(runner: SshRunner, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"\0\xff" * 500_000)
    runner.get(f"{tmp_path}/there", tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes()
    with pytest.raises(ClusterError, match=r"board edge-1 .*No such file"):
        runner.get(f"{tmp_path}/missing", tmp_path / "new")
    with pytest.raises(ClusterError, match="cannot be written: No such file"):
        runner.get(f"{tmp_path}/there", tmp_path / "no" / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "there"]


def test_a_lost_connection_is_told_and_the_next_command_has_another(site: Site) -> None:
    with connect(site.board()) as runner:
        with pytest.raises(UnreachableError, match=r"the connection is lost.*Try `ssh -F"):
            runner.run("kill -KILL $(ps -o ppid= $(ps -o ppid= $$)); sleep 60")
        assert runner.run("echo again").out == "again\n"


def test_a_closed_runner_ends_what_runs(site: Site, tmp_path: Path) -> None:
    runner = connect(site.board())

    def close() -> None:
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        runner.close()

    thread = threading.Thread(target=close)
    thread.start()
    with pytest.raises(UnreachableError):
        runner.run(f"touch {tmp_path}/begun; sleep 600")
    thread.join()


def test_the_transcript_has_commands_and_outcomes(site: Site, tmp_path: Path) -> None:
    transcript = Transcript(tmp_path / "log")
    with connect(site.board(), transcript=transcript) as runner:
        runner.run("echo hello; exit 2", stdin=b"not this")
        runner.put(b"nor this", str(tmp_path / "file"))
    text = transcript.path.read_text()
    assert "$ echo hello; exit 2\nhello\n= 2 after" in text
    assert f"$ put {tmp_path}/file, 8 bytes\n= 0 after" in text
    assert "this" not in text


def test_an_unknown_key_is_refused_with_what_to_do(site: Site) -> None:
    said = refusal(site.board(known=""))
    for words in ("not known here, SHA256:", "log in once by `ssh -F", "--accept-new"):
        assert words in said


def test_a_new_key_is_remembered_when_that_is_allowed(site: Site) -> None:
    board = site.board("HashKnownHosts yes", known="")
    connect(board, accept_new=True).close()
    connect(board).close()


def test_a_changed_key_is_refused_whatever_is_allowed(site: Site, tmp_path: Path) -> None:
    other = new_key(tmp_path / "other")
    board = site.board(known=f"[{HOST.address}]:{PORT} {other}\n")
    with pytest.raises(ClusterError, match=r"another one than before, SHA256:\S+ and not SHA256:"):
        connect(board, accept_new=True)


def test_a_user_who_has_no_key_there_is_told(site: Site) -> None:
    said = refusal(site.board(user="nobody-there"))
    assert "Permission denied for user nobody-there, 1 keys tried" in said
    assert "ssh-copy-id" in said


def test_no_key_at_all_is_told(site: Site) -> None:
    board = site.board()
    assert board.ssh_config is not None
    board.ssh_config.write_text(board.ssh_config.read_text().replace("user_key", "nowhere"))
    assert "Permission denied for user root, 0 keys tried" in refusal(board)


def test_a_key_with_a_passphrase_is_named(site: Site) -> None:
    locked = site.directory / "locked"
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "words", "-f", str(locked)]
    subprocess.run(argv, check=True)
    board = site.board()
    assert board.ssh_config is not None
    board.ssh_config.write_text(board.ssh_config.read_text().replace("user_key", "locked"))
    said = refusal(board)
    assert f"{locked} not: it has a passphrase" in said
    assert "ssh-add" in said


def test_nobody_listens(site: Site) -> None:
    board = site.board()
    lines = f"Host nobody\n HostName {HOST.address}\n Port 9\n"
    assert board.ssh_config is not None
    board.ssh_config.write_text(lines + board.ssh_config.read_text())
    gone = BoardSettings(name="edge-1", address="x", ssh="nobody", ssh_config=board.ssh_config)
    said = refusal(gone, UnreachableError)
    assert "Connection refused; is the board on" in said


def test_a_proxy_command_carries_the_connection(site: Site) -> None:
    relay = site.directory / "relay.py"
    relay.write_text(RELAY)
    with connect(site.board(f"ProxyCommand {sys.executable} {relay} %h %p")) as runner:
        assert runner.run("echo through").out == "through\n"


def test_a_proxy_command_that_fails_is_quoted(site: Site) -> None:
    with pytest.raises(ClusterError, match=r"through a proxy\): ssh failed: no way there"):
        connect(site.board("ProxyCommand sh -c 'echo no way there >&2; exit 1'"))

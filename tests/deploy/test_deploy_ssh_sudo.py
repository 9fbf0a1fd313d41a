"""Command lines that become root, run by ``sh`` with a stand-in for what sudo does to stdin."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable

import pytest

from prism_edge.deploy.runner import Done
from prism_edge.deploy.ssh.sudo import Root, become, line
from prism_edge.errors import ClusterError


def sh(command: str, stdin: bytes = b"") -> str:
    done = subprocess.run(["sh", "-c", command], input=stdin, capture_output=True, timeout=60)
    return done.stdout.decode()


@pytest.mark.parametrize("root", [None, Root(how="root")])
def test_a_login_that_is_root_needs_nothing_before_its_stdin(root: Root | None) -> None:
    words, before = line("cat; echo $PATH", root, 60)
    assert before == b""
    said = sh(words, b"data\n").splitlines()
    assert said[0] == "data"
    assert said[1].endswith("/usr/local/sbin:/usr/sbin:/sbin")


def test_a_password_is_in_no_command_line_and_not_shown() -> None:
    root = Root(how="password", password="s3cret")
    words, before = line("cat", root, 60)
    assert "s3cret" not in words + repr(root)
    assert before.startswith(b"s3cret\n")


@pytest.mark.parametrize("taken", [True, False])
def test_whether_sudo_takes_the_password_or_not_the_command_gets_its_own_stdin(taken: bool) -> None:
    words, before = line("cat", Root(how="password", password="s3cret"), 60)
    assert words.startswith("exec sudo -S -p '' -- ")
    bare = words.removeprefix("exec sudo -S -p '' -- ")
    sudo = f"read -r password; exec {bare}" if taken else f"exec {bare}"
    assert sh(sudo, before + b"my\nown") == "my\nown"


def test_a_late_command_ends_by_itself() -> None:
    words, _ = line("sleep 60", None, 0.2)
    code = subprocess.run(["sh", "-c", words], timeout=60, check=False).returncode
    assert code in (124, 137)  # the second where its end was slow to come


def answering(*answers: Done) -> tuple[list[bytes], Callable[[str, bytes], Done]]:
    given: list[bytes] = []
    left = list(answers)

    def ask(words: str, stdin: bytes) -> Done:
        assert shlex.split(words)
        given.append(stdin)
        return left.pop(0)

    return given, ask


def said(out: str = "", err: str = "", code: int = 0) -> Done:
    return Done(code=code, out=out, err=err)


WANTED = said("1000\nsudo: a password is required\n", code=1)
WRONG = said(err="Sorry, try again.\nsudo: no password was provided\n", code=1)


def test_how_a_login_becomes_root() -> None:
    _, ask = answering(said("0\nfree\n"), said("1000\nfree\n"))
    assert become("board x", ask, None) == Root(how="root")
    assert become("board x", ask, None) == Root(how="free")


def test_a_password_is_asked_for_when_it_is_wanted() -> None:
    given, ask = answering(WANTED, said())
    found = become("board x", ask, lambda: "word")
    assert found == Root(how="password", password="word")
    assert given == [b"", b"word\n"]


@pytest.mark.parametrize(
    ("answers", "password", "words"),
    [
        ((said("1000\nsh: 1: sudo: not found\n", code=127),), "w", "sudo: not found; log in as"),
        ((WANTED,), None, "sudo wants a password; .*--ask-sudo"),
        ((WANTED, WRONG), "w", "sudo does not take this password; tried once"),
        ((WANTED, said(err="u is not in the sudoers file.\n", code=1)), "w", "refuses: u is not"),
    ],
)
def test_no_way_to_become_root_is_told(
    answers: tuple[Done, ...], password: str | None, words: str
) -> None:
    _, ask = answering(*answers)
    with pytest.raises(ClusterError, match=f"^board x: .*{words}"):
        become("board x", ask, None if password is None else lambda: password)

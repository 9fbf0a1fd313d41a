"""What is handed to OpenSSH: strict, without questions, and with every word quoted."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.cluster.host import Host
from prism_edge.cluster.ssh import SshHost, login, ssh_argv
from prism_edge.errors import ClusterError

HOST = SshHost(
    name="edge-2", address="10.0.0.2", target="nvidia@orin-2:2222", python="/opt/py/bin/python3"
)


def effective(target: str, config: Path) -> dict[str, str]:
    """What ssh itself makes of the command line and a configuration, without connecting."""
    *argv, dashes, where, _ = ssh_argv(target, config, "true")
    assert dashes == "--"
    argv += ["-G", where]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def test_it_is_a_host() -> None:
    host: Host = HOST
    assert (host.name, host.address) == ("edge-2", "10.0.0.2")


@pytest.mark.ssh
def test_a_users_configuration_is_followed_but_not_where_it_would_be_less_safe(
    tmp_path: Path,
) -> None:
    config = tmp_path / "config"
    config.write_text(
        "Host orin\n HostName 10.9.8.7\n User nvidia\n Port 2200\n ProxyJump gate\n"
        "Host *\n StrictHostKeyChecking no\n BatchMode no\n RequestTTY force\n ForwardAgent yes\n"
        " LocalForward 8000 localhost:8000\n RemoteCommand tmux\n ControlMaster auto\n"
        " ControlPath ~/.ssh/%C\n ServerAliveInterval 0\n"
    )
    found = effective("orin", config)
    assert (found["hostname"], found["user"], found["port"]) == ("10.9.8.7", "nvidia", "2200")
    assert found["proxyjump"] == "gate"
    assert found["stricthostkeychecking"] in ("true", "yes")
    assert found["batchmode"] == "yes"
    assert found["requesttty"] in ("false", "no")
    assert found["forwardagent"] == "no"
    assert found["serveraliveinterval"] == "5"
    assert found.get("controlpath", "none") == "none"
    assert "localforward" not in found
    assert found.get("remotecommand", "none") == "none"


@pytest.mark.ssh
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("u@10.0.0.1", ("u", "10.0.0.1", "22")),
        ("u@h.local:2222", ("u", "h.local", "2222")),
        ("u@[fe80::1]:22", ("u", "fe80::1", "22")),
    ],
)
def test_a_target_is_user_host_and_port(
    target: str, expected: tuple[str, str, str], tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("")
    found = effective(target, tmp_path / "config")
    assert (found["user"], found["hostname"], found["port"]) == expected


def test_by_hand_the_same_is_shorter() -> None:
    assert login("u@h:2222", Path("/x/config")) == ["ssh", "-F", "/x/config", "-p", "2222", "u@h"]
    assert login("orin", None) == ["ssh", "orin"]
    assert ssh_argv("u@h", Path("/x"), "true")[:3] == ["ssh", "-F", "/x"]


words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(argv=st.lists(words, min_size=1, max_size=4), value=words)
def test_every_word_survives_the_boards_shell(argv: list[str], value: str) -> None:
    line = HOST.command(["printf", *argv], {"KEY": value})[-1]
    assert shlex.split(line) == [
        *("exec", "env", f"KEY={value}", HOST.python, "-m", "prism_edge.cluster.lifeline", "30"),
        *("printf", *argv),
    ]


def test_this_python_stands_for_the_boards() -> None:
    there = shlex.split(HOST.command([sys.executable, "-m", "x", sys.executable])[-1])
    assert there[-4:] == [HOST.python, "-m", "x", sys.executable]


def test_an_empty_command_is_refused() -> None:
    with pytest.raises(ClusterError, match="board edge-2: no command"):
        HOST.run([], 1)


def test_without_openssh_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="board edge-2: no program 'ssh' here; install"):
        HOST.run(["true"], 1)

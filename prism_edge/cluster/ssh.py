"""A host behind SSH: the user's own OpenSSH carries commands there, with strict host keys.

~/.ssh/config, agent, known_hosts and ProxyJump work as they do by hand; nothing ever asks.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from prism_edge.cluster.lifeline import send
from prism_edge.cluster.local import finish
from prism_edge.cluster.ssh_faults import FAILED, fault
from prism_edge.errors import ClusterError
from prism_edge.settings import SSH

_BEATS = 6  # that may be missed before either side takes the other for lost
_OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": "10",
    # a connection of its own ends with its command, and has the beats asked for here
    "ControlPath": "none",
    # what a user's configuration may ask for in a terminal, and commands must not have
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
}


def login(target: str, config: Path | None) -> list[str]:
    """The command line that logs in to ``target``, as in ``BoardSettings.ssh``, by hand."""
    found = SSH.fullmatch(target)
    assert found is not None
    port = ["-p", found["port"]] if found["port"] else []
    where = found["login"].replace("[", "").replace("]", "")
    return ["ssh", *(["-F", str(config)] if config else []), *port, where]


def ssh_argv(
    target: str, config: Path | None, command: str, *, beat_s: float = 5.0, log: str = "INFO"
) -> list[str]:
    """The command line that hands ``command`` to the shell of ``target``."""
    alive = {"ServerAliveInterval": f"{max(1, round(beat_s))}", "ServerAliveCountMax": f"{_BEATS}"}
    options = {**_OPTIONS, **alive, "LogLevel": log}
    *argv, where = login(target, config)
    return [*argv, *(f"-o{key}={value}" for key, value in options.items()), "--", where, command]


@dataclass(frozen=True, slots=True, kw_only=True)
class SshHost:
    """A ``Host`` at ``target``, as in ``BoardSettings.ssh``; ``ready`` finds its ``python``.

    What it starts ends when this process does, or after ``6 beat_s`` without a word from it.
    ``sys.executable`` at the head of a command stands for ``python``, which has prism-edge; a key
    of ``paths``, alone or after NAME=, for the path that it has there.
    """

    name: str
    address: str
    target: str
    python: str
    config: Path | None = None
    beat_s: float = 5.0
    paths: Mapping[str, str] = field(default_factory=dict)

    def command(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> list[str]:
        """The full command line here."""
        if not argv:
            raise ClusterError(f"board {self.name}: no command given")
        program = self.python if argv[0] == sys.executable else argv[0]
        silence = f"{_BEATS * self.beat_s:g}"
        words = [self._there(word) for word in argv[1:]]
        there = [self.python, "-m", "prism_edge.cluster.lifeline", silence, program, *words]
        variables = [f"{key}={value}" for key, value in (env or {}).items()]
        line = f"exec {shlex.join(['env', *variables, *there])}"
        return ssh_argv(self.target, self.config, line, beat_s=self.beat_s)

    def _there(self, word: str) -> str:
        name, equals, path = word.partition("=")
        if word in self.paths or not equals:
            return self.paths.get(word, word)
        return f"{name}={self.paths.get(path, path)}"

    def popen(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[bytes] | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """The ssh process that stands for the command: kill it and the command is killed.

        Without ``stdin`` there is nothing to read; a program that is not there ends with code 127.
        """
        process = start(self.command(argv, env), self.name, stdout=stdout, stderr=stderr)
        stream, process.stdin, source = process.stdin, None, None
        assert stream is not None
        if stdin == subprocess.PIPE:
            source, writer = os.pipe()
            process.stdin = os.fdopen(writer, "wb")
        elif stdin is None or stdin == subprocess.DEVNULL:
            source = os.open(os.devnull, os.O_RDONLY)
        else:
            source = os.dup(stdin if isinstance(stdin, int) else stdin.fileno())
        threading.Thread(target=send, args=(source, stream, self.beat_s), daemon=True).start()
        return process

    def run(self, argv: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
        """The finished command. See ``Host.run``; raises also when SSH does not get through."""
        pipe = subprocess.PIPE
        process = self.popen(argv, stdout=pipe, stderr=pipe)
        done = finish(process, f"board {self.name}", argv, timeout_s)
        if done.returncode == FAILED:
            raise fault(
                self.name, self.target, shlex.join(login(self.target, self.config)), done.stderr
            )
        return done


def start(
    command: Sequence[str],
    name: str,
    *,
    stdout: int | IO[bytes] | None,
    stderr: int | IO[bytes] | None,
) -> subprocess.Popen[bytes]:
    """The running ssh, in a session without a terminal. Raises ``ClusterError`` without OpenSSH."""
    try:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, start_new_session=True
        )
    except FileNotFoundError as error:
        raise ClusterError(
            f"board {name}: no program 'ssh' here; install the OpenSSH client (openssh-client)"
        ) from error

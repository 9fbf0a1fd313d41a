"""A host on this machine: a process pinned to one core, inside whatever ``enter`` leads to."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from prism_edge.errors import ClusterError


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalHost:
    """A ``Host`` that needs nothing; a board of a lab is the same host entered through nsenter."""

    name: str
    address: str = "127.0.0.1"
    core: int | None = None  # the only core its processes run on
    enter: tuple[str, ...] = ()  # command prefix, such as nsenter
    env: Mapping[str, str] = field(default_factory=dict)
    bin_dir: Path | None = None  # looked up before the caller's PATH

    def command(self, argv: Sequence[str]) -> list[str]:
        """The full command line; enter and taskset exec, so the pid is the program's own."""
        if not argv:
            raise ClusterError(f"host {self.name}: no command given")
        pin = () if self.core is None else ("taskset", "--cpu-list", str(self.core))
        return [*self.enter, *pin, *argv]

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """The caller's environment, the host's over it, ``env`` over both."""
        merged = {**os.environ, **self.env, **(env or {})}
        if self.bin_dir is not None:
            merged["PATH"] = f"{self.bin_dir}:{merged.get('PATH', os.defpath)}"
        return merged

    def popen(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[bytes] | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """The started process, leader of its own process group. See ``Host.popen``."""
        command = self.command(argv)
        try:
            return subprocess.Popen(
                command,
                env=self.environment(env),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise ClusterError(
                f"host {self.name}: cannot start {command[0]!r}: {error.strerror}: {error.filename}"
            ) from error

    def run(self, argv: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
        """The finished command. See ``Host.run``."""
        pipe = subprocess.PIPE
        process = self.popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
        return finish(process, f"host {self.name}", argv, timeout_s)


def finish(
    process: subprocess.Popen[bytes], where: str, argv: Sequence[str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """The ended process with its output; killed, with its group, after ``timeout_s``."""
    with process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ClusterError(
                f"{where}: no end after {timeout_s:g} s: {shlex.join(argv)}"
            ) from error
        finally:
            if process.returncode is None:
                kill_group(process)
    return subprocess.CompletedProcess(
        list(argv),
        process.returncode,
        out.decode(errors="replace"),
        err.decode(errors="replace"),
    )


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Nothing of the process's group is left, and the process is reaped."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # if it was started elsewhere and leads no group
    process.wait()

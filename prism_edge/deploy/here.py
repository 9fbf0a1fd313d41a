"""This machine as a ``Runner``: commands in ``sh``, as root through sudo where we are not root."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from prism_edge.deploy import put_file
from prism_edge.deploy.must import last_words
from prism_edge.deploy.runner import Done
from prism_edge.errors import ClusterError

_GRACE_S = 10.0  # for sudo and timeout to end
_KILLED = (-9, 137)  # what ``timeout --signal=KILL`` ends with
_SLOWEST_BPS = 1 << 20  # bytes per second; a copy that is slower than this has hung


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """``name``: what messages call this machine. Commands have our environment, and no terminal."""

    name: str

    def run(
        self,
        command: str,
        *,
        root: bool = False,
        stdin: bytes | None = None,
        timeout_s: float = 60.0,
    ) -> Done:
        """The finished ``command``. See ``Runner.run``; its whole process group is killed late."""
        return self._run(command, root=root, stdin=stdin, timeout_s=timeout_s)

    def put(
        self,
        source: Path | bytes,
        target: str,
        *,
        mode: int = 0o644,
        sent: Callable[[int], None] | None = None,
    ) -> None:
        """``target`` holds these bytes, root's. See ``Runner.put``; its directory must be there."""
        try:
            data = source if isinstance(source, bytes) else source.read_bytes()
        except OSError as error:
            raise ClusterError(f"{source!s} cannot be read: {error.strerror}") from error
        line = put_file.script(target, len(data), mode)
        done = self.run(line, root=True, stdin=data, timeout_s=60 + len(data) / _SLOWEST_BPS)
        if done.code:
            raise ClusterError(f"board {self.name}: {put_file.fault(target, len(data), done)}")
        if sent is not None:
            sent(len(data))

    def get(self, source: str, target: Path) -> None:
        """``target`` holds the bytes of ``source``, read as root. See ``Runner.get``."""
        new = target.with_name(f"{target.name}.{secrets.token_hex(4)}.new")
        read = f"exec cat -- {shlex.quote(source)}"
        try:
            with new.open("wb") as file:
                done = self._run(read, root=True, stdout=file, timeout_s=3600.0)
            if done.code:
                raise ClusterError(f"board {self.name}: {last_words(done.err)}")
            new.replace(target)
        except OSError as error:
            raise ClusterError(f"{target} cannot be written: {error.strerror}") from error
        finally:
            new.unlink(missing_ok=True)

    def _run(
        self,
        command: str,
        *,
        root: bool,
        timeout_s: float,
        stdin: bytes | None = None,
        stdout: int | IO[bytes] = subprocess.PIPE,
    ) -> Done:
        become = ["sudo", "-n"] if root and os.geteuid() != 0 else []
        argv = ["sh", "-c", command]
        if become:  # what sudo runs may be in a session of its own: only root ends it there
            self._ask_sudo()
            argv = [*become, "timeout", "--signal=KILL", f"{timeout_s}", *argv]
        begun_s = time.monotonic()
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        late = False
        with process:
            try:
                out, err = process.communicate(stdin, timeout_s + (_GRACE_S if become else 0.0))
            except subprocess.TimeoutExpired:
                late = True
            finally:
                if process.returncode is None:
                    kill = [*become, "kill", "-KILL", "--", f"-{process.pid}"]
                    subprocess.run(kill, stderr=subprocess.DEVNULL, check=False)
        ended = process.returncode in _KILLED and time.monotonic() - begun_s >= timeout_s
        if late or (become and ended):
            raise ClusterError(
                f"board {self.name}: no end after {timeout_s:g} s: {command.strip()}"
            )
        return Done(
            code=process.returncode,
            out=(out or b"").decode(errors="replace"),
            err=err.decode(errors="replace"),
        )

    def _ask_sudo(self) -> None:
        where = f"board {self.name}: this needs root"
        if shutil.which("sudo") is None:
            raise ClusterError(f"{where}, and there is no sudo here; run prism-edge as root")
        asked = subprocess.run(["sudo", "-n", "true"], capture_output=True, text=True, check=False)
        if asked.returncode:
            said = asked.stderr.strip() or "it refuses"
            raise ClusterError(f"{where}; {said}; put sudo before the whole command")

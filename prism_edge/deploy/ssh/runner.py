"""One board behind SSH as a ``Runner``. Threads may share it; a lost board is tried again."""

from __future__ import annotations

import io
import os
import secrets
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType

import paramiko

from prism_edge.deploy import put_file
from prism_edge.deploy.must import last_words
from prism_edge.deploy.runner import Done
from prism_edge.deploy.ssh import sudo
from prism_edge.deploy.ssh.channel import carry
from prism_edge.deploy.ssh.connection import SILENCE_S, Connection
from prism_edge.deploy.ssh.login import Login
from prism_edge.deploy.transcript import Transcript
from prism_edge.errors import ClusterError, UnreachableError

_GRACE_S = 15.0  # the board ends a late command by itself; this is for its telling so
_STUCK_S = 120.0  # in which a copy must move
_CHUNK = 1 << 18
_LATE = (124, 137)  # exit codes of timeout


class SshRunner:
    """See ``Runner``. A command is a line for ``sh``, with sbin on the path and no terminal."""

    def __init__(
        self,
        login: Login,
        *,
        accept_new: bool = False,
        password: Callable[[], str] | None = None,
        transcript: Transcript | None = None,
    ) -> None:
        """Logged in. Raises ``UnreachableError`` or ``ClusterError`` with what to do next."""
        self._login = login
        self._password = password
        self._transcript = transcript
        self._lock = threading.Lock()
        self._connecting = threading.Lock()
        self._root: sudo.Root | ClusterError | None = None
        self._connection = Connection(login, accept_new=accept_new)

    def __enter__(self) -> SshRunner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Whatever still runs here ends with an error; the board ends its commands by itself."""
        self._connection.close()

    @property
    def name(self) -> str:
        """The board's name, for messages."""
        return self._login.board

    def run(
        self,
        command: str,
        *,
        root: bool = False,
        stdin: bytes | None = None,
        timeout_s: float = 60.0,
    ) -> Done:
        """The finished ``command``. See ``Runner.run``."""
        line, before = sudo.line(command, self._become() if root else None, timeout_s)
        begun_s = time.monotonic()
        late = f"no end after {timeout_s:g} s: {command.strip()}"
        given, patience_s = (before, stdin or b""), timeout_s + _GRACE_S
        done = self._done(command, line, given, patience_s=patience_s, late=late)
        if done.code in _LATE and time.monotonic() - begun_s >= timeout_s:
            raise ClusterError(f"{self._login.where}: {late}")
        return done

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
            size = len(source) if isinstance(source, bytes) else os.stat(source).st_size
            line, before = sudo.line(put_file.script(target, size, mode), self._become(), None)
            given = _pieces(before, source, sent)
            late = f"{target}: nothing has moved for {_STUCK_S:g} s; look at the disk there (dmesg)"
            done = self._done(f"put {target}, {size} bytes", line, given, late=late)
        except OSError as error:
            raise ClusterError(f"{source!r} cannot be read: {error.strerror}") from error
        if done.code:
            raise ClusterError(f"{self._login.where}: {put_file.fault(target, size, done)}")

    def get(self, source: str, target: Path) -> None:
        """``target`` holds the bytes of ``source``, read as root. See ``Runner.get``."""
        new = target.with_name(f"{target.name}.{secrets.token_hex(4)}.new")
        line, before = sudo.line(f"exec cat -- {shlex.quote(source)}", self._become(), None)
        try:
            with new.open("wb") as file:
                late = f"{source}: nothing has come for {_STUCK_S:g} s"
                done = self._done(f"get {source}", line, (before,), taken=file.write, late=late)
            if done.code:
                raise ClusterError(f"{self._login.where}: {last_words(done.err)}")
            new.replace(target)
        except OSError as error:
            raise ClusterError(f"{target} cannot be written: {error.strerror}") from error
        finally:
            new.unlink(missing_ok=True)

    def _become(self) -> sudo.Root:
        with self._lock:
            if self._root is None:
                try:
                    self._root = sudo.become(self._login.where, self._ask, self._password)
                except UnreachableError:
                    raise
                except ClusterError as error:  # asked again, sudo might lock the user out
                    self._root = error
                else:
                    if self._transcript is not None:
                        self._transcript.hide(self._root.password)
            if isinstance(self._root, ClusterError):
                raise ClusterError(str(self._root))
            return self._root

    def _ask(self, line: str, stdin: bytes) -> Done:
        late = "sudo does not answer"
        return self._done("", f"exec sh -c {shlex.quote(line)}", (stdin,), patience_s=60, late=late)

    def _done(
        self,
        about: str,
        line: str,
        given: Iterable[bytes],
        *,
        taken: Callable[[bytes], object] | None = None,
        patience_s: float = _STUCK_S,
        late: str,
    ) -> Done:
        """What came of a line; the transcript has it as ``about``. ``late``: the error when nothing
        has moved for ``patience_s``."""
        begun_s, out = time.monotonic(), bytearray()
        try:
            code, err = self._carry(line, given, taken or out.extend, patience_s=patience_s)
        except TimeoutError:
            if self._transcript is not None:
                self._transcript.note(f"{about}: {late}")
            raise ClusterError(f"{self._login.where}: {late}") from None
        done = Done(code=code, out=_text(out), err=_text(err))
        if self._transcript is not None and about:
            seconds = time.monotonic() - begun_s
            self._transcript.command(about, done.code, seconds, done.out + done.err)
        return done

    def _carry(
        self,
        line: str,
        given: Iterable[bytes],
        taken: Callable[[bytes], object],
        *,
        patience_s: float,
    ) -> tuple[int, bytes]:
        where, hand = self._login.where, self._login.hand
        connection = self._connected()
        try:
            return carry(
                connection.transport, line, given=given, taken=taken, patience_s=patience_s
            )
        except EOFError as error:
            silent = f"the connection is lost; what is silent for {SILENCE_S:g} s is given up"
            if self._transcript is not None:
                self._transcript.note("the connection is lost")
            raise UnreachableError(
                f"{where}: {silent}. Is the board still on, and its cable in? Try `{hand}`"
            ) from error
        except paramiko.ChannelException as error:
            raise ClusterError(
                f"{where}: sshd opens no more sessions ({error}); see MaxSessions in its "
                f"sshd_config"
            ) from error

    def _connected(self) -> Connection:
        with self._connecting:
            if not self._connection.alive:
                self._connection.close()
                self._connection = Connection(self._login)
            return self._connection


def _pieces(
    before: bytes, source: Path | bytes, sent: Callable[[int], None] | None
) -> Iterator[bytes]:
    """All that goes to stdin; ``sent`` hears after each piece how much of the source has gone."""
    yield before
    gone = 0
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece
            gone += len(piece)
            if sent is not None:
                sent(gone)


def _text(data: bytes | bytearray) -> str:
    return bytes(data).decode(errors="replace")

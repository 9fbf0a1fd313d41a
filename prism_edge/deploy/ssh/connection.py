"""A connection that is either alive or known to be lost: a board that falls silent is given up.

SSH itself would wait for a quarter of an hour. Here a question that every server answers is asked
every few seconds, and what counts is whether anything at all is heard.
"""

from __future__ import annotations

import logging
import shlex
import socket
import subprocess
import tempfile
import threading
import time
from typing import IO

import paramiko

from prism_edge.cluster.ssh_faults import FAILED, fault, unreachable
from prism_edge.deploy.ssh.host_keys import check, known
from prism_edge.deploy.ssh.keys import authenticate
from prism_edge.deploy.ssh.login import Login
from prism_edge.errors import ClusterError

_CONNECT_S = 10.0
_BEAT_S = 5.0
SILENCE_S = 15.0  # after which a board is lost

# paramiko speaks through logging, which would print where nobody listens; we raise what it says.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class Connection:
    """Logged in to one board; ``transport`` carries channels until either side ends it."""

    def __init__(self, login: Login, *, accept_new: bool = False) -> None:
        """Raises ``UnreachableError`` or ``ClusterError`` with what to do next."""
        self._login = login
        self._proxy: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._wire = _Wire(fileno=self._connect().detach())
        self.transport = paramiko.Transport(self._wire)
        try:
            self._open(accept_new)
        except BaseException:
            self.close()
            raise
        for work in (self._beat, self._listen):
            threading.Thread(target=work, daemon=True).start()

    @property
    def alive(self) -> bool:
        return self.transport.is_active()

    def close(self) -> None:
        """Whatever runs on it ends with an error. May be repeated."""
        self.transport.close()
        if self._proxy is not None:
            self._proxy.kill()
            self._proxy.wait()
        if self._said is not None:
            self._said.close()

    def _connect(self) -> socket.socket:
        login = self._login
        if login.proxy:
            ours, theirs = socket.socketpair()
            self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed in close
            with theirs:
                end = theirs.fileno()
                self._proxy = subprocess.Popen(
                    login.proxy, stdin=end, stdout=end, stderr=self._said, start_new_session=True
                )
            return ours
        try:
            return socket.create_connection((login.host, login.port), _CONNECT_S)
        except OSError as error:
            why = error.strerror or str(error)
            raise unreachable(login.where, why, f"`{login.hand}`") from error

    def _open(self, accept_new: bool) -> None:
        login, entries = self._login, known(self._login)
        options = self.transport.get_security_options()
        kinds = {entry.kind for entry in entries}
        if "ssh-rsa" in kinds:
            kinds |= {"rsa-sha2-512", "rsa-sha2-256"}
        # known kinds first, so that another key of the same board is no surprise
        options.key_types = sorted(options.key_types, key=lambda kind: kind not in kinds)
        # 200 MB cost 0.55 s of CPU by GCM, 0.83 to 1.1 s by what paramiko prefers (x86)
        options.ciphers = sorted(options.ciphers, key=lambda name: "gcm" not in name)
        try:
            self.transport.start_client(timeout=2 * _CONNECT_S)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._fault(f"{error}" or "it hangs up") from error
        check(login, entries, self.transport.get_remote_server_key(), accept_new)
        authenticate(self.transport, login)

    def _fault(self, why: str) -> ClusterError:
        login = self._login
        if self._proxy is None or self._said is None:
            return unreachable(login.where, why, f"`{login.hand}`")
        try:
            code = self._proxy.wait(2)
        except subprocess.TimeoutExpired:
            code = FAILED
        self._said.seek(0)
        said = self._said.read().decode(errors="replace")
        if said.strip():
            return fault(login.board, f"{login.target} through a proxy", login.hand, said)
        return unreachable(
            login.where, f"`{shlex.join(login.proxy)}` ended with {code}", f"`{login.hand}`"
        )

    def _beat(self) -> None:
        while self.transport.is_active():
            try:
                self.transport.global_request("keepalive@openssh.com", wait=True)
            except (paramiko.SSHException, EOFError, OSError):
                return
            time.sleep(_BEAT_S)

    def _listen(self) -> None:
        while self.transport.is_active():
            if time.monotonic() - self._wire.heard_s > SILENCE_S:
                self.transport.close()
            time.sleep(1.0)


class _Wire(socket.socket):
    """A socket that knows when it last heard something."""

    heard_s = 0.0

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        self.heard_s = time.monotonic()
        return data

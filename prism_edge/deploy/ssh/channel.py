"""One command on one channel: its stdin goes there while its output comes back, until both end."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable

import paramiko

_OPEN_S = 15.0
_POLL_S = 1.0
_CHUNK = 1 << 16


def carry(
    transport: paramiko.Transport,
    line: str,
    *,
    given: Iterable[bytes],
    taken: Callable[[bytes], object],
    patience_s: float,
) -> tuple[int, bytes]:
    """The exit code and stderr of ``line``; ``taken`` gets its stdout piece by piece.

    Raises ``EOFError`` when the connection is lost, ``TimeoutError`` when nothing has moved either
    way for ``patience_s``, and whatever ``given`` and ``taken`` raise. The channel is closed then.
    """
    try:
        channel = transport.open_session(timeout=_OPEN_S)
    except paramiko.ChannelException:
        raise
    except (paramiko.SSHException, OSError) as error:
        raise EOFError(str(error)) from error
    call = _Call(channel)
    with contextlib.closing(channel):
        channel.settimeout(_POLL_S)
        try:
            channel.exec_command(line)
        except (paramiko.SSHException, OSError) as error:
            raise EOFError(str(error)) from error
        err = bytearray()
        threads = [
            threading.Thread(target=call.write, args=(given,), daemon=True),
            threading.Thread(target=call.read, args=(channel.recv_stderr, err.extend), daemon=True),
        ]
        for thread in threads:
            thread.start()
        call.read(channel.recv, taken, patience_s)
        threads[1].join()
        if call.failure is not None:
            raise call.failure
        code = channel.recv_exit_status()
        if code < 0:
            raise EOFError("no exit code")
        return code, bytes(err)


class _Call:
    """What the threads of one command share."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._moved_s = time.monotonic()
        self.failure: BaseException | None = None

    def write(self, given: Iterable[bytes]) -> None:
        """All of stdin has gone, or the command does not want it."""
        try:
            for piece in given:
                gone = 0
                while gone < len(piece):
                    with contextlib.suppress(TimeoutError):  # its window is full
                        gone += self._channel.send(piece[gone : gone + _CHUNK])
                        self._moved_s = time.monotonic()
                    if self._channel.closed:
                        return
            self._channel.shutdown_write()
        except (OSError, EOFError, paramiko.SSHException):
            return  # it has ended; why is in its exit code
        except BaseException as error:  # of the source: handed to the caller
            self.failure = error
            self._channel.close()

    def read(
        self,
        receive: Callable[[int], bytes],
        taken: Callable[[bytes], object],
        patience_s: float | None = None,
    ) -> None:
        """All of one stream has come."""
        while True:
            try:
                data = receive(_CHUNK)
            except TimeoutError:
                if patience_s is not None and time.monotonic() - self._moved_s > patience_s:
                    raise
                continue
            if not data:
                return
            self._moved_s = time.monotonic()
            taken(data)

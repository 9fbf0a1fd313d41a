"""A command on a board lives no longer than the process here that asked for it.

SSH alone does not promise that: a laptop that is switched off says no goodbye, and sshd waits for
it for hours. So stdin travels in frames, with a beat where there is nothing to say. On the board
``python -m prism_edge.cluster.lifeline SILENCE_S COMMAND ...`` unpacks them for the command; when
the stream ends or is silent for too long it kills the command and all of its process group.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from prism_edge.cluster.local import kill_group

_CHUNK = 1 << 16
_HEAD = 4  # bytes of a frame's length
BEAT = bytes(_HEAD)
END = b"\xff" * _HEAD  # of stdin, not of the stream


def frame(data: bytes) -> bytes:
    """One frame of the stream; ``END`` for no data, which is how the end of stdin is read."""
    return len(data).to_bytes(_HEAD, "big") + data if data else END


def send(source: int, stream: BinaryIO, beat_s: float) -> None:
    """What ``source`` holds has gone to ``stream``, with beats, until nobody reads that any more.

    Both are closed then.
    """
    poll = select.poll()
    poll.register(stream, 0)  # an error, which is always told, when the reader has ended
    poll.register(source, select.POLLIN)
    try:
        with contextlib.suppress(BrokenPipeError), stream:
            while True:
                ready = {fd for fd, _ in poll.poll(1e3 * beat_s)}
                if stream.fileno() in ready:
                    return
                word = BEAT
                if source in ready:
                    data = os.read(source, _CHUNK)
                    word = frame(data)
                    if not data:
                        poll.unregister(source)
                stream.write(word)
                stream.flush()
    finally:
        os.close(source)


def received(stream: int, silence_s: float) -> Iterator[bytes]:
    """The data of each frame, empty at the end of stdin, until the stream ends or is silent."""
    held = b""
    while select.select([stream], [], [], silence_s)[0] and (data := os.read(stream, _CHUNK)):
        held += data
        while len(held) >= _HEAD:
            if held.startswith(END):
                held = held[_HEAD:]
                yield b""
                continue
            end = _HEAD + int.from_bytes(held[:_HEAD], "big")
            if len(held) < end:
                break
            if end > _HEAD:
                yield held[_HEAD:end]
            held = held[end:]


def _watch(process: subprocess.Popen[bytes], silence_s: float) -> None:
    """The command gets its stdin; it is killed when the stream is over."""
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()  # a frozen command reads nothing
    threading.Thread(target=_feed, args=(process, waiting), daemon=True).start()
    for data in received(sys.stdin.fileno(), silence_s):
        waiting.put(data)
    kill_group(process)


def _feed(process: subprocess.Popen[bytes], waiting: queue.SimpleQueue[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
        while data := waiting.get():
            stdin.write(data)
            stdin.flush()


def main(argv: Sequence[str]) -> int:
    """The command's exit code, 128 + N when signal N ended it, 127 when it cannot be started."""
    silence_s, command = float(argv[0]), argv[1:]
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    except OSError as error:
        print(f"cannot start {command[0]!r}: {error.strerror}", file=sys.stderr)
        return 127
    threading.Thread(target=_watch, args=(process, silence_s), daemon=True).start()
    code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

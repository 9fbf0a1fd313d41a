"""A command gets exactly its stdin, and is killed when the other end of the stream is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.cluster.lifeline import BEAT, END, frame, received, send
from prism_edge.cluster.local import kill_group
from prism_edge.cluster.processes import stat

LONG_S = 60.0  # a silence that no test lasts
KILLED = 128 + signal.SIGKILL


@contextlib.contextmanager
def board_end(silence_s: float, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command as it runs on a board; its stdin is the stream."""
    argv = [sys.executable, "-m", "prism_edge.cluster.lifeline", f"{silence_s:g}", *command]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            kill_group(process)


def stream_of(process: subprocess.Popen[bytes]) -> BinaryIO:
    assert process.stdin is not None
    return process.stdin  # type: ignore[return-value]


def sending(process: subprocess.Popen[bytes], beat_s: float) -> tuple[BinaryIO, threading.Thread]:
    """What is written to the file arrives at the command."""
    source, writer = os.pipe()
    stream, process.stdin = stream_of(process), None
    thread = threading.Thread(target=send, args=(source, stream, beat_s))
    thread.start()
    return os.fdopen(writer, "wb"), thread


def first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def ends(pid: int, patience_s: float = 60.0) -> bool:
    until_s = time.monotonic() + patience_s
    while stat(pid) is not None and time.monotonic() < until_s:
        time.sleep(0.01)
    return stat(pid) is None


# -- the stream --------------------------------------------------------------------------------


def pieces(stream: bytes, cuts: Sequence[int]) -> list[bytes]:
    """What is received of a stream that arrives in parts of those sizes, and ends."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        at = 0
        for size in cuts:
            near.send(stream[at : at + size])
            at += size
            if at >= len(stream):
                break
        else:
            near.send(stream[at:])
        near.close()
        return list(received(far.fileno(), LONG_S))


sizes = st.lists(st.integers(1, 9), max_size=12)


@given(data=st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=8), cuts=sizes)
def test_what_was_framed_is_received_however_the_stream_is_cut(
    data: list[bytes], cuts: list[int]
) -> None:
    stream = BEAT + BEAT.join(map(frame, data)) + BEAT + frame(b"") + BEAT
    assert pieces(stream, cuts) == [*data, b""]


@given(data=st.binary(min_size=1, max_size=20), cuts=sizes)
def test_control_a_frame_that_lost_its_last_byte_is_not_received(
    data: bytes, cuts: list[int]
) -> None:
    assert pieces(frame(data)[:-1], cuts) == []


def test_no_length_is_taken_for_an_end() -> None:
    assert frame(b"") == END
    assert not frame(bytes(1 << 16)).startswith(END)


# -- both ends ---------------------------------------------------------------------------------


def test_stdin_arrives_whole_and_so_does_its_end() -> None:
    data = os.urandom(1_000_000)
    with board_end(LONG_S, "cat") as process:
        source, thread = sending(process, 0.01)
        with source:
            threading.Thread(target=lambda: (source.write(data), source.close())).start()
            assert process.stdout is not None
            assert process.stdout.read() == data
        assert process.wait(60) == 0
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -9 $$"), KILLED),
        (("no-such-program",), 127),
    ],
)
def test_the_commands_end_is_told_while_stdin_is_open(command: tuple[str, ...], code: int) -> None:
    with board_end(LONG_S, *command) as process:
        source, thread = sending(process, LONG_S)
        with source:
            assert process.wait(60) == code
            thread.join(60)
            assert not thread.is_alive()
        assert process.stderr is not None
        said = process.stderr.read().decode()
        assert ("cannot start 'no-such-program'" in said) == (code == 127)


def test_what_stopped_reading_is_no_reason_to_stop() -> None:
    with board_end(LONG_S, "sh", "-c", "exec 0<&-; echo closed; sleep 0.2; exit 5") as process:
        source, thread = sending(process, 0.01)
        with source:
            assert first_line(process) == b"closed\n"
            source.write(bytes(200_000))
            assert process.wait(60) == 5
            thread.join(60)


# -- nobody at the other end -------------------------------------------------------------------

FAMILY = ("sh", "-c", "sleep 600 & echo $!; wait")


def test_the_command_and_its_children_are_killed_when_the_stream_ends() -> None:
    with board_end(LONG_S, *FAMILY) as process:
        child = int(first_line(process))
        stream_of(process).close()
        assert process.wait(60) == KILLED
        assert ends(child)


def test_that_holds_after_the_end_of_stdin_too() -> None:
    with board_end(LONG_S, *FAMILY) as process:
        first_line(process)
        stream_of(process).write(END)
        stream_of(process).close()
        assert process.wait(60) == KILLED


def test_a_command_that_reads_nothing_is_killed_too() -> None:
    """Its stdin is full, and the end of the stream must be seen behind that."""
    with board_end(LONG_S, *FAMILY) as process:
        first_line(process)
        for _ in range(100):
            stream_of(process).write(frame(bytes(1 << 16)))
        stream_of(process).close()
        assert process.wait(60) == KILLED


def test_silence_is_an_end_though_the_stream_stays_open() -> None:
    with board_end(0.3, *FAMILY) as process:
        assert process.wait(60) == KILLED
        assert process.stdout is not None
        process.stdout.read()  # to its end: the command and its child, who hold it too, are gone


def test_control_beats_are_no_silence() -> None:
    """A try in which this process itself was held up for a silence says nothing."""
    silence_s = longest_s = 1.0
    while longest_s >= silence_s:
        beats_s = [time.monotonic()]
        with board_end(silence_s, *FAMILY) as process:
            while process.poll() is None and beats_s[-1] < beats_s[0] + 2.5 * silence_s:
                with contextlib.suppress(BrokenPipeError):
                    os.write(stream_of(process).fileno(), BEAT)
                beats_s.append(time.monotonic())
                time.sleep(0.02)
            ended = process.poll()
            beats_s.append(time.monotonic())
        longest_s = max(b - a for a, b in pairwise(beats_s))
    assert ended is None

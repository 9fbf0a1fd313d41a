"""A wait that GLOO itself never ends: for a message whose sender died in the middle of it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection

import pytest
from puppet import ADDRESS, PATIENCE_S, Puppet, join, puppets

from prism_edge.errors import PeerLostError
from prism_edge.transport import Pending
from prism_edge.transport.frame import FRAME_BYTES
from prism_edge.transport.gloo import Gloo, GlooStore

pytestmark = pytest.mark.gloo

SIZE = 128 << 20  # far more than sockets hold: it takes a while, even over loopback
REST = 32 << 20  # more than the kernel has on its way
LONG_S = 3600.0  # what GLOO would wait


def half_a_message(group: Gloo, peer: Puppet) -> Pending:
    """A message whose sender stands still in the middle of it. Whoever looks too late, since
    something else had the core, sees the end: then the next message is looked at."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        pending = group.begin({}, {1: SIZE})
        arriving = pending._incoming[1][1].numpy()
        arriving[:FRAME_BYTES] = 255
        arriving[-REST] = 7
        peer.tell("begin", {0: [bytes(SIZE)]}, {})
        while int(arriving[0]) == 255:  # until its first bytes are here
            time.sleep(0.0005)
        peer.signal(signal.SIGSTOP)
        if int(arriving[-REST]) == 7:
            return pending
        peer.signal(signal.SIGCONT)
        pending.wait()
        peer.hear()
    raise AssertionError("never seen in the middle: SIZE is too small for this machine")


def scene(said: Connection) -> None:
    """In a process that ends with GLOO's thread, which goes on to wait."""
    store = GlooStore(ADDRESS)
    with puppets(1, store.port) as (peer,):
        peer.tell("join", rank=1, epoch=1, size=2)
        group = join(store.store, store.port, rank=0, epoch=1, size=2, timeout_s=LONG_S)
        peer.hear()
        pending = half_a_message(group, peer)

        def wait() -> None:
            try:
                pending.wait()
            except PeerLostError as error:
                said.send(str(error))

        waiting = threading.Thread(target=wait)
        waiting.start()
        peer.kill()
        group.abort()
        waiting.join(PATIENCE_S)
        os._exit(0)


def test_leaving_the_group_ends_the_wait_for_half_a_message() -> None:
    context = multiprocessing.get_context("spawn")
    said, theirs = context.Pipe()
    process = context.Process(target=scene, args=(theirs,))
    process.start()
    theirs.close()
    try:
        assert said.poll(1.5 * PATIENCE_S)
        assert "lost rank 1" in said.recv()
    finally:
        process.kill()
        process.join()

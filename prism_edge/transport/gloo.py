"""Ranks as processes on boards, over torch.distributed's GLOO.

The process group object is used directly, not through the module-level default group: a group that
lost a peer is dropped and the next one built, with no global state to reset. Facts this file rests
on, executed with torch 2.13: a wait that times out closes the pair for good; a killed peer raises
at once on the others; ``abort`` of a group does not wake a blocked wait, but shutting its sockets
down does (``sockets.py``); sizes that differ are not noticed, hence the frame. A wait for a message
that was half received or half sent when its connection broke is not woken at all: GLOO has closed
the socket, but forgotten whom to tell. So waits have a thread of their own, which can be left
behind; that costs 0.02 ms a wait (hand-over and wake-up, median of 5000 on an x86 core).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import timedelta
from typing import Any

import torch
import torch.distributed
from torch import Tensor

from prism_edge.errors import ClusterError, OutOfStepError, PeerLostError
from prism_edge.spans import Effort
from prism_edge.transport.buffers import Buffers
from prism_edge.transport.frame import FRAME_BYTES, Frame
from prism_edge.transport.quiet import network_threads, quieten
from prism_edge.transport.sockets import listening_socket, shut_down, widen
from prism_edge.transport.staging import HOST, Staging
from prism_edge.transport.tally import Tally

# torch's stubs do not export the store and group classes; some Jetson builds lack them altogether
dist: Any = torch.distributed

GRACE_S = 0.2  # for GLOO's own word on why a wait ended, once the group is left


def gloo_available() -> bool:
    """True when this PyTorch was built with torch.distributed and GLOO."""
    # some Jetson builds have a nearly empty torch.distributed: touch nothing else before this
    return bool(dist.is_available()) and bool(getattr(dist, "is_gloo_available", lambda: True)())


class GlooStore:
    """The rendezvous of all epochs, listening on one declared address only."""

    def __init__(self, address: str) -> None:
        listener = listening_socket(address)
        self.address = address
        self.port: int = listener.getsockname()[1]
        # the store takes the descriptor over; by default it would listen on every interface
        self.store = dist.TCPStore(
            address,
            self.port,
            is_master=True,
            wait_for_workers=False,
            master_listen_fd=listener.detach(),
        )


def connect_store(host: str, port: int, timeout_s: float) -> Any:
    """A connection of one's own to the leader's store: a wait on a shared one would block others.

    Raises ``RuntimeError`` when there is no store.
    """
    limit = timedelta(seconds=timeout_s)
    return dist.TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=limit)


class Gloo:
    """One rank's end of one epoch's group.

    ``address``: this board's own address, the only one GLOO binds to. ``timeout_s``: longest
    silence of a peer inside an exchange. ``join_timeout_s``: longest wait for all ranks to appear.
    Raises ``ClusterError`` when the group cannot be formed.
    """

    def __init__(
        self,
        store: Any,
        store_port: int,
        *,
        epoch: int,
        rank: int,
        size: int,
        address: str,
        timeout_s: float,
        join_timeout_s: float,
        staging: Staging = HOST,
    ) -> None:
        self.rank = rank
        self.size = size
        self.staging = staging
        self.sent_bytes = 0
        self.tally = Tally()
        self._timeout_s = timeout_s
        self._store_port = store_port
        self._sequence: dict[tuple[str, int], int] = {}
        self._buffers = Buffers(staging.empty)
        self._shown: dict[int, Tensor] = {}  # the message last handed out, by source rank
        options = dist.ProcessGroupGloo._Options()
        options._timeout = timedelta(seconds=join_timeout_s)
        try:
            options._devices = [dist.ProcessGroupGloo.create_device(hostname=address)]
            self._group = dist.ProcessGroupGloo(
                dist.PrefixStore(f"epoch{epoch}", store), rank, size, options
            )
        except RuntimeError as error:
            raise ClusterError(
                f"rank {rank} at {address}: no group of {size} within {join_timeout_s:g} s; "
                f"are the other boards in service, and can they reach this address? "
                f"({_gist(error)})"
            ) from error
        quieten(network_threads())
        widen(spare_port=store_port)
        self._left = False
        self._waits: queue.SimpleQueue[tuple[list[Any], timedelta, Future[None]] | None] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._serve_waits, daemon=True).start()

    @torch.inference_mode()  # buffers outlive one call, so all calls must agree on the mode
    def begin(
        self,
        sends: Mapping[int, Tensor],
        receives: Mapping[int, int],
        effort: Effort | None = None,
    ) -> GlooPending:
        works: list[Any] = []
        incoming: dict[int, tuple[int, Tensor]] = {}
        outgoing: list[Tensor] = []
        staged: dict[int, Tensor] = {}  # payloads in host memory: one passage serves all ranks
        rank = self.rank
        try:
            for rank, size in receives.items():
                buffer = self._buffers.take(FRAME_BYTES + size)
                incoming[rank] = self._next("receive", rank), buffer
                works.append((rank, self._group.recv([buffer], rank, 0)))
            for rank, tensor in sends.items():
                payload = tensor.detach().contiguous().view(-1).view(torch.uint8)
                buffer = self._buffers.take(FRAME_BYTES + payload.numel())
                self.staging.to_host(staged.get(id(tensor), payload), buffer[FRAME_BYTES:])
                staged[id(tensor)] = buffer[FRAME_BYTES:]
                # now, because staging waits for a GPU, which is this rank's work too
                done = self.tally.effort() if effort is None else effort
                frame = Frame(self._next("send", rank), payload.numel(), done).pack()
                buffer[:FRAME_BYTES] = torch.frombuffer(bytearray(frame), dtype=torch.uint8)
                self.sent_bytes += payload.numel()
                outgoing.append(buffer)
                works.append((rank, self._group.send([buffer], rank, 0)))
        except RuntimeError as error:
            raise PeerLostError(f"rank {self.rank}: lost rank {rank}: {_gist(error)}") from error
        return GlooPending(self, works, incoming, outgoing)

    def over(self, incoming: Mapping[int, tuple[int, Tensor]], outgoing: Sequence[Tensor]) -> None:
        """Buffers may be used again: sent ones at once, received ones after the next message."""
        for buffer in outgoing:
            self._buffers.give(buffer)
        for rank, (_, buffer) in incoming.items():
            before = self._shown.get(rank)
            if before is not None:
                self._buffers.give(before)
            self._shown[rank] = buffer

    def check(self, rank: int, number: int, buffer: Tensor) -> tuple[Effort, Tensor]:
        """The effort and the payload in a received message, once its frame is the one agreed on."""
        frame = Frame.unpack(buffer[:FRAME_BYTES].numpy().tobytes())
        size = buffer.numel() - FRAME_BYTES
        if frame is None or not frame.announces(number, size):
            said = "no frame that adds up"
            if frame is not None:
                said = f"message {frame.number} of {frame.payload_bytes} bytes"
            raise OutOfStepError(
                f"rank {self.rank}: rank {rank} sent {said}, agreed was message {number} of "
                f"{size}; do both boards run the same prism-edge?"
            )
        return frame.effort, buffer[FRAME_BYTES:]

    @property
    def timeout_s(self) -> float:
        return self._timeout_s

    def until_done(self, works: list[Any], timeout_s: float) -> None:
        """All (rank, work) are over. Raises ``PeerLostError``, soon after ``abort`` too."""
        done: Future[None] = Future()
        self._waits.put((works, timedelta(seconds=timeout_s), done))
        try:
            while True:
                left = self._left
                try:
                    return done.result(GRACE_S)
                except FutureTimeoutError:
                    if left and not done.done():
                        rank = works[0][0]
                        raise PeerLostError(
                            f"rank {self.rank}: lost rank {rank}: the group was left meanwhile"
                        ) from None
        finally:
            del done  # it holds its error, which holds this frame: a ring would keep the group

    def abort(self) -> None:
        self._left = True
        shut_down(spare_port=self._store_port)

    def close(self) -> None:
        self.abort()
        self._waits.put(None)
        self._shown.clear()

    def _serve_waits(self) -> None:
        while (wait := self._waits.get()) is not None:
            works, limit, done = wait
            try:
                for rank, work in works:
                    try:
                        work.wait(limit)
                    except RuntimeError as error:
                        raise PeerLostError(
                            f"rank {self.rank}: lost rank {rank}: {_gist(error)}"
                        ) from error
            except PeerLostError as error:
                done.set_exception(error)
            else:
                done.set_result(None)
            del wait, works, done  # the last wait's error would keep them, and with them the group

    def _next(self, direction: str, rank: int) -> int:
        number = self._sequence.get((direction, rank), 0)
        self._sequence[direction, rank] = number + 1
        return number


class GlooPending:
    """Sends and receives in flight."""

    def __init__(
        self,
        owner: Gloo,
        works: list[Any],
        incoming: Mapping[int, tuple[int, Tensor]],
        outgoing: Sequence[Tensor],
    ) -> None:
        self._owner = owner
        self._works = works
        self._incoming = incoming
        self._outgoing = outgoing
        self._heard = owner.tally.heard

    def wait(self, timeout_s: float | None = None) -> dict[int, Tensor]:
        if self._works:
            limit_s = self._owner.timeout_s if timeout_s is None else timeout_s
            with self._owner.tally:
                self._owner.until_done(self._works, limit_s)
        self._owner.over(self._incoming, self._outgoing)
        payloads = {}
        for rank, (number, buffer) in self._incoming.items():
            self._heard[rank], payloads[rank] = self._owner.check(rank, number, buffer)
        return payloads


def _gist(error: RuntimeError) -> str:
    """GLOO's own words, without source path and advice: "Connection closed by peer [ip]:port"."""
    text = str(error).split("] ", 1)[-1]
    return text.split(". This is typically", 1)[0].strip().splitlines()[0]

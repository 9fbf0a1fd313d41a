"""An engine's place in a group: joining and leaving without ever blocking the compute thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from prism_edge.engine.manifest import MANIFEST_BYTES, Manifest
from prism_edge.errors import PrismError
from prism_edge.transport import Transport
from prism_edge.transport.gloo import Gloo, connect_store
from prism_edge.transport.paced import Paced
from prism_edge.transport.staging import Staging


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A place in one epoch's group, as the leader hands it out."""

    epoch: int
    rank: int
    size: int
    store_host: str
    store_port: int


class Membership:
    """The group this engine is in, if any. One join at a time; ``leave`` works from any thread.

    ``joined(seat, group)`` and ``failed(seat, message)`` are called from the joining thread.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout_s: float,
        join_timeout_s: float,
        pace_file: Path | None,
        staging: Staging,
        joined: Callable[[Seat, Transport], None],
        failed: Callable[[Seat, str], None],
    ) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._join_timeout_s = join_timeout_s
        self._pace_file = pace_file
        self._staging = staging
        self._joined = joined
        self._failed = failed
        self._lock = threading.Lock()
        self._wanted: Seat | None = None
        self._group: Transport | None = None
        self._others: Mapping[int, Manifest] = {}
        self._store: Any = None

    def current(self) -> tuple[Transport | None, int | None]:
        """The group as it is now and its epoch; a caller keeps them for one request."""
        with self._lock:
            return self._group, self._wanted.epoch if self._wanted else None

    def others(self) -> Mapping[int, Manifest]:
        """On rank 0: what the other ranks of the group hold."""
        with self._lock:
            return self._others

    def join(self, seat: Seat, manifest: Manifest) -> None:
        """Start joining; the outcome is reported through ``joined`` or ``failed``."""
        self.leave(None)
        with self._lock:
            self._wanted = seat
        threading.Thread(target=self._join, args=(seat, manifest), daemon=True).start()

    def leave(self, epoch: int | None) -> bool:
        """The group is left and whoever waits in it is woken; False when not in ``epoch``."""
        with self._lock:
            if epoch is not None and (self._wanted is None or self._wanted.epoch != epoch):
                return False
            group, self._group, self._wanted = self._group, None, None
        if group is not None:
            group.close()
        return group is not None

    def say_why(self, seat: Seat, reason: str) -> None:
        """Rank 0 can read why this rank is about to leave by itself; the group only breaks."""
        with suppress(RuntimeError):  # then the store is gone, and with it who would read it
            self._store.set(_note(seat.epoch, seat.rank), reason)
            self._store.check([_note(seat.epoch, seat.rank)])  # answered: it has arrived

    def why_left(self, error: PrismError) -> str:
        """What a rank said before it broke the group; of one that said nothing, ``error``."""
        with self._lock:
            seat = self._wanted
        if seat is None:
            return str(error)
        with suppress(RuntimeError):
            for rank in range(1, seat.size):
                if self._store.check([_note(seat.epoch, rank)]):
                    return f"rank {rank} left: {self._store.get(_note(seat.epoch, rank)).decode()}"
        return str(error)

    def _join(self, seat: Seat, manifest: Manifest) -> None:
        group: Transport | None = None
        try:
            store = connect_store(seat.store_host, seat.store_port, self._join_timeout_s)
            group = Gloo(
                store,
                seat.store_port,
                epoch=seat.epoch,
                rank=seat.rank,
                size=seat.size,
                address=self._address,
                timeout_s=self._timeout_s,
                join_timeout_s=self._join_timeout_s,
                staging=self._staging,
            )
            if self._pace_file is not None:
                group = Paced(group, self._pace_file)
            others = introduce(group, manifest, self._join_timeout_s)
        except (PrismError, RuntimeError) as error:
            if group is not None:
                group.close()
            self._failed(seat, str(error).splitlines()[0])
            return
        with self._lock:
            current = self._wanted == seat
            if current:
                self._group, self._others, self._store = group, others, store
        if current:
            self._joined(seat, group)
        else:
            group.close()


def introduce(group: Transport, manifest: Manifest, timeout_s: float) -> dict[int, Manifest]:
    """What the ranks that this one hears hold: rank 0 hears all, the others hear rank 0.

    Raises ``ClusterError`` when one of them runs a release that does not go with this one.
    """
    peers = range(1, group.size) if group.rank == 0 else (0,)
    own = torch.frombuffer(bytearray(manifest.encode()), dtype=torch.uint8)
    heard = group.begin(dict.fromkeys(peers, own), dict.fromkeys(peers, MANIFEST_BYTES))
    found = {rank: data.numpy().tobytes() for rank, data in heard.wait(timeout_s).items()}
    return {rank: Manifest.decode(data, rank) for rank, data in found.items()}


def _note(epoch: int, rank: int) -> str:
    """Where in the store a rank leaves word."""
    return f"left/{epoch}/{rank}"

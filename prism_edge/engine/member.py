"""An engine's place in a group: joining and leaving without ever blocking the compute thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prism_edge.errors import PrismError
from prism_edge.transport import Transport
from prism_edge.transport.gloo import Gloo, connect_store
from prism_edge.transport.paced import Paced


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
        joined: Callable[[Seat, Transport], None],
        failed: Callable[[Seat, str], None],
    ) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._join_timeout_s = join_timeout_s
        self._pace_file = pace_file
        self._joined = joined
        self._failed = failed
        self._lock = threading.Lock()
        self._wanted: Seat | None = None
        self._group: Transport | None = None

    def current(self) -> tuple[Transport | None, int | None]:
        """The group as it is now and its epoch; a caller keeps them for one request."""
        with self._lock:
            return self._group, self._wanted.epoch if self._wanted else None

    def join(self, seat: Seat) -> None:
        """Start joining; the outcome is reported through ``joined`` or ``failed``."""
        self.leave(None)
        with self._lock:
            self._wanted = seat
        threading.Thread(target=self._join, args=(seat,), daemon=True).start()

    def leave(self, epoch: int | None) -> bool:
        """The group is left and whoever waits in it is woken; False when not in ``epoch``."""
        with self._lock:
            if epoch is not None and (self._wanted is None or self._wanted.epoch != epoch):
                return False
            group, self._group, self._wanted = self._group, None, None
        if group is not None:
            group.close()
        return group is not None

    def _join(self, seat: Seat) -> None:
        try:
            store = connect_store(seat.store_host, seat.store_port, self._join_timeout_s)
            group: Transport = Gloo(
                store,
                seat.store_port,
                epoch=seat.epoch,
                rank=seat.rank,
                size=seat.size,
                address=self._address,
                timeout_s=self._timeout_s,
                join_timeout_s=self._join_timeout_s,
            )
        except (PrismError, RuntimeError) as error:
            self._failed(seat, str(error).splitlines()[0])
            return
        if self._pace_file is not None:
            group = Paced(group, self._pace_file)
        with self._lock:
            current = self._wanted == seat
            if current:
                self._group = group
        if current:
            self._joined(seat, group)
        else:
            group.close()

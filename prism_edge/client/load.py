"""What is asked of a daemon, as one value, and the sending of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from prism_edge.client.arrivals import poisson
from prism_edge.client.connection import Sent, Where
from prism_edge.client.loops import Ask, closed_loop, open_loop


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Arrivals at ``rate_hz`` over ``connections``, or else ``users`` who wait for their answers.

    It ends after ``seconds``, or with ``users`` after ``requests``, whatever is first.
    """

    rate_hz: float | None = None
    connections: int = 64
    users: int = 1
    seconds: float = math.inf
    requests: int | None = None
    seed: int = 0

    def __str__(self) -> str:
        if self.rate_hz is not None:
            return f"open loop, Poisson arrivals, {self.rate_hz:g} per second"
        return f"closed loop, users: {self.users}"

    def arrivals(self) -> list[float] | None:
        """When requests come; None where users decide that."""
        return None if self.rate_hz is None else poisson(self.rate_hz, self.seconds, self.seed)


def send(where: Where, load: Load, ask: Ask, found: list[Sent]) -> None:
    """All of ``load`` is sent and answered; ``found`` grows meanwhile."""
    arrivals = load.arrivals()
    if arrivals is not None:
        open_loop(where, ask, arrivals, load.connections, found)
    else:
        closed_loop(where, ask, load.seconds, load.users, found, load.requests)

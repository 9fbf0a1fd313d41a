"""A board measures nothing while it is too hot; the sweep waits for it, but not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prism_edge.profile.gate import COOL_C, HOT_C, PAUSE_S
from prism_edge.profile.measured import Measured
from prism_edge.profile.sensors import Sensors

LOOK_S = 2.0


def until_cool(
    sensors: Sensors,
    rank: int,
    name: str,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Measured]:
    """Passes once the board is below the limit, or has been waited for long enough; both told. A
    board that stays hot is waited for once."""
    why = sensors.too_hot(rank)
    if why is None:
        return
    yield Measured(text=f"board {name}: {why}; waiting until it is below {COOL_C:g} C")
    waited_s = 0.0
    while sensors.too_hot(rank, paused=True) and waited_s < PAUSE_S:
        sleep(LOOK_S)
        waited_s += LOOK_S
    still = sensors.too_hot(rank, paused=True)
    if still:
        sensors.tolerate(rank)
    end = f"went on although {still}" if still else "went on when it had cooled"
    yield Measured(
        text=f"board {name}",
        warning=f"board {name}: {why}, allowed is {HOT_C:g} C: paused for {waited_s:.0f} s and "
        f"{end}; see to its cooling",
        lasting=True,
    )

"""This board's power samples, handed to whoever keeps them for as long as the daemon runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from prism_edge.energy.choose import choose, open_source
from prism_edge.energy.rails import declared, unknown_total
from prism_edge.energy.sample import PowerSource, Sample
from prism_edge.energy.supervise import Supervised
from prism_edge.errors import EnergyError
from prism_edge.settings import BoardSettings

LOG = logging.getLogger(__name__)


def source_of(board: BoardSettings) -> PowerSource:
    """The board's power source by its settings, and by what there is; EnergyError for none."""
    if board.power == "none":
        return open_source("none", board=board.name)
    wanted = "tegrastats" if board.power == "modelled" else board.power_source
    choice = choose(wanted)
    if choice.kind == "none":
        raise EnergyError(
            f"board {board.name}: no power source: {choice.why}; on a board without a power sensor "
            'set power = "none" in cluster.toml'
        )
    LOG.info("power source=%s (%s)", choice.kind, choice.why)
    return open_source(
        choice.kind, board=board.name, source=board.power, total=declared(board.power_total)
    )


async def keep_sampling(
    board: BoardSettings, sample: Callable[[Sample], None], lost: Callable[[str], None]
) -> None:
    """Hand on every sample until cancelled; ``lost`` is told once per outage why there are none."""

    def outage(why: str) -> None:
        LOG.warning("no power readings: %s", why)
        lost(why)

    told = False
    async with Supervised(lambda: source_of(board), outage) as source:
        async for reading in source:
            if reading.power_w is not None:
                sample(reading)
            elif not told and source.rule is None:
                told = True
                outage(unknown_total(reading.rails_mw))
    await asyncio.Event().wait()  # a board without a source: until cancelled

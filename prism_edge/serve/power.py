"""This board's power samples, handed to whoever keeps them for as long as the daemon runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from prism_edge.energy.sample import PowerSource, Sample
from prism_edge.energy.source import tegrastats_source
from prism_edge.errors import EnergyError
from prism_edge.settings import BoardSettings

LOG = logging.getLogger(__name__)
RETRY_S = 10.0


def source_of(board: BoardSettings) -> PowerSource | None:
    """The board's power source by its settings; None for a board without one."""
    if board.power == "none":
        return None
    return tegrastats_source(board=board.name, source=board.power)


async def keep_sampling(
    board: BoardSettings, sample: Callable[[Sample], None], lost: Callable[[str], None]
) -> None:
    """Hand on every sample until cancelled; ``lost`` is told once per outage why there are none."""
    told = False
    while True:
        source = source_of(board)
        if source is None:
            await asyncio.Event().wait()  # until cancelled
            return
        try:
            async with source:
                async for reading in source:
                    sample(reading)
                    told = False
        except EnergyError as error:
            if not told:
                LOG.warning("no power readings: %s", error)
                lost(str(error))
            told = True
        await asyncio.sleep(RETRY_S)

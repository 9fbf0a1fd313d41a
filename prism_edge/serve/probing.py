"""The leader asks its engine how fast the link is, when nobody has seen lately."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from prism_edge.errors import PrismError
from prism_edge.serve.cluster import Cluster
from prism_edge.serve.decide import Decider
from prism_edge.serve.metrics import Metrics
from prism_edge.serve.supervisor import Supervisor, answer
from prism_edge.settings import Settings

LOG = logging.getLogger(__name__)


class Probing:
    """What is learnt goes to ``decider`` and to ``metrics``."""

    def __init__(
        self, settings: Settings, cluster: Cluster, decider: Decider, metrics: Metrics
    ) -> None:
        self._patience_s = settings.serve.exchange_timeout_s
        self._cluster = cluster
        self._decider = decider
        self._metrics = metrics

    async def probe(self, engine: Supervisor | None, *, idle: bool) -> None:
        """The link has been probed, if that was due."""
        size = self._decider.probe_due(time.monotonic(), self._cluster.in_service(), idle=idle)
        if size is None or engine is None or not engine.ready:
            return
        client = engine.client
        assert client is not None
        future = client.ask("probe", rank=1, operation="exchange", bytes=size, repeats=1)
        seconds: Sequence[float] = (0.0,)
        try:
            message = await answer(future, self._patience_s)
            seconds = message.fields["seconds"]
        except (PrismError, asyncio.TimeoutError) as error:
            LOG.info("probe failed: %s", error)
        self._decider.probed(size, seconds, time.monotonic())
        self.show_link()

    def show_link(self) -> None:
        """The metrics say what is believed of the link."""
        link = self._decider.link()
        self._metrics.link(None if link is None else link.bandwidth_bps)

"""How a board's engine brings messages to GLOO and back: the way that its profile found fastest."""

from __future__ import annotations

import logging

from prism_edge import tables
from prism_edge.errors import TableError
from prism_edge.settings import BoardSettings, Settings
from prism_edge.tables.staging_rule import AUTO, fastest_rule

LOG = logging.getLogger(__name__)


def measured_staging(settings: Settings, board: BoardSettings) -> str:
    """The rule for an engine of ``board``; ``auto`` on a CPU, and where nothing was measured."""
    if board.device == "cpu":
        return AUTO
    try:
        rule = fastest_rule(tables.read(settings.profiles).staging, board.name)
    except TableError as error:
        LOG.warning("staging was not measured: %s", error)
        return AUTO
    return AUTO if rule is None else str(rule)

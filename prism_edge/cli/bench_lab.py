"""The lab that a benchmark makes for itself."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager

from prism_edge.cluster.modes import choose
from prism_edge.cluster.shaping import parse_rate
from prism_edge.profile.place import own_lab
from prism_edge.settings import Settings


def lab_of_ours(boards: int, rate: str) -> AbstractContextManager[Settings]:
    """A lab for this run; stderr says so where links are not the kernel's."""
    mode, why = choose("auto")
    if mode == "paced":
        print(f"links are paced by the transport, not by the kernel: {why}", file=sys.stderr)
    return own_lab(boards, parse_rate(rate))

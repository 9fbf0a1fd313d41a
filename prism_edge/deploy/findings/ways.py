"""Whether boards reach each other. Pure, from one ``Way`` for each direction of each pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prism_edge.deploy.findings.finding import Finding
from prism_edge.deploy.way import PATIENCE_S, Way

SLOW_S = 0.02  # on a cable it is under a millisecond, on awake Wi-Fi a few


def ways(found: Sequence[Way], active: frozenset[str]) -> Iterator[Finding]:
    """``active``: the boards whose service runs, and so shall answer."""
    for way in found:
        between = f"{way.start}, {way.end}"
        if way.median_s is None and way.answer != "not found out":
            yield Finding(
                code="way-lost",
                severity="blocked",
                what=f"{way.start} does not reach {way.end} at {way.address}, port {way.port}: "
                f"{way.answer} ({PATIENCE_S:g} s)",
                where=between,
                remedy=f"Is that the address of {way.end} in the network they share, does a "
                f"firewall drop the port, does the access point keep its clients apart? On "
                f"{way.start}:\n$ ping -c 3 {way.address}",
            )
        elif way.answer == "refused" and way.end in active:
            yield Finding(
                code="way-refused",
                severity="blocked",
                what=f"{way.start} is refused by {way.end} at {way.address}, port {way.port}, "
                f"while its service runs",
                where=between,
                remedy=f"It listens elsewhere, or a firewall refuses. On {way.end}:\n"
                f"$ sudo ss -ltnp 'sport = :{way.port}'",
            )
        if way.median_s is not None and way.median_s > SLOW_S:
            yield Finding(
                code="way-slow",
                severity="note",
                what=f"{way.end} answers {way.start} after {1e3 * way.median_s:.0f} ms (median)",
                where=between,
                remedy="Only measuring tells whether it pays to compute together over this link "
                "(prism-edge profile). On Wi-Fi, see that power save is off on both ends.",
            )

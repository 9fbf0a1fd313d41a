"""Whether the board's clock is kept by somebody, by whom, and how far it is from ours."""

from __future__ import annotations

import re

TRACKING = "chronyc -n tracking"
TIMEDATE = "timedatectl show"
SERVICES = ("chrony", "chronyd", "systemd-timesyncd", "ntp", "ntpd", "ntpsec")
# A line per service, in their order; it exits with an error unless all are active.
ACTIVE = f"systemctl is-active {' '.join(SERVICES)}; :"
NOW = "date +%s.%N"


def synchronised(tracking: str, timedate: str) -> bool | None:
    """As chrony says, which also counts a leader of our own LAN, else as systemd says."""
    leap = re.search(r"^Leap status\s+: (\S.*)$", tracking, re.MULTILINE)
    if leap is not None:
        return leap[1].strip() != "Not synchronised"
    ntp = re.search(r"^NTPSynchronized=(yes|no)$", timedate, re.MULTILINE)
    return ntp[1] == "yes" if ntp else None


def service(active: str) -> str | None:
    """The service that keeps it, None when there is none or systemd does not say."""
    lines = active.splitlines()
    if len(lines) != len(SERVICES):
        return None
    running = (name for name, said in zip(SERVICES, lines, strict=True) if said == "active")
    return next(running, None)


def skew(text: str, before_s: float, after_s: float) -> tuple[float, float] | None:
    """Its clock minus ours, and the bound of that, in seconds: it answered between the two."""
    found = re.fullmatch(r"(\d{1,12})(?:\.(?:(\d{9})|\D*))?\n?", text, re.ASCII)
    if found is None:
        return None
    ours_s, bound_s = (before_s + after_s) / 2, (after_s - before_s) / 2
    if found[2] is not None:
        return float(f"{found[1]}.{found[2]}") - ours_s, bound_s
    return int(found[1]) + 0.5 - ours_s, bound_s + 0.5  # a date that knows whole seconds only

"""jetson-stats on the board; it is never imported, because that changes how processes start."""

from __future__ import annotations

import re

from prism_edge.deploy.facts import Jtop

SERVICE = "systemctl show -p LoadState -p ActiveState jtop.service"
# Of the program that the service runs: the Python in its first line looks its package up.
SERVICE_VERSION = """\
p=$(systemctl show -p ExecStart --value jtop.service | sed -n 's/.*path=\\([^ ;]*\\).*/\\1/p')
i=$(sed -n '1s/^#! *//p' "$p")
[ -n "$i" ] && $i -I -c 'import importlib.metadata as m; print(m.version("jetson-stats"))'"""


def unit(text: str) -> dict[str, str]:
    """What ``systemctl show`` prints, by property; empty for a unit that does not exist."""
    found = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    return found if found.get("LoadState") not in (None, "", "not-found") else {}


def jtop(version: str | None, service: str, service_version: str, groups: tuple[str, ...]) -> Jtop:
    """All None on a board without it."""
    state = unit(service).get("ActiveState")
    if version is None and state is None:
        return Jtop()
    runs = re.fullmatch(r"(\d[\w.+-]*)\n?", service_version, re.ASCII)
    return Jtop(
        version=version,
        service_version=runs[1] if runs else None,
        active=None if state is None else state == "active",
        member="jtop" in groups,
    )

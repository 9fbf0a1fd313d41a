"""jetson-stats, which is optional: if it is there and does not work, why. Notes only."""

from __future__ import annotations

from collections.abc import Iterator

from prism_edge.deploy.findings.finding import Case, Finding

OPTIONAL = "prism-edge reads power without it (tegrastats)."


def findings(case: Case) -> Iterator[Finding]:
    jtop = case.facts.jtop
    if jtop.version is None:
        return
    if jtop.active is False:
        yield Finding(
            code="jtop-down",
            severity="note",
            what=f"jetson-stats {jtop.version} is installed and its service does not run",
            where="jtop.service",
            remedy=f"{OPTIONAL} To have it:\n$ sudo systemctl enable --now jtop.service\n"
            "If there is no such unit (a wheel does not bring it):\n$ sudo jtop --install-service",
        )
        return
    if jtop.service_version is not None and _minor(jtop.service_version) != _minor(jtop.version):
        yield Finding(
            code="jtop-mismatch",
            severity="note",
            what=f"the service is jetson-stats {jtop.service_version}, the package "
            f"{jtop.version}: it refuses",
            where="jtop.service",
            remedy=f"{OPTIONAL} To have it, the same version for both:\n"
            f"$ sudo python3 -m pip install jetson-stats=={jtop.version}\n"
            "$ sudo systemctl restart jtop.service",
        )
    if jtop.member is False and case.facts.user.name != "root":
        yield Finding(
            code="jtop-group",
            severity="note",
            what=f"{case.facts.user.name} is not in the group jtop, so its service refuses",
            where="/run/jtop.sock",
            remedy=f"{OPTIONAL} Who is in that group can become root: its service takes pickled "
            f"objects. If you want that, then log in again:\n"
            f"$ sudo usermod -aG jtop {case.facts.user.name}",
        )


def _minor(version: str) -> list[str]:
    """Major and minor: what must be the same."""
    return version.split(".")[:2]

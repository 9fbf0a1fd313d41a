"""Login, service user, service and release: whether deploy can work, and what it left."""

from __future__ import annotations

from collections.abc import Iterator

from prism_edge.deploy import paths
from prism_edge.deploy.findings.finding import Case, Finding, Fix

GPU_GROUPS = ("video", "render")  # who may open a Jetson's GPU


def findings(case: Case) -> Iterator[Finding]:
    yield from _login(case)
    yield from _user(case)
    yield from _release(case)


def _login(case: Case) -> Iterator[Finding]:
    user = case.facts.user
    if user.sudo == "none":
        yield Finding(
            code="no-sudo",
            severity="blocked" if case.board is not None else "warning",
            what=f"{user.name} may not become root: nothing can be installed or repaired",
            where="sudo",
            remedy="As an administrator of the board, then log in again:\n"
            f"$ sudo usermod -aG sudo {user.name}",
        )
    elif user.no_root is not None:
        yield Finding(
            code="no-root",
            severity="note",
            what=f"what only root may see was not looked at: {user.no_root}",
            where="sudo",
            remedy="Add --ask-sudo, if sudo wants a password there."
            if case.board is not None
            else "Put sudo before the command.",
        )
    missing = [name for name in GPU_GROUPS if name not in user.groups]
    if case.jetson and missing and user.name != "root":
        yield Finding(
            code="login-groups",
            severity="note",
            what=f"{user.name} is not in {' and '.join(missing)}: what it starts by hand finds no "
            f"GPU",
            where=f"id {user.name}",
            remedy=f"Then log in again:\n$ sudo usermod -aG {','.join(missing)} {user.name}",
        )


def _user(case: Case) -> Iterator[Finding]:
    installed = case.facts.installed
    missing = [name for name in GPU_GROUPS if name not in installed.groups]
    if case.jetson and installed.user and missing:
        yield Finding(
            code="service-groups",
            severity="blocked" if case.cuda else "warning",
            what=f"the service's user, {paths.USER}, is not in {' and '.join(missing)}: its "
            f"engine finds no GPU",
            where=f"id {paths.USER}",
            remedy=f"$ sudo usermod -aG {','.join(missing)} {paths.USER}\n"
            f"$ sudo systemctl restart {paths.UNIT}",
            fix=Fix(
                why=f"{paths.USER} is in {' and '.join(missing)}, from the next start of the "
                f"service on: sudo systemctl restart {paths.UNIT}",
                commands=tuple(
                    f"if getent group {name} >/dev/null; then usermod -aG {name} {paths.USER}; fi"
                    for name in missing
                ),
            ),
        )


def _release(case: Case) -> Iterator[Finding]:
    installed = case.facts.installed
    if installed.pending is not None:
        yield Finding(
            code="release-pending",
            severity="warning",
            what=f"release {installed.pending} was switched to and has not proved healthy; either "
            f"somebody deploys right now, or a switch was cut off",
            where=paths.PENDING,
            remedy="If nobody deploys, go back to the release before:\n"
            f"$ sudo {paths.ACTIVATE} --settle",
        )
    if installed.current is None:
        return
    if installed.active != "active":
        yield Finding(
            code="service-down",
            severity="blocked",
            what=f"release {installed.current} is there and its service is "
            f"{installed.active or 'not installed'}",
            where=paths.UNIT,
            remedy=f"See why, then start it:\n$ journalctl -u {paths.UNIT} -n 50\n"
            f"$ sudo systemctl restart {paths.UNIT}",
        )
    if installed.active is not None and not installed.enabled:
        yield Finding(
            code="service-disabled",
            severity="warning",
            what="the service does not start when the board boots",
            where=paths.UNIT,
            remedy=f"$ sudo systemctl enable {paths.UNIT}",
        )

"""The board's clock: journals of several boards are read side by side, and a mesh depends on it."""

from __future__ import annotations

from collections.abc import Iterator

from prism_edge.deploy.findings.finding import Case, Finding, Fix

MAX_SKEW_S = 0.5  # beyond what a network explains; chrony on one network keeps milliseconds


def findings(case: Case) -> Iterator[Finding]:
    clock = case.facts.clock
    trap = (
        "; a board that boots with a clock in the past is refused by the mesh until its clock has "
        "caught up"
        if case.mesh is not None
        else ""
    )
    if clock.synchronised is False and clock.service is None:
        yield Finding(
            code="clock-free",
            severity="warning",
            what=f"nothing sets its clock{trap}",
            where="timedatectl",
            remedy="$ sudo timedatectl set-ntp true\nIf that says NTP is not supported:\n"
            "$ sudo apt-get install chrony",
            fix=Fix(
                why="its clock is set from the network, now and after a boot",
                commands=("timedatectl set-ntp true",),
            ),
        )
    elif clock.synchronised is False:
        yield Finding(
            code="clock-unsynchronised",
            severity="warning",
            what=f"{clock.service} runs and has not set its clock yet{trap}",
            where=clock.service or "timedatectl",
            remedy="Does it reach a time server? One board can serve the others (docs/boards.md).\n"
            + (
                "$ chronyc sources"
                if "chrony" in (clock.service or "")
                else "$ timedatectl timesync-status"
            ),
        )
    if clock.skew_s is not None and abs(clock.skew_s) - (clock.bound_s or 0.0) > MAX_SKEW_S:
        yield Finding(
            code="clock-skew",
            severity="warning",
            what=f"its clock is {abs(clock.skew_s):.1f} s "
            f"{'ahead of' if clock.skew_s > 0 else 'behind'} the clock here "
            f"(known within {clock.bound_s or 0.0:.1f} s): journals do not line up{trap}",
            where="date",
            remedy="Let one time server set all clocks, this machine's included (docs/boards.md).",
        )

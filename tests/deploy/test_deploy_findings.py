"""Every finding is provoked once, by facts that differ in one thing from a board that is well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from a_board import BOARDS, CLUSTER, ORIN, PC, SERVING, but, meant
from wrong_boards import BETWEEN, BOTH, SECOND, WRONG, Wrong, codes

from prism_edge.deploy.facts import Facts, Installed
from prism_edge.deploy.findings import findings
from prism_edge.deploy.findings.between import between
from prism_edge.deploy.findings.finding import Finding, Severity, verdict
from prism_edge.deploy.findings.power import rank
from prism_edge.settings import Settings


def provoked(wrong: Wrong) -> Finding:
    """The only finding, and it is the one that was meant."""
    found = findings(wrong.facts, wrong.settings, wrong.board)
    assert [item.code for item in found] == [wrong.code]
    return found[0]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.code}-{wrong.severity}")
def test_one_thing_wrong_gives_one_finding(wrong: Wrong) -> None:
    found = provoked(wrong)
    assert found.severity == wrong.severity
    assert wrong.what in found.what
    assert wrong.remedy in found.remedy
    assert found.where
    for text in (found.what, found.where):
        assert "\n" not in text
    assert not found.what.endswith("."), "what is seen is no sentence; the remedy is"


@pytest.mark.parametrize("installed", [ORIN.installed, SERVING], ids=["new", "serving"])
def test_a_board_that_is_well_gives_none(installed: Installed) -> None:
    facts = replace(ORIN, installed=installed)
    assert findings(facts) == ()
    assert findings(facts, CLUSTER, BOARDS[0]) == ()
    settings, board = meant(device="cpu", power="none")
    assert findings(replace(PC, installed=installed), settings, board) == ()


def test_what_is_not_known_is_not_wrong() -> None:
    """Nothing that needs root, or a tool the board lacks, is held against it."""
    unknown = but(
        ORIN,
        torch={"cuda_available": None, "distributed": None, "gloo": None, "location": None},
        power={"offered": {}, "default": None, "clocks_locked": None},
        network={
            "interfaces": (),
            "own_name": (),
            "wireguard": None,
            "firewall": None,
            "firewall_active": None,
            "arp_ignore": None,
            "arp_announce": None,
        },
        storage={"free_bytes": None, "available_bytes": None, "swap_kind": None},
        clock={"synchronised": None, "service": None, "skew_s": None, "bound_s": None},
    )
    assert findings(unknown, CLUSTER, BOARDS[0]) == ()


def test_the_worst_comes_first() -> None:
    facts = but(ORIN, clock={"skew_s": 9.0}, storage={"swap_kind": "none", "free_bytes": 10**8})
    found = findings(facts)
    assert [item.severity for item in found] == ["blocked", "warning", "note"]
    assert verdict(found) == "blocked"
    assert verdict(found[2:]) == "note"
    assert verdict(()) == "ok"


def test_skew_that_the_round_trip_explains_is_none() -> None:
    assert findings(but(ORIN, clock={"skew_s": 0.9, "bound_s": 0.5})) == ()


def test_arp_that_was_set_right_is_well() -> None:
    network = {"interfaces": BOTH, "arp_ignore": 1, "arp_announce": 2}
    assert findings(but(ORIN, network=network)) == ()


def test_root_needs_no_group_and_no_sudo() -> None:
    user = {"name": "root", "groups": ("root",), "sudo": "root"}
    assert findings(but(ORIN, user=user, jtop={"version": "7.2.2", "member": False})) == ()


def test_the_fixes_that_are_safe() -> None:
    fixed = {wrong.code for wrong in WRONG if provoked(wrong).fix is not None}
    assert fixed == {"wifi-power-save", "clock-free", "service-groups"}


def test_modes_by_their_cap() -> None:
    assert rank("7W") < rank("15W") < rank("25W") < rank("MAXN_SUPER") == rank("MAXN")
    assert rank("MODE_30W_ALL") == 30
    assert not rank("custom") < rank("25W")
    assert not rank("custom") > rank("25W")


@pytest.mark.parametrize(("code", "settings", "boards", "severity", "what"), BETWEEN)
def test_what_is_wrong_between_boards(
    code: str, settings: Settings, boards: Sequence[Facts], severity: Severity, what: str
) -> None:
    (found,) = between(settings, boards)
    assert (found.code, found.severity) == (code, severity)
    assert what in found.what


def test_nothing_is_wrong_between_boards_that_agree() -> None:
    other = replace(SERVING, current="0.1.0-bbbbbbbb")  # its own board.env is in the digest
    boards = (replace(ORIN, installed=SERVING), replace(SECOND, installed=other))
    assert list(between(CLUSTER, boards)) == []


def test_every_finding_was_provoked() -> None:
    provoked_here = {wrong.code for wrong in WRONG} | {code for code, *_ in BETWEEN}
    elsewhere = {"way-lost", "way-refused", "way-slow", "unreachable"}  # test_deploy_ways, _checkup
    assert codes() - provoked_here == elsewhere

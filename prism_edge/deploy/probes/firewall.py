"""Which firewall tool works on the board: tried, because a kernel may lack what a tool needs."""

from __future__ import annotations

import re
from typing import Literal

from prism_edge.deploy.probes.script import Answer

NFT = "nft list ruleset"
IPTABLES = "iptables -S || iptables-legacy -S"

_MISSING = 127  # the shell's code where there is no such program
_LATE = (124, 137, 255)


def firewall(
    nft: Answer, iptables: Answer, *, root: bool
) -> tuple[Literal["nft", "iptables", "none"] | None, bool | None]:
    """The first that works, and whether anything has rules for what comes in."""
    if not root:  # both only work for root: whether they would is not known
        absent = nft.code == iptables.code == _MISSING
        return ("none", None) if absent else (None, None)
    filtering = nft_filters(nft.text) or iptables_filters(iptables.text)
    if nft.code == 0:
        return "nft", filtering
    if nft.code in _LATE or iptables.code in _LATE:
        return None, None
    return ("iptables", filtering) if iptables.code == 0 else ("none", None)


def nft_filters(ruleset: str) -> bool:
    """Whether a chain hooked to input drops by default or has a rule."""
    inside = False
    for line in map(str.strip, ruleset.splitlines()):
        if re.search(r"\bhook input\b", line):
            inside = True
            if re.search(r"\bpolicy drop\b", line):
                return True
        elif line == "}":
            inside = False
        elif inside and line and not line.startswith(("policy ", "comment ")):
            return True
    return False


def iptables_filters(rules: str) -> bool:
    """Whether INPUT does anything but accept."""
    return re.search(r"^-A INPUT |^-P INPUT (?!ACCEPT)", rules, re.MULTILINE) is not None

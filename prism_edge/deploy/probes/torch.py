"""The board's own torch, seen by a Python of the board that knows nothing of ours."""

from __future__ import annotations

import re

from prism_edge.deploy.facts import TorchFacts
from prism_edge.deploy.probes import on_board
from prism_edge.deploy.probes.script import Answer

LIMIT_S = 90.0  # a first import from a memory card reads a gigabyte
DIGEST_S = 600.0  # so does hashing it


def command(python: str) -> str:
    """The line that asks ``python``; it imports torch."""
    return on_board.command("seen_torch", python)


def facts(answer: Answer) -> TorchFacts:
    """What it says, also if it crashed on the way: what came before is true."""
    said = on_board.said(answer.out)
    pins = said.get("pins")
    return TorchFacts(
        version=on_board.text(said.get("version")),
        location=on_board.text(said.get("location")),
        cuda=on_board.text(said.get("cuda")),
        cuda_available=on_board.flag(said.get("cuda_available")),
        distributed=on_board.flag(said.get("distributed")),
        gloo=on_board.flag(said.get("gloo")),
        gloo_error=on_board.text(said.get("gloo_error")),
        pins={
            name: version
            for name, version in (pins.items() if isinstance(pins, dict) else ())
            if isinstance(version, str)
        },
        error=on_board.text(said.get("error")) or _end(answer, said),
    )


def _end(answer: Answer, said: dict[str, object]) -> str | None:
    if said.get("ended") is True:
        return None
    doing = "testing" if "version" in said else "importing"
    if answer.code == 124:
        return f"{doing} it took longer than {LIMIT_S:g} s"
    if answer.code == 127:
        return "there is no such Python"
    if answer.code > 128:
        return f"{doing} it ended Python with signal {answer.code - 128}"
    return f"{doing} it ended Python with code {answer.code}"


def digest_command(python: str) -> str:
    """The line that asks for the digest of its files."""
    return on_board.command("digest_torch", python)


def digest(out: str) -> str | None:
    """The digest, ``none`` where there is no torch; None: it does not say."""
    found = on_board.text(on_board.said(out).get("digest"))
    return found if found and re.fullmatch(r"[0-9a-f]{64}|none", found) else None

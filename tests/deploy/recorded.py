"""What boards have answered, as kept in tests/data/deploy, and how such a file is made."""

from __future__ import annotations

from pathlib import Path

from prism_edge.deploy.assemble import LOGIN, ROOT
from prism_edge.deploy.probes import installed, python, torch
from prism_edge.deploy.probes.script import SILENCE, Answer, answers, script
from prism_edge.deploy.runner import Runner

DATA = Path(__file__).parents[1] / "data" / "deploy"
TOKEN = "@@"
NUL = "\u2400"  # stands for the byte 0, so that the files are text
FILES = ("/etc/prism-edge/token", "/etc/hostname")

Answers = dict[str, Answer]


def commands(interpreter: str) -> dict[str, str]:
    """Every probe by its name."""
    own = {
        "python": python.command(interpreter),
        "files": installed.files_command(FILES),
        "torch": torch.command(interpreter),
    }
    return {**LOGIN, **ROOT, **own}


def load(name: str) -> Answers:
    """All answers of one board; what its file does not have, it did not answer."""
    text = (DATA / f"{name}.txt").read_text(encoding="utf-8").replace(NUL, "\0")
    found = answers(text, TOKEN)
    return {probe: found.get(probe, SILENCE) for probe in commands("python3")}


def record(runner: Runner, interpreter: str = "python3") -> str:
    """A file for ``load``: the answers of a board, asked as root."""
    done = runner.run(script(commands(interpreter), TOKEN, limit_s=90), root=True, timeout_s=300)
    return done.out.replace("\0", NUL)

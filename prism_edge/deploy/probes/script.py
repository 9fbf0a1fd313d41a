"""Many probes ride to a board in one shell script, and their answers come back apart."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

# English answers, root's tools found, and no probe that hangs holds up the others.
_HEAD = """\
PATH="${PATH:-/usr/bin}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
LC_ALL=C
export PATH LC_ALL
limit() { shift; "$@"; }
if timeout -k 5 60 true 2>/dev/null; then limit() { timeout -k 5 "$@"; }; fi
cd /
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a probe printed, and its exit code: 124 if it was ended because it took too long, 137
    if it had to be killed then."""

    code: int
    out: str

    @property
    def text(self) -> str:
        """What it printed if it succeeded, else nothing."""
        return self.out if self.code == 0 else ""


SILENCE = Answer(code=255, out="")  # of a probe that never ran


def script(commands: Mapping[str, str], token: str, limit_s: float) -> str:
    """A line for ``sh`` that runs each command for ``limit_s`` at most; names have no blanks.

    ``token`` is a word that no command can guess and print.
    """
    parts = [
        f"echo {token} {name}\n"
        f"limit {limit_s:g} sh -c {shlex.quote(command)} </dev/null 2>/dev/null\n"
        f"printf '\\n%s %s\\n' {token} $?\n"
        for name, command in commands.items()
    ]
    return _HEAD + "".join(parts)


def answers(out: str, token: str) -> dict[str, Answer]:
    """The answers by name, of those commands that came to an end."""
    mark = re.escape(token)
    found = re.findall(rf"^{mark} (\S+)\n(.*?)\n{mark} (\d{{1,3}})$", out, re.DOTALL | re.MULTILINE)
    return {name: Answer(code=int(code), out=said) for name, said, code in found}

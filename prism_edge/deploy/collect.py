"""What a board has gathered, copied here: journal, tables, log, and what it was serving."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from prism_edge.deploy import paths
from prism_edge.deploy.everywhere import Found, Open, everywhere
from prism_edge.deploy.must import CLEAN, must
from prism_edge.deploy.runner import Runner
from prism_edge.errors import ClusterError
from prism_edge.settings import BoardSettings

# SQLite copies a journal that is being written as it was at one moment. It runs as the journal's
# owner, because whoever opens it makes files beside it.
_BACKUP = """
import sqlite3, sys
source = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
target = sqlite3.connect(sys.argv[2])
source.backup(target)
target.execute("PRAGMA journal_mode=DELETE")
target.close()
"""
_GATHER = """
set -eu
umask 077
rm -rf {state}/.collected-*
made=$(mktemp -d {state}/.collected-XXXXXX)
chown {user}: "$made"
if [ -e {journal} ]; then
    runuser -u {user} -- {clean} python3 -c {backup} {journal} "$made/journal.sqlite"
fi
journalctl --unit={unit} --output=short-iso-precise --utc --no-pager --quiet >"$made/unit.log"
for file in release.json etc/cluster.toml; do
    if [ -e {current}/$file ]; then cp {current}/$file "$made/"; fi
done
if [ -d {profiles} ]; then cp -r {profiles} "$made/"; fi
echo "$made"
cd "$made"
find . -type f -printf '%P\\n'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """``files``: what is in ``directory`` now, by relative path."""

    directory: Path
    files: tuple[str, ...]


def collect(
    boards: Sequence[BoardSettings], opened: Open, directory: Path
) -> tuple[Found[Collected], ...]:
    """What each board has gathered is in ``directory/BOARD``: as far as there is any,
    journal.sqlite, profiles/, unit.log, release.json and cluster.toml."""
    return everywhere(boards, opened, lambda board, runner: _fetch(runner, directory / board.name))


def _fetch(runner: Runner, directory: Path) -> Collected:
    command = _GATHER.format(
        state=paths.STATE,
        user=paths.USER,
        clean=CLEAN,
        backup=quote(_BACKUP),
        journal=paths.JOURNAL,
        unit=paths.UNIT,
        current=paths.CURRENT,
        profiles=paths.PROFILES,
    )
    then = "is anything deployed there, and the disk not full?"
    said = must(runner, "nothing can be collected", command, then=then, timeout_s=600)
    made, *files = said.splitlines()
    try:
        for name in files:
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            runner.get(posixpath.join(made, name), target)
    except OSError as error:
        raise ClusterError(f"{directory} cannot be written: {error.strerror}") from error
    finally:
        runner.run(f"rm -rf {quote(made)}", root=True)
    return Collected(directory=directory, files=tuple(sorted(files)))

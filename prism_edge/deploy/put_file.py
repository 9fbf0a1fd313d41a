"""How a file comes to be whole on a board, or stays as it was: one script, and why it failed."""

from __future__ import annotations

import posixpath
import re
import shlex

from prism_edge.deploy.must import last_words
from prism_edge.deploy.runner import Done

# Written beside the target and renamed. A connection that is lost ends stdin as if all were well:
# hence the size. What is free is asked before, and again once the half is gone.
_SCRIPT = """
export LC_ALL=C
umask 077
free() {{ stat -f -c '%f %S' -- {directory}; }}
set -- $(free) 0 0
if [ $(($1 * $2)) -lt {size} ]; then
    echo 'No space left on device' >&2
else
    cat >{new} && [ "$(stat -c %s -- {new})" = {size} ] && chmod {mode:o} -- {new} &&
        chown 0:0 -- {new} && sync -- {new} && mv -fT -- {new} {target} && exit
fi
rm -f -- {new}
free
exit 1
"""


def script(target: str, size_bytes: int, mode: int) -> str:
    """For root's ``sh``, with the content on stdin; its directory must be there."""
    return _SCRIPT.format(
        new=shlex.quote(f"{target}.part"),
        target=shlex.quote(target),
        directory=shlex.quote(posixpath.dirname(target) or "."),
        size=size_bytes,
        mode=mode,
    )


def fault(target: str, size_bytes: int, done: Done) -> str:
    """Why the script has ended with another code than 0."""
    free = re.search(r"(\d+) (\d+)\s*$", done.out)
    if "No space left" not in done.err or free is None:
        return f"{target} cannot be written: {last_words(done.err)}"
    free_bytes = int(free[1]) * int(free[2])
    missing_mb = max(1, -(-(size_bytes - free_bytes) // 10**6))
    return (
        f"{target} does not fit on the disk: it has {size_bytes / 1e6:.1f} MB, "
        f"{free_bytes / 1e6:.1f} MB are free; make room for {missing_mb} MB more"
    )

"""``python -m prism_edge.deploy.compiled DIRECTORY...``: what a daemon imports is compiled there.

A service may not write beside its code, so what is not compiled now is compiled at every start.
Only files below the given directories are touched: the board's own packages stay as they are.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import py_compile
import sys
from collections.abc import Iterable

STARTED = ("prism_edge.cli.serve", "prism_edge.serve.daemon", "prism_edge.engine.main")


def imported(names: Iterable[str]) -> list[str]:
    """The source files of all modules in this process with ``names`` imported, links resolved."""
    sys.dont_write_bytecode = True
    for name in names:
        importlib.import_module(name)
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return sorted({os.path.realpath(file) for file in files if file and file.endswith(".py")})


def compile_below(directories: Iterable[str], files: Iterable[str]) -> int:
    """How many of ``files`` were compiled: those in ``directories`` that were not yet."""
    roots = tuple(os.path.realpath(directory) + os.sep for directory in directories)
    count = 0
    for file in files:
        if file.startswith(roots) and not os.path.exists(importlib.util.cache_from_source(file)):
            py_compile.compile(file, doraise=True)
            count += 1
    return count


if __name__ == "__main__":
    print(compile_below(sys.argv[1:], imported(STARTED)))

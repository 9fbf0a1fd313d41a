"""``pip`` as another machine would run it: markers of requirements are answered for that machine.

pip takes ``--python-version`` and ``--platform`` for choosing wheels, and yet asks its own
interpreter whether ``tomli; python_version < "3.11"`` is wanted: a bundle made on 3.11 for 3.10
would lack tomli. Run as a script: the markers as JSON, then pip's own arguments.
"""

from __future__ import annotations

import importlib
import json
import runpy
import sys


def main() -> None:
    """Run pip with these markers, in this process."""
    sys.path.pop(0)  # this file's folder: its modules are nobody's business here
    answers: dict[str, str] = json.loads(sys.argv[1])
    try:
        markers = vars(importlib.import_module("pip._vendor.packaging.markers"))
    except ModuleNotFoundError:
        sys.exit(f"ERROR: {sys.executable} has no pip; {sys.executable} -m ensurepip brings it")
    if "default_environment" not in markers:
        sys.exit("ERROR: this pip cannot be asked for another machine; pip 26 can")
    markers["default_environment"] = lambda: dict(answers)
    sys.argv = ["pip", *sys.argv[2:]]
    runpy.run_module("pip", run_name="__main__")


if __name__ == "__main__":
    main()

"""What this Python is and whether it can make environments, as a line of JSON."""

import importlib.metadata
import importlib.util
import json
import platform
import sys


def installed(name: str) -> object:
    """The version of a package, which is not imported."""
    try:
        return importlib.metadata.version(name)
    except Exception:  # not there, or its metadata is broken
        return None


facts = {
    "executable": sys.executable,
    "version": platform.python_version(),
    "venv": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
    "jetson_stats": installed("jetson-stats"),
}
print("prism-edge " + json.dumps(facts))

"""``prism-edge --version`` needs no verb."""

from __future__ import annotations

import subprocess
import sys

import prism_edge


def test_the_version_is_printed_without_a_verb() -> None:
    command = [sys.executable, "-m", "prism_edge", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"{prism_edge.__version__}\n"), done.stderr

"""Why a file was not written, in words that say how much room is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from prism_edge.deploy.must import last_words
from prism_edge.deploy.put_file import fault
from prism_edge.deploy.runner import Done

FULL = "cat: write error: No space left on device\n"


@pytest.mark.parametrize(
    ("out", "err", "expected"),
    [
        (
            "1000 4096\n",
            FULL,
            "/opt/x does not fit on the disk: it has 30.0 MB, 4.1 MB are free; make room for "
            "26 MB more",
        ),
        ("7324 4096\n", FULL, "make room for 1 MB more"),
        ("", FULL, "/opt/x cannot be written: cat: write error: No space left on device"),
        (
            "1 4096\n",
            "sh: 1: cannot create /opt/x.part: Read-only",
            "cannot be written: sh: 1: can",
        ),
        ("1 4096\n", "", "/opt/x cannot be written: it said nothing"),
    ],
)
def test_the_reason_is_told(out: str, err: str, expected: str) -> None:
    assert expected in fault("/opt/x", 30_000_000, Done(code=1, out=out, err=err))


def test_of_a_python_that_fell_over_the_error_is_told_and_not_where() -> None:
    done = subprocess.run([sys.executable, "-c", "1/0"], capture_output=True, text=True)
    assert last_words(done.stderr) == "ZeroDivisionError: division by zero"

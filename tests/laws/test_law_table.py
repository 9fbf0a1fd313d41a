"""Every law of exactness has a test and a negative control here, found by their names.

``test_law_NN_...`` states law NN and ``test_law_NN_control_...`` makes a mistake of the kind the
law is about, which must show in the same comparison. Law 16, the scheduler's choice, is held by
tests/schedule.

== ============================================================== ==========================
 1 one token per segment is full attention                        test_law_full.py
 2 one rank is the plain model, bit for bit                       test_law_full.py
 3 log count is repeated columns                                  test_law_attention.py
 4 segments of equal tokens lose nothing                          test_law_means.py
 5 behind a causal mask nothing leaks back, bit for bit           test_law_causal.py
 6 means commute with what is linear                              test_law_means.py
 7 heard columns may come in any order                            test_law_attention.py
 8 padding is as if it were not there                             test_law_padding.py
 9 the parts of a softmax merge                                   test_law_attention.py
10 a head's one row is that row of all                            test_law_rows.py
11 decoding with the compressed cache is the prefill of more      test_law_causal.py
12 bytes and operations counted are those of the formulas         test_law_costs.py
13 samples of a batch know nothing of each other                  test_law_rows.py
14 transports deliver what was sent                               test_law_transport.py
15 P ranks compute what one simulated process computes            test_law_simulator.py
== ============================================================== ==========================
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROWS = re.findall(r"^ ?(\d+) .* (test_law_\w+\.py)$", __doc__ or "", re.MULTILINE)


def functions_of(file: str) -> set[str]:
    tree = ast.parse((HERE / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def missing(law: int, names: set[str]) -> set[str]:
    """Of "law" and "control", what no name stands for."""
    of_law = {name for name in names if name.startswith(f"test_law_{law:02}_")}
    controls = {name for name in of_law if name.startswith(f"test_law_{law:02}_control_")}
    return {
        kind for kind, found in (("law", of_law - controls), ("control", controls)) if not found
    }


def test_the_table_lists_every_law_once() -> None:
    assert [int(law) for law, _ in ROWS] == list(range(1, 16))


@pytest.mark.parametrize(("law", "file"), ROWS)
def test_a_law_has_a_test_and_a_control(law: str, file: str) -> None:
    names = functions_of(file)
    assert missing(int(law), names) == set()
    without = {name for name in names if "_control_" not in name}
    assert missing(int(law), without) == {"control"}

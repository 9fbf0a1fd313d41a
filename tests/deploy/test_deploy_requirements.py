"""What pip is told on a board."""

from __future__ import annotations

import pytest

from prism_edge.deploy.apply_environment import constraints_txt, requirements_txt
from prism_edge.deploy.wish import environment_id

WHEELS = {"rich-15.0.0-py3-none-any.whl": "b" * 64, "a_b-1.0+cpu-cp311-abi3-linux_x86_64.whl": "a"}
PINS = {"torch": "2.5.0a0+872d972e41.nv24.8", "numpy": "1.26.4"}


def test_requirements_are_exact_and_hashed() -> None:
    assert requirements_txt(WHEELS) == (
        f"a-b==1.0+cpu --hash=sha256:a\nrich==15.0.0 --hash=sha256:{'b' * 64}\n"
    )


def test_constraints_are_the_board_s_versions() -> None:
    assert constraints_txt(PINS) == "numpy==1.26.4\ntorch==2.5.0a0+872d972e41.nv24.8\n"
    assert constraints_txt({}) == ""


def test_the_id_is_that_of_the_content_in_any_order() -> None:
    one = environment_id("3.10", "aarch64", WHEELS, PINS, True)
    other = environment_id(
        "3.10", "aarch64", dict(reversed(WHEELS.items())), dict(reversed(PINS.items())), True
    )
    assert one == other


@pytest.mark.parametrize(
    "changed",
    [
        ("3.12", "aarch64", WHEELS, PINS, True),
        ("3.10", "x86_64", WHEELS, PINS, True),
        ("3.10", "aarch64", {**WHEELS, "rich-15.0.0-py3-none-any.whl": "c"}, PINS, True),
        ("3.10", "aarch64", WHEELS, {**PINS, "numpy": "1.26.5"}, True),
        ("3.10", "aarch64", WHEELS, PINS, False),
    ],
)
def test_any_change_is_another_environment(
    changed: tuple[str, str, dict[str, str], dict[str, str], bool],
) -> None:
    assert environment_id(*changed) != environment_id("3.10", "aarch64", WHEELS, PINS, True)

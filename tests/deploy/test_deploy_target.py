"""What a bundle is for, in pip's words; and no torch that nobody chose."""

from __future__ import annotations

import pytest
from packaging.markers import Marker, default_environment
from packaging.specifiers import SpecifierSet

from prism_edge.deploy.target import Target, constraints, exact, markers, platforms
from prism_edge.errors import SettingsError

ORIN = {"torch": "2.5.0a0+872d972e41.nv24.8", "numpy": "1.26.4"}


def target(**changes: object) -> Target:
    return Target(**{"python": "3.10", "machine": "aarch64", "pins": ORIN} | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pins": {}}, r"whose torch\? --have torch==VERSION .* --torch torch==VERSION"),
        ({"pins": {"numpy": "1.26.4"}}, r"whose torch\?"),
        ({"torch": "2.13.0"}, "either leaves the boards' torch and numpy alone"),
        ({"python": "3.8"}, r"python = '3.8', expected 3.10 or later"),
        ({"python": "3.10.12"}, "expected 3.10 or later, as 3.N"),
        ({"machine": "arm64"}, "machine = 'arm64', allowed is aarch64 or x86_64"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        target(**changes)


def test_versions_are_exact_and_normalised() -> None:
    assert exact("torch==2.5.0a0+872d972e41.nv24.08") == ("torch", ORIN["torch"])
    assert exact("Torch_Vision == 0.20") == ("torch-vision", "0.20")


@pytest.mark.parametrize(
    "text",
    [
        "torch",
        "torch>=2.1",
        "torch==2.*",
        "torch==2.1,!=2.2",
        "torch[x]==2.1",
        "torch==2.1; python_version > '3'",
        "torch @ file:///x.whl",
        "torch==new",
        "==2.1",
        "",
    ],
)
def test_anything_else_is_no_version(text: str) -> None:
    with pytest.raises(SettingsError, match="expected NAME==VERSION"):
        exact(text)


def test_every_marker_is_answered_for_the_boards() -> None:
    answers = markers(target())
    assert set(answers) == set(default_environment())
    assert Marker('python_version < "3.11" and platform_machine == "aarch64"').evaluate(
        dict(answers)
    )
    assert not Marker('sys_platform == "win32" or python_full_version >= "3.11"').evaluate(
        dict(answers)
    )


def test_platforms_are_those_that_the_c_library_allows_newest_first() -> None:
    jetpack6 = platforms(target())
    assert jetpack6[0] == "manylinux_2_35_aarch64"
    assert jetpack6[-1] == "linux_aarch64"
    assert {"manylinux_2_17_aarch64", "manylinux2014_aarch64"} <= set(jetpack6)
    assert "manylinux_2_39_aarch64" in platforms(target(python="3.12"))
    assert platforms(target(python="3.14"))[0] == "manylinux_2_28_aarch64"
    assert "manylinux1_x86_64" in platforms(target(machine="x86_64"))


@pytest.mark.parametrize(
    ("torch", "newest", "too_new"),
    [
        ("2.1.0a0+41361538.nv23.6", "4.46.3", "4.57.6"),
        ("2.4.0a0+7cecf4168.nv24.5", "4.57.6", "5.0"),
        ("2.5.0a0+872d972e41.nv24.8", "5.14", "5.15"),
        ("2.13.0", "99", None),
    ],
)
def test_transformers_is_one_that_this_torch_can_serve(
    torch: str, newest: str, too_new: str | None
) -> None:
    listed = constraints(target(pins={"torch": torch}))
    limits = [line.removeprefix("transformers") for line in listed if "transformers" in line]
    allowed = SpecifierSet(",".join(limits))
    assert newest in allowed
    assert too_new is None or too_new not in allowed


def test_the_board_s_versions_are_constraints() -> None:
    assert constraints(target())[:2] == ("torch==2.5.0a0+872d972e41.nv24.8", "numpy==1.26.4")
    assert constraints(target(pins={}, torch="2.13.0")) == ("torch==2.13.0",)

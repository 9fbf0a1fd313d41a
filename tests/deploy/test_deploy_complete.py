"""What an environment lacks is found without pip."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.requirements import Requirement

from prism_edge.deploy.complete import Package, follow
from prism_edge.deploy.target import Target, markers

BOARD = markers(Target(python="3.10", machine="aarch64", pins={"torch": "2.5.0a0+nv24.8"}))


def parsed(texts: Iterable[str]) -> tuple[Requirement, ...]:
    return tuple(map(Requirement, texts))


def missing(wanted: Iterable[str], **packages: tuple[str, list[str]]) -> tuple[str, ...]:
    known = {
        name.replace("_", "-"): Package(version=version, requires=parsed(requires))
        for name, (version, requires) in packages.items()
    }
    return follow(known, parsed(wanted), BOARD)[1]


def test_nothing_is_missing_from_a_whole() -> None:
    assert (
        missing(
            ["torch>=2.1", "Rich_Text[color]>=1"],
            torch=("2.5.0a0+nv24.8", []),
            rich_text=("1.0", ["colors; extra == 'color'", "rich-text[color]"]),
            colors=("3", ["rich-text"]),
        )
        == ()
    )


def test_what_is_not_there_is_named_with_who_needs_it() -> None:
    assert missing(["a>=1"]) == ("prism-edge needs a>=1",)
    assert missing(["a"], a=("1", ["b<2"])) == ("a needs b<2",)


def test_a_version_that_does_not_do_is_named() -> None:
    assert missing(["torch>=2.5"], torch=("2.5.0a0+nv24.8", [])) == (
        "prism-edge needs torch>=2.5, and there is torch 2.5.0a0+nv24.8",
    )


def test_markers_are_those_of_the_board() -> None:
    wanted = ["tomli; python_version < '3.11'", "winreg; sys_platform == 'win32'"]
    assert missing([*wanted, "nvidia-x; platform_machine == 'x86_64'"]) == (
        "prism-edge needs tomli",
    )


def test_an_extra_that_is_asked_for_later_counts() -> None:
    found = missing(["a", "b"], a=("1", ["c; extra == 'more'"]), b=("1", ["a[more]"]))
    assert found == ("a needs c",)


def test_what_is_reached_is_known() -> None:
    packages = {
        "a": Package(version="1", requires=parsed(["b", "c; sys_platform == 'win32'"])),
        "b": Package(version="1"),
        "c": Package(version="1"),
    }
    assert follow(packages, parsed(["a"]), BOARD) == ({"a", "b"}, ())

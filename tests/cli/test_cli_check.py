"""``prism-edge check``: on this machine as people run it, and what it prints of boards made up."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from a_board import ORIN, SERVING, but
from wrong_boards import BETWEEN, WRONG, codes

from prism_edge.cli import check_table
from prism_edge.cli.check import EXIT
from prism_edge.deploy.checkup import Checked, Repair
from prism_edge.deploy.findings import findings
from prism_edge.deploy.findings.finding import SEVERITIES

PAGE = Path(__file__).parents[2] / "docs" / "check.md"
TEXT, SOME = {"type": "string"}, {"type": ["object", "null"]}
FINDING = {
    "type": "object",
    "properties": {
        "code": {"type": "string", "pattern": "^[a-z0-9-]+$"},
        "severity": {"enum": ["note", "warning", "blocked"]},
        "what": TEXT,
        "where": TEXT,
        "remedy": TEXT,
        "fix": {
            "type": ["object", "null"],
            "properties": {"why": TEXT, "steps": {"type": "array", "items": TEXT, "minItems": 1}},
            "required": ["why", "steps"],
            "additionalProperties": False,
        },
    },
    "required": ["code", "severity", "what", "where", "remedy", "fix"],
    "additionalProperties": False,
}
FINDINGS = {"type": "array", "items": FINDING}
REPAIR = {
    "type": "object",
    "properties": {
        "code": TEXT,
        "error": {"type": ["string", "null"]},
        "still_found": {"type": "boolean"},
    },
    "required": ["code", "error", "still_found"],
    "additionalProperties": False,
}
BOARD = {
    "type": "object",
    "properties": {
        "board": TEXT,
        "verdict": {"enum": list(SEVERITIES)},
        "facts": SOME,
        "findings": FINDINGS,
        "repairs": {"type": "array", "items": REPAIR},
    },
    "required": ["board", "verdict", "facts", "findings", "repairs"],
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "properties": {
        "verdict": {"enum": list(SEVERITIES)},
        "boards": {"type": "array", "items": BOARD, "minItems": 1},
        "between": FINDINGS,
    },
    "required": ["verdict", "boards", "between"],
    "additionalProperties": False,
}


def run(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "prism_edge", "check", *argv],
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "COLUMNS": "80", **env},
        check=False,
    )


def test_this_machine_as_json() -> None:
    done = run("--json")
    assert done.stderr == ""
    made = json.loads(done.stdout)
    jsonschema.validate(made, SCHEMA)
    assert done.returncode == EXIT[made["verdict"]]
    (board,) = made["boards"]
    assert board["facts"]["identity"]["architecture"] == os.uname().machine
    assert board["facts"]["clock"]["skew_s"] is None
    assert made["between"] == []


def test_this_machine_as_a_table_of_80_columns() -> None:
    done = run()
    assert done.returncode in EXIT.values()
    lines = done.stdout.splitlines()
    assert lines[0].split()[1] in SEVERITIES
    assert os.uname().machine in lines[1]
    assert all(len(line) <= 80 for line in lines if not line.lstrip().startswith("$ "))


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--dry-run",), "--dry-run is for --fix"),
        (("--limit", "edge-1"), "are for --cluster"),
        (("--cluster", "gone.toml"), "gone.toml does not exist"),
    ],
)
def test_misuse(argv: tuple[str, ...], said: str) -> None:
    done = run(*argv, COLUMNS="200")
    assert done.returncode == 2
    assert said in done.stderr


CLUSTER_TOML = """
[cluster]
name = "lab"

[[boards]]
name = "edge-1"
address = "127.0.0.1"
ssh = "nobody@127.0.0.1:9"

[[boards]]
name = "edge-2"
address = "127.0.0.2"
ssh = "nobody@127.0.0.2:9"
"""


def test_boards_that_do_not_answer_are_blocked_and_limit_chooses(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(CLUSTER_TOML)
    done = run("--cluster", str(path), "--json")
    assert done.returncode == 1, done.stderr
    made = json.loads(done.stdout)
    jsonschema.validate(made, SCHEMA)
    assert [board["facts"] for board in made["boards"]] == [None, None]
    assert {item["code"] for board in made["boards"] for item in board["findings"]} == {
        "unreachable"
    }
    made = json.loads(run("--cluster", str(path), "--limit", "edge-2", "--json").stdout)
    assert [board["board"] for board in made["boards"]] == ["edge-2"]
    wrong = run("--cluster", str(path), "--limit", "edge-3")
    assert wrong.returncode == 2
    assert "no board is called 'edge-3'" in wrong.stderr


def test_exit_codes() -> None:
    assert EXIT == {"ok": 0, "note": 0, "warning": 3, "blocked": 1}
    assert set(EXIT) == set(SEVERITIES)


def everything() -> list[Checked]:
    """A board for every finding."""
    return [
        Checked(
            board=f"edge-{number}",
            facts=wrong.facts,
            findings=findings(wrong.facts, wrong.settings, wrong.board),
        )
        for number, wrong in enumerate(WRONG)
    ]


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    def show(*arguments: Any, columns: int = 80, **options: Any) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        check_table.show(*arguments, **options)
        return capsys.readouterr().out

    return show


def test_every_remedy_is_printed_in_full_and_can_be_copied(shown: Any) -> None:
    boards = everything()
    out = shown(boards, (), would_fix=False)
    prose = " ".join(out.split())
    for board in boards:
        for found in board.findings:
            assert f"{found.severity} {found.code}" in prose
            assert " ".join(found.what.split()) in prose
            for line in found.remedy.splitlines():
                if line.startswith("$ "):
                    assert f"\n      {line}\n" in out
                else:
                    assert " ".join(line.split()) in prose
    long = [line for line in out.splitlines() if len(line) > 80 and "$ " not in line]
    assert long == []


def test_the_last_line_counts(shown: Any) -> None:
    sleepy = next(wrong.facts for wrong in WRONG if wrong.code == "wifi-power-save")
    facts = but(sleepy, clock={"skew_s": 9.0}, storage={"swap_kind": "none", "free_bytes": 10})
    boards = [Checked(board="edge-1", facts=facts, findings=findings(facts))]
    out = shown(boards, (), would_fix=False)
    assert out.splitlines()[-1] == (
        "1 blocked, 2 warnings, 1 note; 1 of them can be repaired by --fix"
    )
    out = shown(boards, (), would_fix=True)
    assert out.splitlines()[-1] == "1 blocked, 2 warnings, 1 note"
    assert "\n      # iw dev wlP1p1s0 set power_save off\n" in out
    assert "\n      #     wifi.powersave = 2\n" in out


def test_a_board_that_is_well(shown: Any) -> None:
    facts = but(ORIN, installed={"current": SERVING.current, "active": "active", "enabled": True})
    out = shown([Checked(board="edge-1", facts=facts, findings=())], (), would_fix=False)
    assert out == (
        "edge-1  ok\n"
        "  NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super, JetPack 6.2\n"
        "  (L4T 36.4.3), aarch64\n"
        "  Python 3.10.12; torch 2.5.0a0+872d972e41.nv24.8 (CUDA 12.6, GLOO)\n"
        "  power mode 25W; 6.0 of 8.0 GB of memory available, swap zram; 200.0 GB of disk\n"
        "  free\n"
        "  enP8p1s0 10.0.0.11/24, wlP1p1s0 192.168.7.11/24\n"
        "  release 0.1.0-aaaaaaaa, active\n"
        "\n"
        "nothing is wrong\n"
    )


def test_repairs_and_findings_between_boards_are_shown(shown: Any) -> None:
    sleepy = next(wrong for wrong in WRONG if wrong.code == "wifi-power-save")
    (found,) = findings(sleepy.facts)
    repairs = tuple(
        Repair(finding=found, error=error, still_found=still_found)
        for error, still_found in ((None, False), (None, True), ("no such card", True))
    )
    board = Checked(board="edge-1", facts=ORIN, findings=(), repairs=repairs)
    out = shown([board], (found,), would_fix=False)
    assert "  wifi-power-save: repaired\n" in out
    assert "  wifi-power-save: was done, and is found all the same\n" in out
    assert "  wifi-power-save: not repaired: no such card\n" in out
    assert "\nbetween boards  warning\n" in out
    jsonschema.validate(check_table.as_dict([board], (found,)), SCHEMA)


def test_all_of_it_as_json() -> None:
    made = check_table.as_dict(everything(), ())
    jsonschema.validate(json.loads(json.dumps(made)), SCHEMA)
    assert made["verdict"] == "blocked"


def test_every_code_is_explained_and_no_other() -> None:
    explained = re.findall(r"^### (\S+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(explained) == sorted(codes())
    assert {code for code, *_ in BETWEEN} <= codes()


def test_pages_that_remedies_name_are_there() -> None:
    sources = [path.read_text() for path in (PAGE.parents[1] / "prism_edge/deploy").rglob("*.py")]
    named = {name for text in sources for name in re.findall(r"\((docs/[a-z-]+\.md)\)", text)}
    assert named >= {"docs/boards.md", "docs/mesh.md"}
    assert [name for name in named if not (PAGE.parents[1] / name).exists()] == []


def test_the_page_names_the_severities_that_are_given() -> None:
    sections = re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    text = {section.split("\n", 1)[0]: section.lower() for section in sections}
    for wrong in WRONG:
        assert wrong.severity in text[wrong.code], wrong.code

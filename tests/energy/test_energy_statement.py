"""What is stated of journals and logs, and what is said beside it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from prism_edge.energy import clocks
from prism_edge.energy.clocks import Offset
from prism_edge.energy.journal import EventRow, Journal, RequestRow
from prism_edge.energy.recording import Recording, extent_of, recording
from prism_edge.energy.sample import Label, Sample
from prism_edge.energy.stamps import BY_DATE
from prism_edge.energy.statement import half_width_text, idle, statement
from prism_edge.errors import EnergyError, JournalError

START_S = 1_770_000_000.0
LINE = (
    "RAM 1000/7607MB (lfb 4x4MB) CPU [1%@729,off] GR3D_FREQ 0% cpu@46C "
    "VDD_IN {0}mW/{0}mW VDD_CPU_GPU_CV 500mW/500mW VDD_SOC 1400mW/1400mW"
)


def journal(path: Path, *, ahead_s: float = 0.0, label: Label = "sensor") -> Recording:
    """Two boards: 4 W each, the second 9 W from 40 to 60 s; its clock is ``ahead_s`` ahead."""
    power = {"a": label, "b": label}
    with Journal.open(path, cluster="c", kind="boards", power=power) as file:
        if ahead_s:
            offset = Offset(offset_s=ahead_s, bound_s=0.001)
            file.event(clocks.event("b", offset, START_S))
        for i in range(1000):
            t_s = i / 10
            for board in ("a", "b"):
                busy = board == "b" and 40 <= t_s < 60
                file.sample(
                    Sample(
                        board=board,
                        t_s=START_S + t_s + (ahead_s if board == "b" else 0.0),
                        power_w=9.0 if busy else 4.0,
                        source=label,
                        events={"oc1": 2} if busy and i == 500 else {},
                    )
                )
        for i in range(4):
            file.request(
                RequestRow(
                    id=f"r{i}",
                    model="m",
                    batch=1,
                    plan="local",
                    why=None,
                    forced=False,
                    start_s=START_S + 40 + 4 * i,
                    stop_s=START_S + 46 + 4 * i,
                    latency_s=6.0,
                    ok=True,
                    error=None,
                    wire_bytes=None,
                )
            )
    return recording(path)


def test_a_journal_is_stated_with_its_requests(tmp_path: Path) -> None:
    found = journal(tmp_path / "j.sqlite")
    said = statement(found, [(START_S + 40, START_S + 60)], idle_s=30)
    (window,) = said.windows
    assert window.energy.energy_j == pytest.approx(20 * 13, rel=0.002)
    assert window.energy.net_j == pytest.approx(20 * 5, rel=0.005)
    assert window.requests is not None
    charged = [one.energy_j or 0.0 for one in window.requests.requests]
    whole_j = sum(charged) + window.requests.idle_j
    assert whole_j == pytest.approx(window.energy.energy_j)
    assert charged[0] == pytest.approx(4 * 13 + 2 * 6.5, rel=0.01)
    assert window.throttled == {"b": {"oc1": 2}}
    notes = "\n".join(said.notes)
    assert "b: throttled: oc1 2" in notes
    assert "clock offsets between boards were not measured: a, b" in notes
    assert "idle baselines of 30 s are short" in notes
    assert "MODELLED" not in notes
    assert said.repeats is None


def test_a_clock_that_is_ahead_is_put_right_and_its_bound_counts(tmp_path: Path) -> None:
    found = journal(tmp_path / "j.sqlite", ahead_s=15.0)
    (window,) = statement(found, [(START_S + 40, START_S + 60)]).windows
    assert window.energy.energy_j == pytest.approx(20 * 13, rel=0.002)
    part = window.energy.boards["b"].uncertainty
    assert part is not None
    assert part.clock_j == pytest.approx(0.001 * 5 / 3**0.5, rel=0.01)


@pytest.mark.parametrize("ahead_s", [7200.0, -START_S])  # set to a zone, or never set
def test_a_part_is_found_on_a_clock_that_is_far_off(tmp_path: Path, ahead_s: float) -> None:
    journal(tmp_path / "j.sqlite", ahead_s=ahead_s)
    assert extent_of(tmp_path / "j.sqlite") == (START_S, pytest.approx(START_S + 99.9))
    part = START_S + 40, START_S + 60
    found = recording(tmp_path / "j.sqlite", between=part)
    (window,) = statement(found, [part]).windows
    assert window.energy.energy_j == pytest.approx(20 * 13, rel=0.002)


def test_without_the_offset_it_would_be_wrong(tmp_path: Path) -> None:
    """Control: the same samples, of which nobody knows the offset."""
    path = tmp_path / "j.sqlite"
    journal(path, ahead_s=15.0)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM events WHERE kind = 'clock'")
    connection.close()
    (window,) = statement(recording(path), [(START_S + 40, START_S + 60)]).windows
    assert window.energy.energy_j == pytest.approx(20 * 8 + 5 * 5, rel=0.01)


def test_modelled_power_is_said_to_be(tmp_path: Path) -> None:
    found = journal(tmp_path / "j.sqlite", label="modelled")
    said = statement(found, [(START_S, START_S + 90)])
    assert said.sources == {"a": "modelled", "b": "modelled"}
    assert any(note.startswith("MODELLED") for note in said.notes)


def test_a_board_that_sent_nothing_makes_the_cluster_unknown(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    power = {"a": "sensor", "silent": "sensor"}
    with Journal.open(path, cluster="c", kind="boards", power=power) as file:
        for i in range(100):
            file.sample(Sample(board="a", t_s=START_S + i / 10, power_w=4.0, source="sensor"))
    (window,) = statement(recording(path), [(START_S, START_S + 9)]).windows
    assert window.energy.refused == "silent: samples cover 0 % of it; 90 % are needed"
    assert window.requests is None


def test_windows_of_the_same_work_have_a_spread(tmp_path: Path) -> None:
    found = journal(tmp_path / "j.sqlite")
    windows = [(START_S + 41 + 3 * i, START_S + 44 + 3 * i) for i in range(4)]
    said = statement(found, windows)
    assert said.repeats is not None
    assert (said.repeats.n, said.repeats.mean_j) == (4, pytest.approx(39.0))
    assert "4 windows are few: 5 or more show the spread" in said.notes


def test_idle_power_of_every_board(tmp_path: Path) -> None:
    boards = idle(journal(tmp_path / "j.sqlite"), (START_S, START_S + 39))
    assert {name: one.idle_w for name, one in boards.items()} == {
        "a": pytest.approx(4.0),
        "b": pytest.approx(4.0),
    }


def log(path: Path, rows: list[str], head: str = "") -> Path:
    path.write_text(head + "\n".join(rows) + "\n")
    return path


def test_a_log_with_dates(tmp_path: Path) -> None:
    rows = [
        f"03-01-2026 10:00:{i // 10:02d} {LINE.format(4000 if i < 200 else 9000)}"
        for i in range(400)
    ]
    found = recording(log(tmp_path / "x.log", rows), board="x")
    assert (found.kind, found.clock, found.rule) == ("tegrastats log", BY_DATE, "VDD_IN")
    (window,) = statement(found, [(found.first_s + 25, found.first_s + 35)]).windows
    assert window.energy.energy_j == pytest.approx(90.0)
    assert "carrier board" in found.excludes


def test_a_log_of_an_emulated_board_is_modelled(tmp_path: Path) -> None:
    rows = [f"{i / 10} {LINE.format(4700)}" for i in range(50)]
    head = "tegrastats: emulated board: power and temperatures are MODELLED from CPU time\n"
    assert recording(log(tmp_path / "x.log", rows, head)).source("board") == "modelled"
    assert recording(log(tmp_path / "y.log", rows)).source("board") == "sensor"


def test_lines_without_a_total_are_counted(tmp_path: Path) -> None:
    other = "RAM 1/2MB CPU [1%@1] VDD_GPU_SOC 9000mW/9000mW"
    rows = [f"{i} {other if i % 2 else LINE.format(4000)}" for i in range(40)]
    said = statement(recording(log(tmp_path / "log", rows)), [(0.0, 38.0)])
    assert "board: 20 of 40 samples have no total: rails are missing" in said.notes


def test_an_unknown_board_has_no_total_until_it_is_declared(tmp_path: Path) -> None:
    line = "RAM 1/2MB (lfb 1x1MB) CPU [1%@1] VDD_A 3000mW/1mW VDD_B 500mW/1mW"
    rows = [f"{i / 10} {line}" for i in range(40)]
    path = log(tmp_path / "x.log", rows)
    with pytest.raises(EnergyError, match="no known total among the power rails VDD_A, VDD_B"):
        recording(path)
    found = recording(path, total=("VDD_A", "VDD_B"))
    assert found.rule == "declared: VDD_A + VDD_B"
    assert found.step_w("board") == pytest.approx(2 * 0.04)
    (window,) = statement(found, [(0.5, 3.5)]).windows
    assert window.energy.energy_j == pytest.approx(3 * 3.5)


def test_files_that_say_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EnergyError, match="cannot be read"):
        recording(tmp_path / "missing")
    with pytest.raises(EnergyError, match="no line of it is one of tegrastats'"):
        recording(log(tmp_path / "text", ["hello", "world"]))
    with pytest.raises(EnergyError, match="run as root or grant read access"):
        recording(log(tmp_path / "bare", ["RAM 1/2MB (lfb 1x1MB) CPU [1%@1]"]))
    with pytest.raises(EnergyError, match="from 1 to 0 s: these are several recordings"):
        recording(log(tmp_path / "two", [f"{t_s} {LINE.format(4000)}" for t_s in (0, 1, 0, 1)]))
    Journal.open(tmp_path / "empty", cluster="c", kind="log", power={}).close()
    with pytest.raises(EnergyError, match="holds no power sample"):
        recording(tmp_path / "empty")
    (tmp_path / "broken").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    with pytest.raises(JournalError):
        recording(tmp_path / "broken")


def test_an_event_of_somebody_else_is_no_throttling(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    journal(path)
    with Journal.open(path, cluster="c", kind="boards", power={}) as file:
        file.event(EventRow(t_s=START_S + 50, kind="epoch", detail="2 open"))
    (window,) = statement(recording(path), [(START_S + 45, START_S + 55)]).windows
    assert window.throttled == {"b": {"oc1": 2}}


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [
        (284.98035, 0.6969, "284.98 ± 0.70 J"),
        (1234.5, 37.0, "1234 ± 37 J"),
        (0.01234, 0.00042, "0.01234 ± 0.00042 J"),
        (5.0, 0.0, "5.000 ± 0.000 J"),
        (None, None, "n/a"),
    ],
)
def test_a_value_has_the_digits_that_hold(
    value: float | None, half: float | None, text: str
) -> None:
    assert half_width_text(value, half, "J") == text

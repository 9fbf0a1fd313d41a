"""Live sources with real child processes, and their twins, speak one protocol."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import prism_edge
from prism_edge.energy.child import ChildSource
from prism_edge.energy.replay import EmptySource, ReplaySource
from prism_edge.energy.sample import PowerSource, Sample
from prism_edge.energy.source import HelperLines, TegrastatsLines, jtop_source, tegrastats_source
from prism_edge.errors import EnergyError

NO_RAILS = "RAM 1/2MB (lfb 1x4MB) CPU [1%@2] cpu@40C"
PACKAGE = Path(prism_edge.__file__).parent


def line(power_mw: int) -> str:
    return f"{NO_RAILS} VDD_IN {power_mw}mW/1mW VDD_CPU_GPU_CV 500mW/1mW VDD_SOC 900mW/1mW"


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is first on PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def install(board: Path, *printed: str, then: str = "exec sleep 600", first: str = "") -> None:
    """A tegrastats that notes its process and arguments, prints, and runs until it is ended."""
    (board / "lines").write_text("".join(f"{text}\n" for text in printed))
    script = board / "tegrastats"
    script.write_text(
        f'#!/bin/sh\n{first}\necho $$ >{board}/pid\necho "$@" >{board}/args\n'
        f"cat {board}/lines\n{then}\n"
    )
    script.chmod(0o755)


def alive(board: Path) -> bool:
    """Whether the noted process exists; a zombie would, so False means reaped."""
    try:
        os.kill(int((board / "pid").read_text()), 0)
    except ProcessLookupError:
        return False
    return True


def take(source: PowerSource, count: int = 1000) -> list[Sample]:
    async def run() -> list[Sample]:
        samples = []
        async with source:
            async for sample in source:
                samples.append(sample)
                if len(samples) == count:
                    break
        return samples

    return asyncio.run(run())


def test_samples_carry_power_and_arrival_and_the_first_line_is_dropped(board: Path) -> None:
    install(board, line(99000), line(5000), line(-40))
    before_s, before_monotonic_s = time.time(), time.monotonic()
    source = tegrastats_source(board="edge-1", interval_ms=200)
    samples = take(source, 2)
    assert [sample.power_w for sample in samples] == [5.0, -0.04]
    assert {(sample.board, sample.source) for sample in samples} == {("edge-1", "sensor")}
    assert source.rule == "VDD_IN"
    assert (board / "args").read_text() == "--interval 200\n"
    for sample in samples:
        assert before_s <= sample.t_s <= time.time()
        assert sample.monotonic_s is not None
        assert before_monotonic_s <= sample.monotonic_s <= time.monotonic()


def test_a_line_is_stamped_when_it_arrives(board: Path) -> None:
    install(
        board,
        line(1000),
        line(2000),
        then=f"until [ -e {board}/go ]; do sleep 0.01; done; echo '{line(3000)}'; exec sleep 600",
    )

    async def run() -> tuple[Sample, float, Sample]:
        async with tegrastats_source(board="edge-1") as source:
            first = await source.__anext__()
            between_s = time.time()
            (board / "go").touch()
            return first, between_s, await source.__anext__()

    first, between_s, second = asyncio.run(run())
    assert first.t_s <= between_s <= second.t_s
    assert (first.power_w, second.power_w) == (2.0, 3.0)


def test_modelled_power_says_so(board: Path) -> None:
    install(board, line(1), line(2))
    assert take(tegrastats_source(board="edge-1", source="modelled"), 1)[0].source == "modelled"


def test_leaving_ends_the_child_and_reaps_it(board: Path) -> None:
    install(board, line(1), line(2))

    async def run() -> None:
        async with tegrastats_source(board="edge-1") as source:
            await source.__anext__()
            assert alive(board)

    asyncio.run(run())
    assert not alive(board)


def test_the_child_may_end_itself_in_its_own_way(board: Path) -> None:
    """SIGTERM, not SIGKILL: a handler runs."""
    (board / "tegrastats").write_text(
        f"#!{sys.executable} -ISu\n"
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        f"    pathlib.Path({str(board / 'bye')!r}).touch(); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"print({line(1)!r}); print({line(2)!r})\n"
        "time.sleep(600)\n"
    )
    (board / "tegrastats").chmod(0o755)
    read = TegrastatsLines(board="edge-1")
    name = "tegrastats"
    take(ChildSource(board="edge-1", name=name, argv=[name], read=read, grace_s=60.0), 1)
    assert (board / "bye").exists()


def test_a_child_that_ignores_the_request_is_killed(board: Path) -> None:
    install(board, line(1), line(2), first="trap '' TERM")
    take(tegrastats_source(board="edge-1"), 1)
    assert not alive(board)


def test_a_child_in_full_flow_is_ended(board: Path) -> None:
    """Output nobody reads must not keep it alive."""
    install(board, line(1), line(2), then=f"exec yes '{line(3)}'")
    take(tegrastats_source(board="edge-1"), 1)
    assert not alive(board)


def test_a_grandchild_that_holds_the_pipe_is_not_waited_for(board: Path) -> None:
    install(board, line(1), line(2), then=f"sleep 600 & echo $! >{board}/grandchild; wait")

    async def run() -> None:
        async with tegrastats_source(board="edge-1") as source:
            await source.__anext__()
            while not (board / "grandchild").exists() or not (board / "grandchild").read_text():
                await asyncio.sleep(0.01)

    asyncio.run(run())
    assert not alive(board)
    assert not [thread for thread in threading.enumerate() if thread.name == "power"]
    os.kill(int((board / "grandchild").read_text()), signal.SIGKILL)


def test_failure_and_cancellation_of_the_consumer_end_the_child(board: Path) -> None:
    install(board, line(1), line(2))

    async def fail() -> None:
        async with tegrastats_source(board="edge-1") as source:
            async for _ in source:
                raise KeyError("consumer")

    with pytest.raises(KeyError, match="consumer"):
        asyncio.run(fail())
    assert not alive(board)

    async def cancelled() -> None:
        reading = asyncio.Event()

        async def consume() -> None:
            async with tegrastats_source(board="edge-1") as source:
                async for _ in source:
                    reading.set()

        task = asyncio.create_task(consume())
        await reading.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert not alive(board)


def test_whoever_is_slow_loses_nothing(board: Path) -> None:
    """More lines than are kept wait in the pipe, and the child with them."""
    count = 3000
    install(board, *[line(mw) for mw in range(count + 1)])

    async def run() -> list[float | None]:
        async with tegrastats_source(board="edge-1") as source:
            found = [(await source.__anext__()).power_w]
            await asyncio.sleep(0.3)
            return found + [(await source.__anext__()).power_w for _ in range(count - 1)]

    assert asyncio.run(run()) == [mw / 1000 for mw in range(1, count + 1)]


def test_another_tegrastats_is_left_alone(board: Path) -> None:
    install(board, line(1), line(2))
    with subprocess.Popen([str(board / "tegrastats")], stdout=subprocess.DEVNULL) as other:
        try:
            take(tegrastats_source(board="edge-1"), 1)
            assert other.poll() is None
        finally:
            other.terminate()


def test_no_tegrastats_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnergyError, match=r"board edge-1: tegrastats is not on PATH.*power = "):
        take(tegrastats_source(board="edge-1"))


def test_a_program_that_cannot_be_started_says_why(board: Path) -> None:
    install(board)
    (board / "tegrastats").chmod(0o644)
    program = str(board / "tegrastats")
    with pytest.raises(EnergyError, match=r"board edge-1: .* cannot be started: Permission"):
        take(tegrastats_source(board="edge-1", program=program))


def test_no_rails_in_five_lines_is_an_error_and_never_0_w(board: Path) -> None:
    install(board, *[NO_RAILS] * 5)
    message = "board edge-1: tegrastats: no power rails: run as root or grant read access"
    with pytest.raises(EnergyError, match=message):
        take(tegrastats_source(board="edge-1"))
    assert not alive(board)


def test_rails_in_the_fifth_line_are_in_time(board: Path) -> None:
    """Negative control of the five lines, and a later line without power is only skipped."""
    install(board, *[NO_RAILS] * 4, line(5000), *[NO_RAILS] * 9, line(6000))
    samples = take(tegrastats_source(board="edge-1"), 2)
    assert [sample.power_w for sample in samples] == [5.0, 6.0]


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        ("usage: something else", "no tegrastats line: 'usage: something else'"),
    ],
)
def test_lines_without_a_known_total_are_named(board: Path, printed: str, message: str) -> None:
    install(board, *[printed] * 5)
    with pytest.raises(EnergyError, match=message):
        take(tegrastats_source(board="edge-1"))


def test_an_end_is_an_error_with_the_last_words(board: Path) -> None:
    install(board, line(1), line(2), then="echo 'cannot open i2c' >&2; exit 3")
    source = tegrastats_source(board="edge-1")
    with pytest.raises(EnergyError, match="ended after 3 lines; its last line was 'cannot open"):
        take(source)
    assert source.rule == "VDD_IN"
    assert not alive(board)


def test_an_unfinished_last_line_is_no_reading(board: Path) -> None:
    install(board, line(1), then=f"printf '%s' '{line(47000)}'")
    with pytest.raises(EnergyError, match="ended after 1 lines"):
        take(tegrastats_source(board="edge-1"))


def test_silence_is_an_error(board: Path) -> None:
    install(board)
    silence_s = 0.025
    while not (board / "args").exists():  # a busy machine may not come so far in that time
        silence_s *= 2
        with pytest.raises(EnergyError, match=rf"printed nothing for {silence_s:g} s"):
            take(tegrastats_source(board="edge-1", silence_s=silence_s))
    assert not alive(board)


def test_damaged_lines_are_skipped(board: Path) -> None:
    install(board, line(1), line(5000), "x" * 300_000, "", line(5500))
    with (board / "lines").open("ab") as lines:
        lines.write(b"\xff\xfe RAM\n" + line(6000).encode() + b"\n")
    samples = take(tegrastats_source(board="edge-1"), 3)
    assert [sample.power_w for sample in samples] == [5.0, 5.5, 6.0]


def test_a_board_without_a_known_total_gives_its_rails(board: Path) -> None:
    install(board, *[f"{NO_RAILS} NEW_A 5000mW/5mW NEW_B 700mW/5mW"] * 3)
    sample = take(tegrastats_source(board="edge-1"), 1)[0]
    assert (sample.power_w, sample.rule) == (None, None)
    assert sample.rails_mw == {"NEW_A": 5000, "NEW_B": 700}
    told = take(tegrastats_source(board="edge-1", total=("NEW_A", "NEW_B")), 1)[0]
    assert (told.power_w, told.rule) == (5.7, "declared: NEW_A + NEW_B")


def test_a_board_that_says_it_is_emulated_is_modelled(board: Path) -> None:
    install(board, "tegrastats: emulated board: power is MODELLED", line(1), line(2))
    assert take(tegrastats_source(board="edge-1"), 1)[0].source == "modelled"


THOR = "VDD_GPU 1000mW/1mW VDD_CPU_SOC_MSS 2000mW/1mW VIN_SYS_5V0 3000mW/1mW"


def test_lines_that_are_none_are_said_once() -> None:
    said: list[str] = []
    read = TegrastatsLines(board="edge-1", say=said.append)
    for text in ("i2c 7: error 12", "", "i2c 7: error 13", "tegrastats: power is MODELLED"):
        assert isinstance(read(text, 1.0), str)
    assert said == ["board edge-1: no line of tegrastats: i2c 7: error 12"]


def test_a_rail_missing_from_a_line_leaves_the_total_unknown() -> None:
    """Thor without its VIN for a moment is not a sum of rails."""
    said: list[str] = []
    read = TegrastatsLines(board="edge-1", say=said.append)
    lines = [f"{THOR} VIN 9000mW/1mW", THOR, f"{THOR} VIN 9x0mW/1mW", f"{THOR} VIN 8000mW/1mW"]
    found = [read(f"RAM 1/2MB {text}", 1.0) for text in lines]
    assert [isinstance(one, Sample) and (one.power_w, one.rule) for one in found] == [
        (9.0, "VIN"),
        (None, "VIN"),
        (None, "VIN"),
        (8.0, "VIN"),
    ]
    assert len(said) == 1
    assert "board edge-1: not understood in tegrastats' line: 'VIN', '9x0mW/1mW': RAM" in said[0]


def test_intervals_below_the_floor_are_refused() -> None:
    with pytest.raises(ValueError, match="interval_ms is 49; allowed: 50 or more"):
        tegrastats_source(board="edge-1", interval_ms=49)
    with pytest.raises(ValueError, match="interval_s is 0"):
        jtop_source(board="edge-1", interval_s=0)


# --- the twins


def test_replay_gives_a_recorded_file_at_its_offsets(tmp_path: Path) -> None:
    path = tmp_path / "recorded"
    path.write_text(f"0.0 {line(4000)}\n0.1 {NO_RAILS}\n0.25 07-09-2024 13:31:31 {line(6000)}\n")
    source = ReplaySource(board="edge-2", path=path, start_s=1000.0, source="modelled")
    assert [(sample.t_s, sample.power_w, sample.source) for sample in take(source)] == [
        (1000.0, 4.0, "modelled"),
        (1000.25, 6.0, "modelled"),
    ]
    assert source.rule == "VDD_IN"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"0.0 {line(1)}\n{line(2)}\n", r"recorded:2: 'RAM' is no offset"),
        (f"nan {line(1)}\n", r"recorded:1: 'nan' is no offset"),
        (f"0.0 {NO_RAILS}\n", "no power reading: no power rails: run as root"),
        ("", "no power reading: the file is empty"),
        (None, "cannot be replayed: No such file"),
    ],
)
def test_replay_of_a_bad_file_names_it(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "recorded"
    if text is not None:
        path.write_text(text)
    with pytest.raises(EnergyError, match=message):
        take(ReplaySource(board="edge-2", path=path, start_s=0.0))


def test_replay_at_its_own_pace_waits(tmp_path: Path) -> None:
    path = tmp_path / "recorded"
    path.write_text(f"0.0 {line(4000)}\n0.2 {line(6000)}\n")
    start_s = time.monotonic()
    take(ReplaySource(board="edge-2", path=path, start_s=1000.0, speed=2.0))
    assert time.monotonic() - start_s >= 0.1


def test_empty_source_ends_at_once() -> None:
    source = EmptySource()
    assert take(source) == []
    assert source.rule is None


# --- jtop

FAKE_JTOP = """
class jtop:
    def __init__(self, interval):
        assert interval == 0.5, interval
        self.readings = iter({readings})
    def __enter__(self):
        {enter}
        return self
    def __exit__(self, *error):
        pass
    def ok(self):
        self.temperature = {{'tj': {{'temp': 41.5}}, 'gpu': {{'temp': -256}}}}
        self.power = next(self.readings, None)
        return self.power is not None
"""


@pytest.fixture
def python_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory the helper process imports from first; beside it the package under test."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{PACKAGE.parent}")
    return tmp_path


def fake_jtop(python_path: Path, readings: str, enter: str = "pass") -> None:
    (python_path / "jtop.py").write_text(FAKE_JTOP.format(readings=readings, enter=enter))


ORIN = "{'tot': {'name': 'VDD_IN', 'power': %d}, 'rail': {'VDD_SOC': {'power': 900}}}"


def test_jtop_samples(python_path: Path) -> None:
    fake_jtop(python_path, f"[{ORIN % 4761}, {{}}, {ORIN % 5000}]")
    source = jtop_source(board="edge-1")
    samples = take(source, 2)
    assert [(sample.power_w, sample.source) for sample in samples] == [
        (4.761, "sensor"),
        (5.0, "sensor"),
    ]
    assert samples[0].rails_mw == {"VDD_IN": 4761, "VDD_SOC": 900}
    assert samples[0].temps_c == {"tj": 41.5}
    assert source.rule == "VDD_IN by jtop"


def test_jtop_helper_prints_json_lines(python_path: Path) -> None:
    fake_jtop(python_path, f"[{ORIN % 4761}, {{}}]")
    helper = subprocess.run(
        [sys.executable, "-m", "prism_edge.energy.jtop", "0.5"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    first, second, last = helper.stdout.splitlines()
    assert json.loads(first)["rails_mw"] == {"VDD_SOC": 900, "VDD_IN": 4761}
    assert json.loads(second)["rails_mw"] == {}
    assert last == "jtop failed: its service sends no data; restart jtop.service"
    assert (helper.returncode, helper.stderr) == (1, "")


@pytest.mark.parametrize(
    ("enter", "message"),
    [
        ("raise EOFError('lost')", "jtop failed: EOFError: lost"),
        (
            "raise Exception('not active, run:\\nsudo jtop')",
            "its service is down: .*Exception: not active, run: sudo jtop",
        ),
        ("raise ImportError('jtop')", r'jtop is not installed: pip install "prism-edge\[jetson\]"'),
    ],
)
def test_jtop_failures_are_told(python_path: Path, enter: str, message: str) -> None:
    fake_jtop(python_path, "[]", enter)
    with pytest.raises(EnergyError, match=f"board edge-1: jtop helper ended.*{message}"):
        take(jtop_source(board="edge-1"))


def test_jtop_not_installed(python_path: Path) -> None:
    (python_path / "jtop.py").write_text("raise ModuleNotFoundError('jtop')")
    with pytest.raises(EnergyError, match=r'pip install "prism-edge\[jetson\]"'):
        take(jtop_source(board="edge-1"))


def test_a_board_whose_rails_jtop_does_not_know(python_path: Path) -> None:
    fake_jtop(python_path, "[{'rail': {}}] * 5", "pass")
    with pytest.raises(EnergyError, match="jtop knows no power rails of this board"):
        take(jtop_source(board="edge-1"))


@pytest.mark.parametrize(
    ("text", "power_w"),
    [
        ('{"rails_mw": {"VDD_IN": 4000}, "temps_c": {}}', 4.0),
        ('{"rails_mw": {"VDD_SOC": 4000}, "temps_c": {}}', None),
        ('{"rails_mw": {"VDD_IN": NaN, "VDD_SOC": 1}, "temps_c": {}}', None),
        ('{"rails_mw": {"VDD_IN": "4"}, "temps_c": {}}', "jtop knows no power rails"),
        ('{"rails_mw": 4, "temps_c": {}}', "no jtop reading"),
        ('{"rails_mw": {}}', "no jtop reading"),
        ("[]", "no jtop reading"),
        ("Traceback", "no jtop reading"),
    ],
)
def test_jtop_lines(text: str, power_w: float | str | None) -> None:
    found = HelperLines(board="edge-1", by="jtop")(text, 0.0)
    if isinstance(found, Sample):
        assert found.power_w == power_w
    else:
        assert isinstance(power_w, str)
        assert found.startswith(power_w)


def imported(path: Path) -> set[str]:
    tree = ast.walk(ast.parse(path.read_text()))
    nodes = [node for node in tree if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}


def test_one_file_imports_jtop_and_nothing_imports_that_file() -> None:
    files = {path: imported(path) for path in PACKAGE.rglob("*.py")}
    assert [path.name for path, names in files.items() if "jtop" in names] == ["jtop.py"]
    assert not [path for path, names in files.items() if "prism_edge.energy.jtop" in names]

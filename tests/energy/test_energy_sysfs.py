"""Every known layout of the power sensors under /sys is read; what cannot be read is missing."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import ina_tree as tree
import pytest

from prism_edge.energy.choose import choose
from prism_edge.energy.sample import Sample
from prism_edge.energy.sampler import SysfsSource
from prism_edge.energy.sysfs import Board, rails
from prism_edge.errors import EnergyError

ORIN_MW = {"VDD_IN": 4760.0, "VDD_CPU_GPU_CV": 515.0, "VDD_SOC": 1400.0}


def read(root: Path) -> dict[str, float]:
    board = Board(root)
    try:
        return board.rails_mw()
    finally:
        board.close()


def take(source: SysfsSource, count: int) -> list[Sample]:
    async def run() -> list[Sample]:
        async with source:
            return [await source.__anext__() for _ in range(count)]

    return asyncio.run(run())


# --- layouts


@pytest.mark.parametrize(("device", "number"), [(tree.ORIN, 1), (tree.ORIN, 4), (tree.ORIN_5, 3)])
def test_hwmon_of_jetpack_5_to_7(tmp_path: Path, device: str, number: int) -> None:
    tree.hwmon(tmp_path, device, tree.ORIN_RAILS, number)
    assert read(tmp_path) == ORIN_MW


def test_iio_of_jetpack_4(tmp_path: Path) -> None:
    powers = {"POM_5V_IN": 1022, "POM_5V_GPU": -40, "POM_5V_CPU": 204}
    tree.iio(tmp_path, tree.NANO, powers)
    assert read(tmp_path) == powers


def test_two_chips_of_an_agx_orin_without_what_is_not_connected(tmp_path: Path) -> None:
    first = {"VDD_GPU_SOC": (20000, 239), "VDD_CPU_CV": (20000, 40), "VIN_SYS_5V0": (5000, 768)}
    second = {"NC": (0, 0), "VDDQ_VDD2_1V8AO": (5000, 141)}
    tree.hwmon(tmp_path, tree.ORIN, first, 3)
    tree.hwmon(tmp_path, tree.ORIN.replace("0040", "0041"), second, 4)
    assert read(tmp_path) == {
        "VDD_GPU_SOC": 4780,
        "VDD_CPU_CV": 800,
        "VIN_SYS_5V0": 3840,
        "VDDQ_VDD2_1V8AO": 705,
    }
    assert take(SysfsSource(board="a", root=tmp_path), 1)[0].power_w == pytest.approx(10.125)


def test_the_carrier_of_thor_counts_microwatt(tmp_path: Path) -> None:
    module = {"VDD_GPU": (20000, 0), "VDD_CPU_SOC_MSS": (20000, 277), "VIN_SYS_5V0": (5000, 1008)}
    tree.hwmon(tmp_path, tree.ORIN, module, 2)
    tree.ina238(tmp_path, tree.THOR_CARRIER, 16_802_000)
    assert read(tmp_path)["VIN"] == 16802
    sample = take(SysfsSource(board="a", root=tmp_path), 1)[0]
    assert (sample.power_w, sample.rule) == (16.802, "VIN")


def test_no_sensor(tmp_path: Path) -> None:
    assert rails(tmp_path) == ()
    with pytest.raises(EnergyError, match="board a: sysfs: no power rails: run as root or grant"):
        take(SysfsSource(board="a", interval_s=0.001, root=tmp_path), 1)


def test_a_channel_without_a_current_is_no_rail(tmp_path: Path) -> None:
    folder = tree.hwmon(tmp_path, tree.ORIN, {"VDD_IN": (5000, 952)})
    tree.write(folder / "in2_label", "VDD_X")
    tree.write(folder / "in2_input", 5000)
    assert list(read(tmp_path)) == ["VDD_IN"]


# --- what cannot be read


def silent(path: Path) -> None:
    """Reads of it fail, as of a sensor that does not answer."""
    path.unlink()
    path.symlink_to("/proc/self/mem")  # EIO


def busy(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def empty(path: Path) -> None:
    path.write_text("")


def words(path: Path) -> None:
    path.write_text("5000 mV\n")


Damage = Callable[[Path], None]
WITHOUT_INPUT = (None, "VDD_IN", {"VDD_CPU_GPU_CV": 515, "VDD_SOC": 1400})


@pytest.mark.parametrize("damage", [silent, busy, directory, empty, words])
@pytest.mark.parametrize("name", ["in1_input", "curr1_input"])
def test_a_rail_that_cannot_be_read_is_missing_and_so_is_the_total(
    tmp_path: Path, damage: Damage, name: str
) -> None:
    damage(tree.hwmon(tmp_path, tree.ORIN, tree.ORIN_RAILS) / name)
    sample = take(SysfsSource(board="a", root=tmp_path), 1)[0]
    assert (sample.power_w, sample.rule, sample.rails_mw) == WITHOUT_INPUT


@pytest.mark.parametrize("damage", [empty, words])
def test_a_rail_that_goes_away_is_missing_from_then_on(tmp_path: Path, damage: Damage) -> None:
    folder = tree.hwmon(tmp_path, tree.ORIN, tree.ORIN_RAILS)

    async def run() -> tuple[Sample, Sample]:
        async with SysfsSource(board="a", interval_s=0.001, root=tmp_path) as source:
            first = await source.__anext__()
            damage(folder / "in1_input")
            while (sample := await source.__anext__()).power_w is not None:
                pass
            return first, sample

    first, sample = asyncio.run(run())
    assert first.power_w == 4.76
    assert (sample.power_w, sample.rule, sample.rails_mw) == WITHOUT_INPUT


def test_who_listens_can_be_stopped_just_when_a_reading_comes(tmp_path: Path) -> None:
    """A recording would otherwise go on, whose time was up or that was interrupted."""
    tree.hwmon(tmp_path, tree.ORIN, tree.ORIN_RAILS)

    async def run() -> None:
        async with SysfsSource(board="a", interval_s=0.001, root=tmp_path) as source:
            await source.__anext__()

            async def listen() -> None:
                async for _ in source:
                    pass

            listening = asyncio.ensure_future(listen())
            await asyncio.sleep(0)
            time.sleep(0.5)  # readings have come when the loop goes on
            asyncio.get_running_loop().call_soon(listening.cancel)
            await asyncio.wait({listening}, timeout=60)
            assert listening.cancelled()

    asyncio.run(run())


def test_a_sensor_that_is_bound_again_is_read_again(tmp_path: Path) -> None:
    folder = tree.hwmon(tmp_path, tree.ORIN, {"VDD_IN": (5000, 952)})
    board = Board(tmp_path)
    assert board.rails_mw() == {"VDD_IN": 4760}
    silent(folder / "in1_input")
    board._files.close()  # its driver is gone, so the open files fail
    assert board.rails_mw() == {}
    (folder / "in1_input").unlink()
    tree.write(folder / "in1_input", 4000)
    assert board.rails_mw() == {"VDD_IN": 3808}
    board.close()


def test_five_readings_without_a_rail_are_an_error(tmp_path: Path) -> None:
    folder = tree.hwmon(tmp_path, tree.ORIN, {"VDD_IN": (5000, 952)})

    async def run() -> None:
        async with SysfsSource(board="a", interval_s=0.001, root=tmp_path) as source:
            await source.__anext__()
            empty(folder / "in1_input")
            while True:
                await source.__anext__()

    with pytest.raises(EnergyError, match="no power rails"):
        asyncio.run(run())


# --- what else a sample holds


def test_over_current_events_are_differences(tmp_path: Path) -> None:
    tree.hwmon(tmp_path, tree.ORIN, tree.ORIN_RAILS)
    first = tree.counter(tmp_path, 2, "oc1", 7)
    third = tree.counter(tmp_path, 2, "oc3", 0)
    board = Board(tmp_path)
    assert board.events() == {}  # what was before is not ours
    tree.write(first, 9)
    assert board.events() == {"oc1": 2}
    assert board.events() == {}
    tree.write(first, 1)  # it began again at 0
    tree.write(third, 4)
    assert board.events() == {"oc1": 1, "oc3": 4}
    empty(third)
    assert board.events() == {}
    board.close()


def test_zones_that_are_on(tmp_path: Path) -> None:
    tree.zone(tmp_path, 0, "cpu-thermal", 48468)
    tree.zone(tmp_path, 1, "gpu-thermal", -256000)
    busy(tree.zone(tmp_path, 2, "cv0-thermal", ""))
    tree.zone(tmp_path, 8, "tj-thermal", -1250)
    board = Board(tmp_path)
    assert board.temps_c() == {"cpu": 48.468, "tj": -1.25}
    board.close()


def test_samples_come_in_time_and_carry_everything(tmp_path: Path) -> None:
    tree.hwmon(tmp_path, tree.ORIN, tree.ORIN_RAILS)
    tree.zone(tmp_path, 0, "tj-thermal", 49156)
    tree.counter(tmp_path, 2, "oc1", 7)
    source = SysfsSource(board="edge-1", interval_s=0.001, root=tmp_path)
    samples = take(source, 5)
    assert source.rule == "VDD_IN"
    assert samples[0].temps_c == {"tj": 49.156}
    for sample in samples:
        assert (sample.power_w, sample.rails_mw, sample.source) == (4.76, ORIN_MW, "sensor")
    stamps = [sample.monotonic_s for sample in samples if sample.monotonic_s is not None]
    assert stamps == sorted(stamps)
    assert len(set(stamps)) == 5
    for thread in threading.enumerate():
        if thread.name == "power":
            thread.join()  # it ends, however long it was held up


def test_a_declared_total(tmp_path: Path) -> None:
    tree.hwmon(tmp_path, tree.ORIN, {"NEW_A": (1000, 1000), "NEW_B": (1000, 2000)})
    unknown = take(SysfsSource(board="a", root=tmp_path), 1)[0]
    assert (unknown.power_w, unknown.rule) == (None, None)
    assert unknown.rails_mw == {"NEW_A": 1000, "NEW_B": 2000}
    told = take(SysfsSource(board="a", root=tmp_path, total=("NEW_B",)), 1)[0]
    assert (told.power_w, told.rule) == (2.0, "declared: NEW_B")


def test_an_interval_is_above_0(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="interval_s is 0"):
        SysfsSource(board="a", interval_s=0, root=tmp_path)


# --- the choice


def program(folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    shutil.copy("/bin/true", folder / name)


def test_sysfs_is_first_where_all_rails_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tree.hwmon(tmp_path, tree.ORIN, tree.ORIN_RAILS)
    program(tmp_path / "bin", "tegrastats")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = choose(root=tmp_path)
    assert found.kind == "sysfs"
    assert found.reasons == {"sysfs": "reads VDD_IN, VDD_CPU_GPU_CV, VDD_SOC"}
    silent(folder / "in3_input")
    found = choose(root=tmp_path)
    assert found.kind == "tegrastats"
    assert found.reasons["sysfs"].startswith("VDD_SOC cannot be read: run as root or grant")
    assert found.reasons["tegrastats"] == str(tmp_path / "bin" / "tegrastats")


def test_without_anything_every_reason_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.path", [])
    found = choose(root=tmp_path)
    assert found.kind == "none"
    assert found.why == (
        "sysfs: no INA3221 or INA238 has a driver here; tegrastats: not on PATH; "
        "jtop: jetson-stats is not installed; none: nothing is left"
    )


def test_jtop_is_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "jtop.py").write_text("raise AssertionError('never imported here')")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert choose(root=tmp_path).reasons["jtop"] == "its service does not run: no /run/jtop.sock"
    tree.write(tmp_path / "run/jtop.sock", "")
    assert choose(root=tmp_path).kind == "jtop"


def test_a_source_can_be_told(tmp_path: Path) -> None:
    assert choose("jtop", tmp_path).reasons == {"jtop": "as told"}
    with pytest.raises(EnergyError, match="'nvml' is unknown; allowed: auto, sysfs, tegrastats"):
        choose("nvml", tmp_path)

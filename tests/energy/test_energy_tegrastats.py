"""Every recorded line parses to the values a person read in it; nothing raises."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prism_edge.energy.tegrastats import Core, Reading, parse

DATA = Path(__file__).parents[1] / "data" / "tegrastats"

XAVIER_OFF = "2@1190 0@1190 0@1190 0@1190 off off off off"
ORIN_IDLE = "0@729 0@729 0@729 0@729 0@729"

# file -> per line: RAM used/total, cores, GR3D load, temperatures, rails; read by eye.
EXPECTED: dict[str, list[tuple[str, str, int | None, str, str]]] = {
    "agx-orin-32gb-jp5-nonroot-no-power": [
        (
            "1438/30622",
            "2@729 0@729 4@729 0@729 2@729 0@729 0@729 2@729",
            0,
            "CPU 44.437 Tboard 36 SOC2 42.562 Tdiode 35.75 SOC0 42.062 tj 44.437 SOC1 43.031",
            "",
        )
    ],
    "agx-orin-32gb-jp5.0-offzones": [
        (
            "1205/30623",
            "0@729 0@729 1@729 0@729 0@729 0@730 0@730 0@729 0@729 0@729 0@729 0@729",
            0,
            "CPU 43.5 Tdiode 32.5 SOC2 40.062 SOC0 40.5 GPU 38.156 SOC1 39.125",
            "VDD_GPU_SOC 4788 VDD_CPU_CV 798 VIN_SYS_5V0 3842 VDDQ_VDD2_1V8AO 707",
        ),
        (
            "1206/30623",
            "1@732 0@729 0@729 0@729 0@729 0@729 0@729 0@728 0@728 0@729 0@730 0@729",
            0,
            "CPU 43.906 Tdiode 32.75 SOC2 40.093 SOC0 40.593 GPU 38 SOC1 39.031",
            "VDD_GPU_SOC 4788 VDD_CPU_CV 798 VIN_SYS_5V0 3842 VDDQ_VDD2_1V8AO 707",
        ),
    ],
    "agx-orin-64gb-jp6-nonroot": [
        (
            "2448/62840",
            "0@2201 0@2201 0@2201 0@2201 0@2201 0@2201 0@2201 0@2201 0@2201 0@2201 0@2201 0@2201",
            0,
            "cpu 42 soc2 37.843 soc0 39.187 gpu 37.75 tj 42 soc1 37.937",
            "VDD_GPU_SOC 4940 VDD_CPU_CV 988 VIN_SYS_5V0 4442",
        )
    ],
    "agx-orin-64gb-jp6.2.1-root": [
        (
            "18207/62841",
            "14@2188 5@2112 8@2035 14@2201 46@1267 47@1267 "
            "2@1267 10@1267 4@1036 5@1036 6@1036 10@1036",
            0,
            "cpu 52.562 soc2 48.437 soc0 49.093 tj 52.562 soc1 49.656",
            "VDD_GPU_SOC 2412 VDD_CPU_CV 1607 VIN_SYS_5V0 4707",
        ),
        (
            "18202/62841",
            "16@1949 6@1761 4@1222 4@2201 4@1036 33@1036 "
            "0@1036 40@1036 3@1190 46@1190 6@1190 2@1190",
            0,
            "cpu 52.343 soc2 48.343 soc0 49.062 tj 52.343 soc1 49.531",
            "VDD_GPU_SOC 2412 VDD_CPU_CV 1607 VIN_SYS_5V0 4607",
        ),
        (
            "18203/62841",
            "14@729 5@1648 4@1645 3@2050 3@1113 0@1113 "
            "0@1113 70@1113 4@1651 32@1651 3@1651 15@1651",
            0,
            "cpu 52.156 soc2 48.468 soc0 49.218 tj 52.156 soc1 49.625",
            "VDD_GPU_SOC 2412 VDD_CPU_CV 1607 VIN_SYS_5V0 4707",
        ),
    ],
    "agx-orin-64gb-jp7.2-root-offcores": [
        (
            "4714/62878",
            "78@1728 33@1728 46@1728 55@1728 49@729 48@729 37@729 57@729 off off off off",
            0,
            "cpu 50.718 soc2 47.656 soc0 47.156 tj 50.718 soc1 49",
            "VDD_GPU_SOC 2265 VDD_CPU_CV 2643 VIN_SYS_5V0 4722",
        )
    ],
    "agx-xavier-32gb-jp4-sudo-offcores": [
        (
            "721/31927",
            XAVIER_OFF,
            0,
            "AO 37.5 GPU 37.5 Tdiode 40 PMIC 100 AUX 36 CPU 37.5 thermal 36.9 Tboard 37",
            "GPU 0 CPU 311 SOC 932 CV 0 VDDRQ 621 SYS5V 1482",
        )
    ],
    "constructed-blank-runs": [
        (
            "775/7620",
            "1@729 0@729 0@729 0@729 off off",
            0,
            "cpu 48.468 soc2 47.531 soc0 48.062 tj 49.156",
            "VDD_IN 4761 VDD_CPU_GPU_CV 515 VDD_SOC 1428",
        )
    ],
    "constructed-negatives": [
        (
            "417/3964",
            "0@1428 0@1428 0@1428 0@1428",
            0,
            "PLL -7.5 CPU -3 PMIC 100 GPU -5.5 AO 0 thermal -4.25",
            "POM_5V_IN 1828 POM_5V_GPU -40 POM_5V_CPU 243",
        ),
        (
            "17842/125772",
            "0@972 0@972 0@1566 0@1566 0@972 0@972 0@972 0@972 0@972 0@972 1@972 0@972 0@972 0@972",
            None,
            "cpu -2.5 tj -1.218 soc012 -3 soc345 -2",
            "VDD_GPU -118 VDD_CPU_SOC_MSS 5535 VIN_SYS_5V0 5040 VIN 16802",
        ),
    ],
    "nano-4gb-jp4.x-sudo": [
        (
            "534/3964",
            "16@204 9@204 0@204 0@204",
            0,
            "PLL 34 CPU 36.5 PMIC 100 GPU 36 AO 39.5 thermal 36.25",
            "POM_5V_IN 1022 POM_5V_GPU 0 POM_5V_CPU 204",
        )
    ],
    "nano-jp4.2-sudo-cold": [
        (
            "417/3964",
            "0@1428 0@1428 0@1428 0@1428",
            0,
            "PLL 15.5 CPU 20 PMIC 100 GPU 17.5 AO 24.5 thermal 18.75",
            "POM_5V_IN 1828 POM_5V_GPU 121 POM_5V_CPU 243",
        )
    ],
    "nano-jp4.2-sudo-noswap": [
        (
            "1446/3957",
            "17@1428 11@1428 21@1428 12@1428",
            0,
            "PLL 20.5 CPU 24.5 PMIC 100 GPU 21 AO 29.5 thermal 22.25",
            "POM_5V_IN 2830 POM_5V_GPU 41 POM_5V_CPU 943",
        )
    ],
    "nano-jp4.x-nonroot": [
        (
            "1766/3964",
            "24@1224 15@1224 13@1224 10@1224",
            0,
            "PLL 21 CPU 25 PMIC 100 GPU 23.5 AO 33.5 thermal 24.5",
            "POM_5V_IN 2545 POM_5V_GPU 0 POM_5V_CPU 549",
        )
    ],
    "orin-nano-4gb-jp6-sudo-truncated": [
        (
            "1484/3602",
            "3@729 2@729 1@729 0@729 1@729 1@729",
            0,
            "cpu 56.281 soc2 55.843 soc0 54.093 gpu 55.843 tj 56.281 soc1 56.187",
            "VDD_IN 4428 VDD_CPU_GPU_CV 562",
        )
    ],
    "orin-nano-8gb-jp6-nonroot-lost-unit": [
        (
            "3162/7620",
            "1@729 0@729 0@729 0@729 off off",
            1,
            "cpu 62.843 soc2 61.968 soc0 60.625 gpu 61.687 tj 62.843 soc1 61.687",
            "VDD_IN 3913 VDD_CPU_GPU_CV 598 VDD_SOC 1238",
        )
    ],
    "orin-nano-8gb-jp6-nonroot": [
        (
            "775/7620",
            "1@729 " + ORIN_IDLE,
            0,
            "cpu 48.468 soc2 47.531 soc0 48.062 gpu 48.562 tj 49.156 soc1 49.156",
            "VDD_IN 4761 VDD_CPU_GPU_CV 515 VDD_SOC 1428",
        ),
        (
            "775/7620",
            "0@729 " + ORIN_IDLE,
            0,
            "cpu 48.625 soc2 47.468 soc0 48 gpu 48.593 tj 49.218 soc1 49.218",
            "VDD_IN 4761 VDD_CPU_GPU_CV 515 VDD_SOC 1428",
        ),
    ],
    "orin-nano-super-jp6.2-sudo": [
        (
            "1343/7620",
            "0@1497 " + ORIN_IDLE,
            0,
            "cpu 48.562 soc2 46.593 soc0 48.625 gpu 49.625 tj 49.312 soc1 47.937",
            "VDD_IN 5251 VDD_CPU_GPU_CV 512 VDD_SOC 2720",
        ),
        (
            "6712/7620",
            "38@1497 2@729 1@729 0@729 1@729 0@729",
            99,
            "cpu 57.125 soc2 55.093 soc0 56.625 gpu 58.625 tj 58.312 soc1 55.937",
            "VDD_IN 16321 VDD_CPU_GPU_CV 7104 VDD_SOC 3120",
        ),
    ],
    "orin-nx-16gb-jp5.1.1-root": [
        (
            "6334/15388",
            "6@729 9@729 5@729 16@729 off off off off",
            0,
            "CV0 45.812 CPU 47.937 SOC2 46.093 SOC0 46.968 CV1 46.406 "
            "GPU 45.875 tj 48.875 SOC1 48.875 CV2 45.75",
            "VDD_IN 5299 VDD_CPU_GPU_CV 773 VDD_SOC 1424",
        )
    ],
    "thor-jp7-nonroot": [
        (
            "17842/125772",
            "0@972 0@972 0@1566 0@1566 0@972 0@972 0@972 0@972 0@972 0@972 1@972 0@972 0@972 0@972",
            None,
            "cpu 30.468 tj 31.218 soc012 30.218 soc345 31.218",
            "VDD_GPU 0 VDD_CPU_SOC_MSS 5535 VIN_SYS_5V0 5040 VIN 16802",
        )
    ],
    "thor-jp7-single-power": [
        (
            "117456/125772",
            "0@1890 5@1890 2@972 0@972 0@972 0@972 0@972 "
            "0@972 0@1566 0@1566 1@972 2@972 1@972 2@972",
            None,
            "cpu 43.812 tj 44.218 soc012 42.5 gpu 43.968 soc345 44.187",
            "VDD_GPU 5517 VDD_CPU_SOC_MSS 7484 VIN_SYS_5V0 6309 VIN 28548",
        )
    ],
    "thor-jp7.1-root-gpu-gated": [
        (
            "4208/125773",
            "1@972 0@972 0@972 0@972 1@972 0@972 1@972 1@972 0@972 0@972 3@972 0@972 0@972 1@972",
            None,
            "cpu 34.468 tj 34.5 soc012 33.781 soc345 34.5",
            "VDD_GPU 0 VDD_CPU_SOC_MSS 4165 VIN_SYS_5V0 4126",
        ),
        (
            "4280/125773",
            "0@972 0@972 0@972 0@972 1@972 0@972 1@972 "
            "0@972 0@2601 17@2601 1@972 9@972 0@972 1@972",
            None,
            "cpu 35.25 tj 36.031 soc012 36.062 soc345 34.5",
            "VDD_GPU 0 VDD_CPU_SOC_MSS 4923 VIN_SYS_5V0 4327",
        ),
        (
            "4309/125773",
            "9@972 2@972 1@972 0@972 2@972 11@972 9@972 "
            "17@972 1@972 20@972 2@972 2@972 16@972 3@972",
            None,
            "cpu 34.468 tj 34.468 soc012 33.843 soc345 34.468",
            "VDD_GPU 0 VDD_CPU_SOC_MSS 4544 VIN_SYS_5V0 4428",
        ),
    ],
    "thor-jp7.2-root-double-temp": [
        (
            "9101/125811",
            "39@2160 20@2160 16@1944 15@1944 17@972 15@972 19@2214 "
            "22@2214 13@2430 20@2430 26@972 19@972 15@1836 22@1836",
            None,
            "cpu 34.843 tj 35.906 soc012 34.437 gpu 35.906 soc345 34.406",
            "VDD_GPU 4925 VDD_CPU_SOC_MSS 8710 VIN_SYS_5V0 6767",
        ),
        (
            "9091/125811",
            "40@972 16@972 18@972 20@972 13@972 11@972 15@972 "
            "19@972 10@972 15@972 28@972 11@972 11@972 15@972",
            None,
            "cpu 34.312 tj 35.906 soc012 34.093 gpu 35.906 soc345 34.437",
            "VDD_GPU 4925 VDD_CPU_SOC_MSS 7953 VIN_SYS_5V0 6667",
        ),
    ],
    "thor-jp7.2-wendyos-triple-power": [
        (
            "36529/125749",
            "2@972 1@972 0@972 0@972 0@972 0@972 0@972 0@972 0@972 0@972 0@972 0@972 0@972 2@972",
            None,
            "cpu 60.406 tj 63.281 soc012 58.468 gpu 62.906 soc345 63.281",
            "VDD_GPU 37528 VDD_CPU_SOC_MSS 18961 VIN_SYS_5V0 18331 VIN 87426",
        )
    ],
    "tx1-jp4-sudo": [
        (
            "1179/3983",
            "1@102 4@102 0@102 0@102",
            0,
            "AO 42.5 CPU 37.5 GPU 39 PLL 37 Tdiode 42.75 PMIC 100 Tboard 42 thermal 38.5",
            "VDD_IN 2532 VDD_CPU 76 VDD_GPU 19",
        )
    ],
    "tx2-jp4-sudo-mts": [
        (
            "3276/7859",
            "44@1421 49@2031 67@2034 17@1420 25@1419 8@1420",
            0,
            "PLL 42.5 MCPU 42.5 PMIC 50 Tboard 38 GPU 39.5 BCPU 42.5 thermal 41.3 Tdiode 39.25",
            "VDD_SYS_GPU 182 VDD_SYS_SOC 730 VDD_4V0_WIFI 0 VDD_IN 5297 "
            "VDD_SYS_CPU 1917 VDD_SYS_DDR 1241",
        )
    ],
    "xavier-nx-jp4-sudo-waggle": [
        (
            "5246/7771",
            "47@1420 23@1420 32@1420 22@1420 31@1420 96@1420",
            0,
            "AO 29 GPU 31.5 PMIC 100 AUX 30 CPU 33.5 thermal 31.35",
            "VDD_IN 6140 VDD_CPU_GPU_CV 2706 VDD_SOC 1074",
        )
    ],
    "xavier-nx-jp4-sudo": [
        (
            "4412/7772",
            "9@1190 6@1190 6@1190 5@1190 4@1190 8@1267",
            62,
            "AO 41.5 GPU 43 PMIC 100 AUX 41.5 CPU 43.5 thermal 42.55",
            "VDD_IN 4067 VDD_CPU_GPU_CV 738 VDD_SOC 1353",
        )
    ],
    "xavier-nx-jp5-sudo-offcores": [
        (
            "2690/6854",
            "3@1904 7@1906 1@1905 0@1907 off off",
            0,
            "AUX 39 CPU 39.5 AO 37.5 GPU 37.5 PMIC 50",
            "VDD_IN 5079 VDD_CPU_GPU_CV 696 VDD_SOC 1104",
        )
    ],
    "xavier-nx-jp5.1.2-sudo": [
        (
            "3168/6851",
            "23@1397 17@1192 16@1190 13@1190 23@1190 10@1190",
            0,
            "AUX 45 CPU 46.5 thermal 45.6 AO 45 GPU 45.5 PMIC 50",
            "VDD_IN 2763 VDD_CPU_GPU_CV 650 VDD_SOC 650",
        )
    ],
}
ODD = {"thor-jp7-abbreviated-cpu", "tx1-2017-legacy-sudo"}  # tested one by one below
LINE = (DATA / "orin-nano-super-jp6.2-sudo.txt").read_text().splitlines()[1]


def lines(name: str) -> list[str]:
    return (DATA / f"{name}.txt").read_text().splitlines()


def pairs(text: str) -> dict[str, float]:
    words = text.split()
    return {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}


def core(text: str) -> Core:
    load, _, freq = text.partition("@")
    if load == "off":
        return Core(load_pct=None, freq_mhz=None)
    return Core(load_pct=int(load), freq_mhz=int(freq))


def reading(line: str) -> Reading:
    found = parse(line)
    assert found is not None
    return found


def test_every_recorded_file_is_tested() -> None:
    assert {path.stem for path in DATA.glob("*.txt")} == set(EXPECTED) | ODD


@pytest.mark.parametrize("name", EXPECTED)
def test_recorded_lines(name: str) -> None:
    recorded = lines(name)
    assert len(recorded) == len(EXPECTED[name])
    for line, (ram, cores, load_pct, temps, rails) in zip(recorded, EXPECTED[name], strict=True):
        assert reading(line) == Reading(
            ram_used_mb=int(ram.split("/")[0]),
            ram_total_mb=int(ram.split("/")[1]),
            cpu=tuple(core(text) for text in cores.split()),
            gr3d_load_pct=load_pct,
            temps_c=pairs(temps),
            rails_mw={rail: int(mw) for rail, mw in pairs(rails).items()},
            unknown=(),
        )


def test_expectations_can_fail() -> None:
    """Negative control: a wrong digit anywhere in the line changes the reading."""
    assert reading(LINE.replace("16321mW", "16322mW")) != reading(LINE)
    assert reading(LINE.replace("tj@58.312C", "tj@58.313C")) != reading(LINE)
    assert reading(LINE.replace("38%@1497", "38%@1498")) != reading(LINE)
    assert reading(LINE.replace("/11204mW", "/99999mW")) == reading(LINE)  # averages are not read


def test_abbreviated_core_list_keeps_what_is_there() -> None:
    found = reading(lines("thor-jp7-abbreviated-cpu")[0])
    assert found.cpu == (Core(load_pct=2, freq_mhz=972),)
    assert found.unknown == ("...",)
    assert (found.ram_used_mb, found.ram_total_mb) == (16614, 125772)
    assert found.temps_c == {"cpu": 35.25, "tj": 36.343}
    assert found.rails_mw == {
        "VDD_GPU": 5956,
        "VDD_CPU_SOC_MSS": 7148,
        "VIN_SYS_5V0": 6807,
        "VIN": 25530,
    }


def test_lines_older_than_jetpack_4_give_ram_only() -> None:
    for line in lines("tx1-2017-legacy-sudo"):
        found = reading(line)
        assert (found.ram_used_mb, found.ram_total_mb) == (277, 3854)
        assert (found.cpu, found.temps_c, found.rails_mw) == ((), {}, {})
        assert found.unknown


def test_date_is_optional_and_changes_nothing() -> None:
    assert LINE.startswith("10-08-2026 04:35:02 ")
    assert parse(LINE[20:]) == parse(LINE)


@pytest.mark.parametrize(
    ("field", "load_pct"),
    [
        ("GR3D_FREQ 7%", 7),
        ("GR3D_FREQ 7%@76", 7),
        ("GR3D_FREQ 7%@[510]", 7),
        ("GR3D_FREQ 7%@[0,0] GR3D2_FREQ 9%@0", 7),
        ("GR3D_FREQ @[314,314,314]", None),
        ("GR3D_FREQ off", None),
        ("GR3D_FREQ NaN%", None),
        ("", None),
    ],
)
def test_gpu_load(field: str, load_pct: int | None) -> None:
    found = reading(f"RAM 1/2MB (lfb 1x4MB) CPU [1%@2] {field} cpu@3C")
    assert found.gr3d_load_pct == load_pct
    assert found.unknown == ()


@pytest.mark.parametrize(
    ("rail", "mw"),
    [
        ("VDD_IN 5mW", 5),
        ("VDD_IN 5/6", 5),
        ("VDD_IN 5mW/6mW", 5),
        ("VDD_IN 5mW/6", 5),
        ("VDD_IN 5mW/6mW/7mW", 5),
        ("VDD_IN -5mW/-6mW/7mW", -5),
        ("VDD_IN NaNmW/6mW", None),
        ("VDD_IN NaN", None),
        ("NC 5mW/6mW", None),
    ],
)
def test_rail_shapes(rail: str, mw: int | None) -> None:
    found = reading(f"RAM 1/2MB (lfb 1x4MB) CPU [1%@2] {rail} VDD_SOC 8mW/9mW")
    expected = {"VDD_SOC": 8} if mw is None else {"VDD_IN": mw, "VDD_SOC": 8}
    assert found.rails_mw == expected
    assert found.unknown == ()


def test_off_zones_and_missing_temperatures_are_absent() -> None:
    found = reading("RAM 1/2MB CPU [1%@2] CV0@-256C cpu@NaNC gpu@-99.5C tj@4C/5C PMIC@100C")
    assert found.temps_c == {"gpu": -99.5, "tj": 4.0, "PMIC": 100.0}
    assert found.unknown == ()


def test_cores_with_one_clock_for_all() -> None:
    found = reading("RAM 1/2MB CPU [3%,off,5%@7]@1912")
    assert found.cpu == (
        Core(load_pct=3, freq_mhz=1912),
        Core(load_pct=None, freq_mhz=None),
        Core(load_pct=5, freq_mhz=7),
    )
    assert reading("RAM 1/2MB CPU [3%]").cpu == (Core(load_pct=3, freq_mhz=None),)
    assert reading("RAM 1/2MB CPU [3%@0]@7").cpu == (Core(load_pct=3, freq_mhz=0),)


@pytest.mark.parametrize(("unit", "used_mb"), [("k", 2.0), ("M", 2048.0), ("G", 2097152.0)])
def test_memory_units(unit: str, used_mb: float) -> None:
    assert reading(f"RAM 2048/4096{unit}B (lfb 1x512kB)").ram_used_mb == used_mb


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        "\n",
        "RAM",
        "RAM 5/6",
        "10-08-2026 04:35:02",
        "SWAP 0/5MB (cached 0MB)",
        "RAMS 1/2MB",
    ],
)
def test_a_line_without_ram_is_no_sample(line: str) -> None:
    assert parse(line) is None


def test_unknown_tokens_are_counted_and_cost_nothing_else() -> None:
    found = reading(LINE.replace("APE 200", "APE 200 ??? x=1 [2] NEW_FIELD a/b"))
    assert found.unknown == ("???", "x=1", "[2]", "NEW_FIELD", "a/b")
    assert (found.rails_mw, found.cpu) == (reading(LINE).rails_mw, reading(LINE).cpu)


def test_a_cut_line_never_invents_a_rail_or_a_power() -> None:
    whole = reading(LINE)
    for length in range(len(LINE)):
        found = parse(LINE[:length])
        if found is not None:
            assert found.rails_mw.items() <= whole.rails_mw.items()
            assert found.temps_c.items() <= whole.temps_c.items()


FRAGMENTS = st.sampled_from(
    [
        "RAM",
        "1/2MB",
        "(lfb",
        "1x4MB)",
        "CPU",
        "CPU [",
        "[1%@2,off]",
        "@",
        "%",
        "NaN",
        "-256C",
        "mW",
        "VDD_IN 1mW/2mW",
        "MTS fg 1%",
        "SWAP 0/1MB",
        "GR3D_FREQ",
        "99%@[1,2]",
        "٣",
        "\x00",
        "999999999",
    ]
)


@given(st.text() | st.lists(FRAGMENTS | st.text(max_size=3)).map(" ".join))
@example("RAM " + "9" * 5000 + "/1MB")
@example("RAM 1/2MB VDD_IN " + "9" * 5000 + "mW cpu@" + "9" * 5000 + "C CPU [" + "9" * 5000 + "%]")
@example("CPU [" * 2000)
def test_nothing_raises(line: str) -> None:
    found = parse(line)
    assert found is None or found.ram_used_mb >= 0


@given(st.integers(0, len(LINE)), st.text(max_size=5))
def test_damage_inside_a_real_line_never_raises(position: int, damage: str) -> None:
    parse(LINE[:position] + damage + LINE[position + len(damage) :])

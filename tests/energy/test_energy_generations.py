"""10,000 lines of every JetPack generation give back what they were made of; 10,000 damaged ones
never raise and never say a wrong number."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping

import pytest
from tegrastats_lines import GENERATIONS, Line, Writer

from prism_edge.energy.source import Kinds
from prism_edge.energy.tegrastats import Reading, parse

LINES = 10_000
ANY = "".join(map(chr, range(32, 127))) + "\t\n\x00é٣�"


def written(generation: str, count: int, seed: int = 7) -> list[Line]:
    r = random.Random(f"{generation} {seed}")
    return [GENERATIONS[generation](Writer(r)) for _ in range(count)]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_what_was_printed_is_read(generation: str) -> None:
    for line in written(generation, LINES):
        assert parse(line.text) == line.reading, line.text


def test_the_writer_prints_every_shape_there_is() -> None:
    """Control: a writer that never printed them would prove nothing."""
    text = "\n".join(line.text for name in GENERATIONS for line in written(name, 300))
    shapes = (
        r"GR3D_FREQ \d+% ", r"%@\[510\]", r"%@\[0,0\]", r" @\[0,0,0\]", "GR3D2_FREQ", "MTS fg",
        "@-256C", "NC 0mW/0mW", r"mW/\d+(?:\s|$)", r"mW/\d+mW/\d+mW", r"\dmW(?:\s|$)", r"\d/\d+\s",
        "IRAM", "off,", r"@-\d", r" -\d+mW", "C/-?[0-9]", "   ", " \n", "VIN ", r"VDD_IN +-?\d+/",
    )  # fmt: skip
    missing = [shape for shape in shapes if not re.search(shape, text)]
    assert missing == []


# --- damage


def replaced(r: random.Random, text: str) -> str:
    at = r.randrange(len(text))
    return text[:at] + r.choice(ANY) + text[at + 1 :]


def inserted(r: random.Random, text: str) -> str:
    at = r.randrange(len(text) + 1)
    return text[:at] + r.choice(ANY) + text[at:]


def deleted(r: random.Random, text: str) -> str:
    at = r.randrange(len(text))
    return text[:at] + text[at + 1 :]


def swapped(r: random.Random, text: str) -> str:
    at = r.randrange(len(text) - 1)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def cut(r: random.Random, text: str) -> str:
    return text[: r.randrange(len(text))]


def token_lost(r: random.Random, text: str) -> str:
    tokens = text.split(" ")
    del tokens[r.randrange(len(tokens))]
    return " ".join(tokens)


def token_twice(r: random.Random, text: str) -> str:
    tokens = text.split(" ")
    at = r.randrange(len(tokens))
    return " ".join(tokens[: at + 1] + tokens[at:])


DAMAGE: tuple[Callable[[random.Random, str], str], ...] = (
    replaced, inserted, deleted, swapped, cut, token_lost, token_twice,
)  # fmt: skip


def shape(text: str) -> str:
    """The line but for what numbers are: another digit, sign or unit is another number, as is one
    whose first digits became blanks, and no reader can know."""
    return re.sub(r"[kMG]B", "MB", re.sub(r"[0-9.-]+", "0", " ".join(text.split())))


def wrong(found: Mapping[str, float], true: Mapping[str, float]) -> dict[str, float]:
    """What has another value than was printed."""
    return {name: value for name, value in found.items() if value != true.get(name, value)}


def complaint(damaged: str, line: Line) -> str | None:
    """What is wrong with the reading of a damaged line; None: nothing."""
    found, true = parse(damaged), line.reading
    if found is None or shape(damaged) == shape(line.text):
        return None
    if (found.ram_used_mb, found.ram_total_mb) != (true.ram_used_mb, true.ram_total_mb):
        return "RAM"
    if bad := wrong(found.rails_mw, true.rails_mw) | wrong(found.temps_c, true.temps_c):
        return str(bad)
    new = (found.rails_mw.keys() - true.rails_mw) | (found.temps_c.keys() - true.temps_c)
    if new and not found.unknown:
        return str(new)
    if found.gr3d_load_pct not in (None, true.gr3d_load_pct):
        return "GR3D"
    if found.cpu not in ((), true.cpu) and not found.unknown:
        return "CPU"
    return None


def unsaid(damaged: str, line: Line) -> bool:
    """Whether a value is gone and nothing was reported."""
    found, true = parse(damaged), line.reading
    if found is None or found.unknown:
        return False
    names = len(found.rails_mw) + len(found.temps_c), len(true.rails_mw) + len(true.temps_c)
    gpu = found.gr3d_load_pct is None and true.gr3d_load_pct is not None
    return names[0] < names[1] or gpu or len(found.cpu) != len(true.cpu)


def damaged_lines() -> list[tuple[str, Line, str]]:
    r = random.Random(11)
    lines = [line for name in GENERATIONS for line in written(name, LINES // len(GENERATIONS), 8)]
    found = []
    for number, line in enumerate(lines):
        how = DAMAGE[number % len(DAMAGE)]
        found.append((how(r, line.text), line, how.__name__))
    return found


def test_damaged_lines_never_say_a_wrong_number() -> None:
    lines = damaged_lines()
    assert len(lines) == LINES
    bad = [(how, complaint(text, line), text) for text, line, how in lines if complaint(text, line)]
    assert bad == []


def test_damage_is_reported_with_what_it_cost() -> None:
    """Of what was left out by whoever sent the line nobody can know."""
    silent = [
        (how, text, line.text)
        for text, line, how in damaged_lines()
        if how not in ("cut", "token_lost") and unsaid(text, line)
    ]
    assert silent == []


def test_the_controls_of_damage_can_fail() -> None:
    """A reading that took what stands there would be caught."""
    line = written("JetPack 6", 1)[0]
    rail = next(iter(line.reading.rails_mw))
    assert complaint(line.text.replace(f"{rail} ", f"{rail} 1mW/", 1), line) is not None
    assert unsaid(line.text.replace(f"{rail} ", "NC "), line)


@pytest.mark.parametrize(
    ("token", "rails_mw"),
    [
        ("VDD_IN 52/51mW/8535mW", {}),  # a digit became a slash
        ("VDD_IN 10221022", {}),  # the slash is gone
        ("VDD_IN 5251mW/85mW VDD_IN 5252mW/85mW", {}),  # which?
        ("POM_5V_IN 10/22/1022", {}),
        ("APE 2/5", {}),
        ("VDD_IN 5251mW /8535mW", {"VDD_IN": 5251}),
    ],
)
def test_a_broken_rail_is_reported_and_has_no_value(token: str, rails_mw: dict[str, int]) -> None:
    found = parse(f"RAM 1/2MB {token}")
    assert found is not None
    assert found.rails_mw == rails_mw
    assert found.unknown


@pytest.mark.parametrize("token", ["cpu@48562C", "cpu@-257C", "cpu@1C cpu@2C", "GR3D_FREQ 101%"])
def test_an_impossible_reading_is_reported_and_has_no_value(token: str) -> None:
    found = parse(f"RAM 1/2MB {token}")
    assert found is not None
    assert (found.temps_c, found.gr3d_load_pct) == ({}, None)
    assert found.unknown


def test_kinds_are_said_once_and_not_without_end() -> None:
    kinds = Kinds()
    assert kinds.new(("x=1", "y")) == ["x=1", "y"]
    assert kinds.new(("x=22", "y", "z")) == ["z"]
    said = [token for number in range(100) for token in kinds.new(("a" * number,))]
    assert len(said) < 20


def test_readings_are_whole() -> None:
    """Every field of a reading is compared above: none was left at its default."""
    names = set(Reading.__dataclass_fields__)
    lines = [line.reading for name in GENERATIONS for line in written(name, 50)]
    filled = {name for reading in lines for name in names if getattr(reading, name)}
    assert filled == names - {"unknown"}

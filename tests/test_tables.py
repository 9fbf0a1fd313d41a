"""Tables: what is written is read back; whatever is damaged is refused by file and line."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from measured import VIT, profile

from prism_edge import tables
from prism_edge.errors import TableError
from prism_edge.tables import (
    AccuracyRow,
    BoardInfo,
    ComputeRow,
    LinkRow,
    ModelEntry,
    Profile,
    RequestRow,
    StagingRow,
)

FILES = ("profile.toml", "compute.csv", "staging.csv", "link.csv", "request.csv", "accuracy.csv")


def full() -> Profile:
    """One small profile with something in every table."""
    return dataclasses.replace(
        profile(batches=(1,), segments=(10,)),
        staging=(
            StagingRow(
                board="edge-1", path="copy", direction="d2h", bytes=4096, repeat=0, latency_s=1e-6
            ),
        ),
        request=(
            RequestRow(
                plan="prism:p=2,l=10,dtype=fp16",
                model="net",
                batch=1,
                tokens=197,
                repeat=0,
                latency_s=0.25,
            ),
        ),
        accuracy=(
            AccuracyRow(
                model="net", plan="local", dataset="digits", metric="loss", value=-0.5, n=100
            ),
        ),
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    tables.write(tmp_path / "lab", full())
    return tmp_path / "lab"


def edit(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text()
    after = change(before)
    assert before != after, "the damage did nothing"
    path.write_text(after)


def refusal(directory: Path) -> str:
    with pytest.raises(TableError) as caught:
        tables.read(directory)
    return str(caught.value)


def test_what_is_written_is_read_back(directory: Path) -> None:
    assert tables.read(directory) == full()
    assert sorted(path.name for path in directory.iterdir()) == sorted(FILES)


def test_writing_again_replaces_everything(directory: Path) -> None:
    fewer = tuple(row for row in full().compute if row.repeat == 0)
    smaller = dataclasses.replace(full(), compute=fewer, staging=())
    tables.write(directory, smaller)
    assert tables.read(directory) == smaller


def test_the_same_profile_is_the_same_bytes(directory: Path, tmp_path: Path) -> None:
    tables.write(tmp_path / "again", tables.read(directory))
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (directory / name).read_bytes()


text = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=12)
finite = st.floats(0, 1e12, allow_subnormal=False)
time_s = st.floats(1e-9, 1e9)
count = st.integers(0, 2**53)
some = st.integers(2, 2**53)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    boards = draw(st.lists(text, min_size=1, max_size=3, unique=True))
    models = draw(st.lists(text, min_size=1, max_size=2, unique=True))
    board, model = st.sampled_from(boards), st.sampled_from(models)
    optional = st.none() | finite
    plan = st.sampled_from(["local", "split:p=2", "prism:p=2,l=10,dtype=fp16"])

    def rows(kind: Callable[..., tables.rows.Row], **columns: st.SearchStrategy[object]) -> object:
        built = st.builds(kind, **columns)
        return draw(st.lists(built, max_size=3, unique_by=tables.rows.identity).map(tuple))

    link = dict(zip(("src", "dst"), map(st.just, (boards[0], boards[-1])), strict=True))

    return Profile(
        created=draw(text),
        version=draw(text),
        cluster=draw(text),
        kind=draw(st.sampled_from(["lab", "paced", "boards"])),
        boards=tuple(
            BoardInfo(
                name=name,
                device="cpu",
                idle_w=draw(optional),
                facts=draw(st.dictionaries(text, text, max_size=2)),
            )
            for name in boards
        ),
        models=tuple(ModelEntry(name=name, fingerprint=draw(text), shape=VIT) for name in models),
        link_description=draw(text),
        conditions=draw(st.dictionaries(text, text, max_size=3)),
        warnings=draw(st.lists(text, max_size=2).map(tuple)),
        compute=rows(
            ComputeRow,
            board=board,
            model=model,
            batch=some,
            tokens_own=st.integers(1, 9),
            tokens_known=st.integers(9, 2**53),
            dtype=text,
            repeat=count,
            latency_s=time_s,
            energy_j=optional,
        ),
        staging=rows(
            StagingRow,
            board=board,
            path=text,
            direction=text,
            bytes=some,
            repeat=count,
            latency_s=time_s,
        ),
        link=rows(
            LinkRow,
            **link,
            op=st.sampled_from(["exchange", "oneway"]),
            world=some,
            load=st.sampled_from(["idle", "loaded"]),
            bytes=some,
            repeat=count,
            latency_s=time_s,
            cpu_s=optional,
        )
        if len(boards) > 1
        else (),
        request=rows(
            RequestRow,
            plan=plan,
            model=model,
            batch=some,
            tokens=some,
            repeat=count,
            latency_s=time_s,
            energy_j=optional,
        ),
        accuracy=rows(
            AccuracyRow,
            model=model,
            plan=plan,
            dataset=text,
            metric=text,
            value=st.floats(-1e9, 1e9),
            n=some,
            ci_low=st.none() | st.floats(-1e9, 0),
            ci_high=optional,
        ),
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(profiles())
def test_round_trip_of_anything(tmp_path_factory: pytest.TempPathFactory, made: Profile) -> None:
    directory = tmp_path_factory.mktemp("any")
    tables.write(directory, made)
    found = tables.read(directory)
    said = found.warnings[len(made.warnings) :]  # of boards that the draw left out, mostly
    assert all("measured" in text or "another unit" in text for text in said)
    assert dataclasses.replace(found, warnings=made.warnings) == made


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(directory: Path, name: str) -> None:
    (directory / name).unlink()
    said = refusal(directory)
    assert f"{directory / name}: no such file" in said
    assert "prism-edge profile" in said


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere" / "profile.toml") in refusal(tmp_path / "nowhere")


def in_row(number: int, column: str, value: str) -> Callable[[str], str]:
    """Sets one cell; rows count from 1, the header is line 1 of the file."""

    def change(text: str) -> str:
        lines = text.splitlines()
        cells = lines[number].split(",")
        cells[lines[0].split(",").index(column)] = value
        lines[number] = ",".join(cells)
        return "\n".join(lines) + "\n"

    return change


@pytest.mark.parametrize(
    ("name", "change", "line", "says"),
    [
        ("compute.csv", lambda t: t.replace("latency_s", "latency_ms"), 1, "'latency_ms'"),
        ("compute.csv", lambda t: t.replace("latency_s", "latency_ms"), 1, "is it 'latency_s'?"),
        ("compute.csv", lambda t: t.replace(",energy_j", "", 1), 1, "'energy_j' is there 0 times"),
        ("compute.csv", lambda t: t.replace("dtype", "repeat"), 1, "is there"),
        ("link.csv", lambda t: t.replace("cpu_s", "cpu_s,note", 1), 1, "unknown column 'note'"),
        ("compute.csv", in_row(3, "board", "edge-9"), 4, "board 'edge-9' is not in profile.toml"),
        ("compute.csv", in_row(3, "model", "other"), 4, "model 'other' is not in profile.toml"),
        ("link.csv", in_row(2, "src", "edge-9"), 3, "src 'edge-9'"),
        ("link.csv", in_row(2, "dst", "edge-9"), 3, "dst 'edge-9'"),
        ("link.csv", in_row(2, "op", "gossip"), 3, "op='gossip', allowed is exchange or oneway"),
        ("compute.csv", in_row(2, "latency_s", "nan"), 3, "latency_s=nan"),
        ("compute.csv", in_row(2, "latency_s", "inf"), 3, "latency_s=inf"),
        ("compute.csv", in_row(2, "latency_s", "-0.1"), 3, "latency_s=-0.1"),
        ("compute.csv", in_row(2, "latency_s", ""), 3, "latency_s='' is not a number"),
        ("compute.csv", in_row(2, "latency_s", "1_0"), 3, "'1_0' is not a number"),
        ("compute.csv", in_row(2, "latency_s", "fast"), 3, "'fast' is not a number"),
        ("compute.csv", in_row(2, "energy_j", "-1"), 3, "energy_j=-1.0"),
        ("compute.csv", in_row(2, "batch", "1.5"), 3, "batch='1.5' is not a whole number"),
        ("compute.csv", in_row(2, "batch", "-1"), 3, "batch='-1' is not a whole number"),
        ("compute.csv", in_row(2, "batch", "0"), 3, "batch=0, allowed is more than 0"),
        ("compute.csv", in_row(2, "latency_s", "0"), 3, "latency_s=0.0, allowed is more than 0"),
        ("compute.csv", in_row(2, "tokens_own", "999"), 3, "is more than tokens_known"),
        ("compute.csv", in_row(3, "repeat", "0"), 4, "the same repeat is already on line 2"),
        ("compute.csv", lambda t: t.replace(",", ";"), 1, "save the table as CSV with commas"),
        ("link.csv", in_row(1, "dst", "edge-1"), 2, "src and dst are both 'edge-1'"),
        ("link.csv", in_row(1, "world", "1"), 2, "world=1, allowed is a finite number from 2"),
        ("link.csv", in_row(1, "load", "half"), 2, "load='half', allowed is idle or loaded"),
        ("compute.csv", in_row(2, "repeat", "0,0"), 3, "10 cells for 9 columns"),
        ("compute.csv", in_row(2, "repeat", '"0'), 3, "not a line of CSV"),
        ("compute.csv", lambda t: t.replace("\n", "\n\n", 1), 2, "0 cells for 9 columns"),
        ("staging.csv", in_row(1, "bytes", "many"), 2, "bytes='many'"),
        ("request.csv", lambda t: t.replace("l=10", "l=0"), 2, "l=0"),
        ("request.csv", lambda t: t.replace("p=2,l=10", "l=10,p=2"), 2, "is written"),
        ("accuracy.csv", lambda t: t.replace("local", "lokal"), 2, "did you mean 'local'"),
        ("accuracy.csv", lambda t: t.replace("-0.5", "nan"), 2, "value=nan"),
        ("accuracy.csv", lambda t: "", 1, "cut short"),
    ],
)
def test_a_damaged_table_is_refused_by_file_and_line(
    directory: Path, name: str, change: Callable[[str], str], line: int, says: str
) -> None:
    edit(directory / name, change)
    said = refusal(directory)
    assert said.startswith(f"{directory / name}:{line}: ")
    assert says in said
    assert said.endswith("; run `prism-edge profile` to measure again")


def test_truncation_is_noticed_wherever_it_falls(directory: Path) -> None:
    path = directory / "compute.csv"
    whole = path.read_bytes()
    total = whole.count(b"\n")
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        said = refusal(directory)
        number = int(re.match(re.escape(str(path)) + r":(\d+): ", said)[1])  # type: ignore[index]
        assert number <= total
        assert "cut short" in said
    path.write_bytes(whole)
    tables.read(directory)


def test_losing_whole_lines_is_truncation_too(directory: Path) -> None:
    path = directory / "compute.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    assert f"{len(lines) - 2} rows, profile.toml counts {len(lines) - 1}" in refusal(directory)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.replace("schema = 1", "schema = 2"), "schema is 2, this version reads 1"),
        (lambda t: t.replace("schema = 1\n", ""), "schema is None"),
        (lambda t: t.replace('kind = "boards"', 'kind = "cloud"'), "kind='cloud'"),
        (lambda t: t.replace("cluster =", "clutser ="), "unknown key 'clutser' (is it 'cluster'?)"),
        (lambda t: t.replace('cluster = "paper"\n', ""), "key 'cluster' is missing"),
        (lambda t: t.replace("width = 768\n", ""), "key 'width' is missing from ModelShape"),
        (lambda t: t.replace("width = 768", 'width = "768"'), "width='768' is not a whole number"),
        (lambda t: t.replace("width = 768", "width = -768"), "width=-768"),
        (lambda t: t.replace("causal = false", "causal = 0"), "causal=0 is not a bool"),
        (lambda t: t.replace('needs = "first"', 'needs = "some"'), "needs='some'"),
        (lambda t: t.replace("edge-2", "edge-1"), "described twice"),
        (lambda t: t.replace('cluster = "paper"', "cluster = paper"), "line "),
        (lambda t: t.replace('cluster = "paper"', "cluster = 1979-05-27"), "cluster="),
        (lambda t: t[: t.index("[rows]")], "[rows] is missing"),
        (lambda t: t[: len(t) // 2], "profile.toml"),
    ],
)
def test_a_damaged_header_is_refused(
    directory: Path, change: Callable[[str], str], says: str
) -> None:
    edit(directory / "profile.toml", change)
    said = refusal(directory)
    assert said.startswith(str(directory / "profile.toml"))
    assert says in said


def test_bytes_that_are_no_text_are_refused(directory: Path) -> None:
    (directory / "link.csv").write_bytes(b"\xff\xfe\x00")
    assert "link.csv: cannot be read" in refusal(directory)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FILES), st.data())
def test_any_flipped_byte_is_read_or_refused_never_worse(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("flip")
    tables.write(directory, full())
    raw = bytearray((directory / name).read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (directory / name).write_bytes(raw)
    made, said = full(), str(directory)
    try:
        made = tables.read(directory)
    except TableError as error:
        said = str(error)
    assert str(directory) in said
    assert all(math.isfinite(row.latency_s) and row.latency_s >= 0 for row in made.compute)


def test_columns_may_stand_in_any_order(directory: Path) -> None:
    def turn(text: str) -> str:
        return "".join(",".join(reversed(line.split(","))) + "\n" for line in text.splitlines())

    edit(directory / "link.csv", turn)
    assert tables.read(directory) == full()


def test_rows_refuse_what_cannot_be_measured() -> None:
    row = full().compute[0]
    for change in (
        {"latency_s": math.nan},
        {"latency_s": -1.0},
        {"batch": -1},
        {"batch": 0},
        {"latency_s": 0.0},
        {"batch": True},
        {"board": "two\nlines"},
        {"energy_j": math.inf},
    ):
        with pytest.raises(TableError, match=next(iter(change))):
            dataclasses.replace(row, **change)  # type: ignore[arg-type]


def test_a_profile_in_memory_is_checked_like_one_on_disk() -> None:
    row = dataclasses.replace(full().compute[0], board="edge-9")
    with pytest.raises(TableError, match="board 'edge-9' is not in"):
        dataclasses.replace(full(), compute=(row,))


def test_an_interrupted_write_leaves_no_readable_half(directory: Path) -> None:
    """New tables under the old header: the counts give it away."""
    other = directory.parent / "other"
    tables.write(other, dataclasses.replace(full(), compute=full().compute[:-3]))
    (directory / "compute.csv").write_bytes((other / "compute.csv").read_bytes())
    assert "foreign" in refusal(directory)


class TestApplies:
    def test_it_does(self) -> None:
        assert tables.applies(full(), "net", "f00d", ["edge-1", "edge-2"]) is None
        facts = {"edge-1": {"torch": "2.1", "power_mode": "15W"}}
        assert tables.applies(full(), "net", "f00d", ["edge-1"], facts) is None

    @pytest.mark.parametrize(
        ("model", "fingerprint", "boards", "facts", "says"),
        [
            ("other", "f00d", ["edge-1"], {}, "model 'other' was not profiled (profiled: net)"),
            ("net", "beef", ["edge-1"], {}, "has changed since it was profiled (now beef"),
            ("net", "f00d", ["edge-1", "edge-3"], {}, "board 'edge-3' was not profiled"),
            ("net", "f00d", ["edge-1"], {"edge-1": {"torch": "2.9"}}, "torch is '2.9', profiled"),
        ],
    )
    def test_it_does_not(
        self,
        model: str,
        fingerprint: str,
        boards: list[str],
        facts: dict[str, dict[str, str]],
        says: str,
    ) -> None:
        reason = tables.applies(full(), model, fingerprint, boards, facts)
        assert reason is not None
        assert says in reason
        assert "prism-edge profile" in reason


def test_the_documentation_shows_every_table_as_it_is(directory: Path) -> None:
    documented = (Path(__file__).parents[1] / "docs" / "profiles.md").read_text()
    for path in directory.glob("*.csv"):
        assert f"    {path.read_text().splitlines()[0]}\n" in documented

"""What was written is what is read, also beside a writer and after it was killed."""

from __future__ import annotations

import dataclasses
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

import prism_edge
from prism_edge.energy.journal import (
    KEPT,
    DecisionRow,
    EventRow,
    Journal,
    JournalData,
    RequestRow,
    decisions,
    read,
)
from prism_edge.energy.journal_file import Keep, make_room
from prism_edge.energy.journal_reader import ends
from prism_edge.energy.sample import Sample
from prism_edge.errors import JournalError
from prism_edge.schedule.events import from_json

NEVER_S = 3600.0  # the thread does not flush within a test

SAMPLE = Sample(board="edge-1", t_s=1_760_000_000.25, power_w=4.5, source="modelled")
REQUEST = RequestRow(
    id="r-1",
    model="vit-b16",
    batch=4,
    plan="prism:p=2,l=10,dtype=fp16",
    why="predicted fastest",
    forced=False,
    start_s=1_760_000_000.0,
    stop_s=1_760_000_000.5,
    latency_s=0.5,
    ok=True,
    error=None,
    wire_bytes=123_456,
    spans=(("embed", 0.0, 0.01, 0), ("gather", 0.01, 0.2, 123_456)),
)
FAILED = dataclasses.replace(
    REQUEST,
    id="r-2",
    start_s=1_760_000_001.0,
    stop_s=1_760_000_001.5,
    why=None,
    forced=True,
    latency_s=None,
    ok=False,
    error="edge-2 was lost",
    wire_bytes=None,
    spans=(),
)
EVENT = EventRow(t_s=1_760_000_000.1, kind="lost", detail="edge-2: heartbeat")


def new(path: Path, flush_every_s: float = NEVER_S, kind: str = "lab") -> Journal:
    power = {"edge-1": "modelled", "edge-2": "none"}
    return Journal.open(path, cluster="test", kind=kind, power=power, flush_every_s=flush_every_s)


def eventually(condition: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.01)
    return True


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with new(path) as journal:
        journal.sample(SAMPLE)
        journal.request(REQUEST)
        journal.request(FAILED)
        journal.event(EVENT)
        journal.event(EventRow(t_s=1.0, kind="phase", detail=None))
    data = read(path)
    assert data.samples == (SAMPLE,)
    assert data.requests == (REQUEST, FAILED)
    assert data.events == (EventRow(t_s=1.0, kind="phase", detail=None), EVENT)  # by time
    created_s = float(data.meta.pop("created"))
    assert abs(time.time() - created_s) < 3600
    assert data.meta == {
        "schema": "1",
        "cluster": "test",
        "kind": "lab",
        "prism_edge": prism_edge.__version__,
        "power.edge-1": "modelled",
        "power.edge-2": "none",
    }


LEARNT = DecisionRow(t_s=1_760_000_000.2, event='{"probed": 1}')
DECIDED = DecisionRow(
    t_s=1_760_000_000.1, event='{"asked": 2}', plan="split:p=2", why="so", request="r-1"
)


def test_decisions_come_back_in_the_order_they_were_taken(tmp_path: Path) -> None:
    """By number, not by time: a clock that was set back changes no order."""
    path = tmp_path / "journal.sqlite"
    with new(path) as journal:
        journal.decision(LEARNT)
        journal.decision(DECIDED)
    with new(path) as journal:
        journal.decision(LEARNT)
    assert list(decisions(path)) == [(1, LEARNT), (2, DECIDED), (3, LEARNT)]


def test_decisions_are_read_beside_their_writer_and_from_one_moment(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with new(path) as journal:
        for _ in range(3):
            journal.decision(LEARNT)
        journal.flush()
        found = decisions(path)
        next(found)
        journal.decision(DECIDED)
        journal.flush()
        assert len(list(found)) == 2
        assert len(list(decisions(path))) == 4


def test_a_journal_of_before_there_were_decisions_is_read_and_continued(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with new(path) as journal:
        journal.request(REQUEST)
        journal.sample(SAMPLE)
    foreign(path, "DROP TABLE decisions")  # what a journal of before is
    before = path.read_bytes()
    assert list(decisions(path)) == []
    assert read(path).requests == (REQUEST,)
    assert path.read_bytes() == before, "reading changed it"
    with new(path) as journal:
        journal.decision(DECIDED)
    assert list(decisions(path)) == [(1, DECIDED)]
    assert (read(path).requests, read(path).samples) == ((REQUEST,), (SAMPLE,))


def test_missing_is_null_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with new(path) as journal:
        journal.request(FAILED)
    connection = sqlite3.connect(path)
    row = connection.execute("SELECT latency_s, wire_bytes, why, error, ok, forced FROM requests")
    assert row.fetchone() == (None, None, None, "edge-2 was lost", 0, 1)
    connection.close()


def test_monotonic_stamps_do_not_leave_the_process(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with new(path) as journal:
        journal.sample(dataclasses.replace(SAMPLE, monotonic_s=5.0))
    assert read(path).samples == (SAMPLE,)


def test_samples_by_board_are_in_order_of_time(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    samples = [
        dataclasses.replace(SAMPLE, board=board, t_s=t_s)
        for t_s in (3.0, 1.0, 2.0)
        for board in ("edge-2", "edge-1")
    ]
    with new(path) as journal:
        for sample in samples:
            journal.sample(sample)
    boards = read(path).samples_by_board()
    assert set(boards) == {"edge-1", "edge-2"}
    assert [sample.t_s for sample in boards["edge-1"]] == [1.0, 2.0, 3.0]


def test_the_file_is_wal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    new(path).close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_reader_sees_what_was_flushed_while_the_writer_is_open(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with new(path) as journal:
        journal.sample(SAMPLE)
        assert read(path).samples == ()  # not flushed yet: the next line can fail
        journal.flush()
        assert read(path).samples == (SAMPLE,)
        journal.sample(SAMPLE)
        journal.flush()
        assert len(read(path).samples) == 2


def test_an_open_reader_does_not_stop_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with new(path) as journal:
        reader = sqlite3.connect(path)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM samples").fetchone() == (0,)
        journal.sample(SAMPLE)
        journal.flush()
        assert reader.execute("SELECT count(*) FROM samples").fetchone() == (0,)  # its snapshot
        reader.close()
    assert len(read(path).samples) == 1


def test_rows_reach_the_file_by_themselves(tmp_path: Path) -> None:
    """Also when nothing is appended after them."""
    path = tmp_path / "journal.sqlite"
    with new(path, flush_every_s=0.01) as journal:
        journal.event(EVENT)
        assert eventually(lambda: read(path).events == (EVENT,))


def test_an_append_does_not_wait_for_a_locked_file(tmp_path: Path) -> None:
    """The event loop goes on while another connection holds the write lock."""
    path = tmp_path / "journal.sqlite"
    with new(path, flush_every_s=0.01) as journal:
        other = sqlite3.connect(path)
        other.execute("BEGIN IMMEDIATE")
        for _ in range(100):
            journal.sample(SAMPLE)
        other.rollback()
        other.close()
        assert eventually(lambda: len(read(path).samples) == 100)


def test_threads_may_append_and_flush_together(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with new(path, flush_every_s=0.001) as journal:

        def append() -> None:
            for _ in range(200):
                journal.sample(SAMPLE)
                journal.flush()

        threads = [threading.Thread(target=append) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(read(path).samples) == 800


def test_closing_twice_is_closing_and_then_writing_is_refused(tmp_path: Path) -> None:
    journal = new(tmp_path / "journal.sqlite")
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="is closed"):
        journal.sample(SAMPLE)


def test_the_same_cluster_continues_its_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with new(path) as journal:
        journal.sample(SAMPLE)
    created = read(path).meta["created"]
    with new(path) as journal:
        journal.sample(SAMPLE)
    assert len(read(path).samples) == 2
    assert read(path).meta["created"] == created


def test_another_kind_does_not_continue_it(tmp_path: Path) -> None:
    """Emulated and real boards never share a file."""
    path = tmp_path / "journal.sqlite"
    new(path).close()
    with pytest.raises(JournalError, match=r"journal of kind 'lab', not of 'boards'; name another"):
        new(path, kind="boards")
    assert read(path).meta["kind"] == "lab"


def without_samples(path: Path) -> None:
    foreign(path, "ALTER TABLE samples RENAME TO elsewhere")


def with_samples(path: Path) -> None:
    foreign(path, "ALTER TABLE elsewhere RENAME TO samples")


def test_what_cannot_be_written_is_kept_in_order_until_it_can_be(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with new(path) as journal:
        without_samples(path)
        journal.sample(SAMPLE)
        with pytest.raises(JournalError, match="cannot be written: no such table: samples"):
            journal.flush()
        assert journal.complaint is not None
        journal.event(EVENT)  # serving goes on
        journal.sample(dataclasses.replace(SAMPLE, power_w=9.0))
        with_samples(path)
        journal.flush()
        assert journal.complaint is None
    found = read(path)
    assert [sample.power_w for sample in found.samples] == [4.5, 9.0]
    assert found.events == (EVENT,)


def test_a_journal_that_is_closed_while_it_cannot_be_written_says_so(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = new(path)
    without_samples(path)
    journal.sample(SAMPLE)
    with pytest.raises(JournalError, match="no such table: samples"):
        journal.close()
    journal.close()


def test_a_failed_write_in_the_background_is_told_and_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with new(path, flush_every_s=0.01) as journal:
        without_samples(path)
        journal.sample(SAMPLE)
        assert eventually(lambda: journal.complaint is not None)
        with_samples(path)
        assert eventually(lambda: journal.complaint is None)
        assert read(path).samples == (SAMPLE,)


def test_what_there_is_no_room_for_at_all_is_counted_where_it_is_missing(tmp_path: Path) -> None:
    """And a replay, which needs every event, goes no further than that."""
    path = tmp_path / "journal.sqlite"
    with new(path) as journal:
        without_samples(path)
        for _ in range(KEPT + 3):
            journal.sample(SAMPLE)
        with pytest.raises(JournalError):
            journal.flush()
        with_samples(path)
        journal.flush()
        journal.decision(DECIDED)
        journal.flush()
    found = read(path)
    assert len(found.samples) == KEPT
    said = "3 rows are missing: the journal could not be written"
    assert [(event.kind, event.detail) for event in found.events] == [("journal", said)]
    gap, after = (row for _, row in decisions(path))
    assert (gap.event, after) == (said, DECIDED)
    with pytest.raises(JournalError, match="not a decision event"):
        from_json(gap.event)


def test_rows_that_no_file_takes_do_not_stop_those_behind_them(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with new(path) as journal:
        journal.event(dataclasses.replace(EVENT, detail="\ud800"))
        with pytest.raises(JournalError, match="surrogates not allowed"):
            journal.flush()
        journal.event(EVENT)
        journal.flush()
    assert [event.kind for event in read(path).events] == ["lost", "journal"]


def test_on_a_full_disk_it_waits_for_room(tmp_path: Path) -> None:
    """A real one, of half a megabyte, in a mount namespace of its own."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    argv = ["unshare", "-m", "--propagation", "private", sys.executable, "-c", FULL_DISK]
    done = subprocess.run([*argv, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["full", "written", "2001 ok"]


FULL_DISK = """
import sqlite3, subprocess, sys
from pathlib import Path
from prism_edge.energy.journal import Journal, read
from prism_edge.energy.rows import EventRow
from prism_edge.errors import JournalError

here = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(here)], check=True)
journal = Journal.open(here / "j.sqlite", cluster="c", kind="lab", power={}, flush_every_s=3600)
ballast = here / "ballast"
with open(ballast, "wb", buffering=0) as file:
    try:
        while file.write(b"x" * 4096) == 4096:
            pass
    except OSError:
        pass
for number in range(2000):
    journal.event(EventRow(t_s=float(number), kind="phase", detail="x" * 40))
try:
    journal.flush()
except JournalError as error:
    assert "disk is full" in str(error) or "disk I/O error" in str(error), error
    print("full")
ballast.unlink()
journal.event(EventRow(t_s=2000.0, kind="phase", detail="room"))
journal.flush()
print("written")
journal.close()
whole = sqlite3.connect(here / "j.sqlite").execute("PRAGMA integrity_check").fetchone()[0]
print(len(read(here / "j.sqlite").events), whole)
"""


# --- how much is kept


def filled(path: Path, keep: Keep, rows: int) -> Journal:
    journal = Journal.open(
        path, cluster="test", kind="lab", power={}, keep=keep, flush_every_s=NEVER_S
    )
    journal.event(EventRow(t_s=0.0, kind="clock", detail="{}"))
    journal.event(EventRow(t_s=0.0, kind="epoch", detail="1 open"))
    for number in range(rows):
        journal.sample(dataclasses.replace(SAMPLE, t_s=float(number)))
        if number % 10_000 == 0:  # more does not wait in memory
            journal.flush()
    journal.event(EventRow(t_s=float(rows), kind="epoch", detail="2 open"))
    journal.flush()
    return journal


def test_a_file_over_its_size_loses_its_oldest_rows_and_does_not_grow(tmp_path: Path) -> None:
    path, keep = tmp_path / "journal.sqlite", Keep(bytes=400_000)
    with filled(path, keep, 15_000) as journal:
        for _ in range(12):
            journal.make_room()
            for number in range(3000):
                journal.sample(dataclasses.replace(SAMPLE, t_s=1e6 + number))
            journal.flush()
        journal.make_room()
    assert path.stat().st_size < 800_000  # with what came between two looks
    found = read(path)
    assert 3000 < len(found.samples) < 15_000
    assert found.samples[-1].t_s == 1e6 + 2999  # the newest are there
    assert {event.kind for event in found.events} >= {"clock"}


def test_without_a_limit_the_file_grows(tmp_path: Path) -> None:
    """Control of as many rows."""
    path = tmp_path / "journal.sqlite"
    with filled(path, Keep(), 51_000) as journal:
        journal.make_room()
    assert len(read(path).samples) == 51_000
    assert path.stat().st_size > 1_000_000


def test_rows_go_when_they_have_been_there_for_long_whatever_the_clock_says(tmp_path: Path) -> None:
    path, day_s = tmp_path / "journal.sqlite", 86_400.0
    with filled(path, Keep(), 6000):
        pass
    connection = sqlite3.connect(path)
    keep = Keep(days=2.0)
    assert make_room(connection, keep, 60.0) == 0  # marks how far it has come
    with new(path) as journal:
        journal.sample(dataclasses.replace(SAMPLE, t_s=-1e9))  # a clock that was set back
    assert make_room(connection, keep, 1.9 * day_s) == 0
    assert make_room(connection, keep, 0.2 * day_s) == 6000 - 1 + 2 - 1 + 1
    connection.close()
    assert [sample.t_s for sample in read(path).samples] == [-1e9]
    assert [event.kind for event in read(path).events] == ["clock", "epoch"]
    with new(path) as journal:
        journal.event(EVENT)
    assert [event.kind for event in read(path).events] == ["clock", "epoch", "lost"]


def test_gaps_and_throttling_ride_beside_the_samples(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    hot = dataclasses.replace(SAMPLE, t_s=2.0, gap="started again", events={"oc1": 3})
    unknown = dataclasses.replace(SAMPLE, t_s=3.0, power_w=None)
    with new(path) as journal:
        for sample in (dataclasses.replace(SAMPLE, t_s=1.0), hot, unknown):
            journal.sample(sample)
    found = read(path)
    assert [(sample.t_s, sample.gap) for sample in found.samples] == [
        (1.0, None),
        (2.0, "started again"),
    ]
    assert [(event.kind, event.detail) for event in found.events] == [
        ("gap", '{"board": "edge-1", "why": "started again"}'),
        ("throttle", '{"board": "edge-1", "oc1": 3}'),
    ]


def test_a_part_of_a_journal_has_what_touches_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with new(path) as journal:
        for number in range(10):
            journal.sample(dataclasses.replace(SAMPLE, t_s=float(number)))
        journal.request(dataclasses.replace(REQUEST, start_s=1.0, stop_s=4.0))
        journal.request(dataclasses.replace(REQUEST, start_s=1.0, stop_s=2.0))
        journal.event(EventRow(t_s=0.0, kind="clock", detail="{}"))
        journal.event(EventRow(t_s=0.0, kind="epoch", detail=""))
    found = read(path, (3.0, 5.0))
    assert [sample.t_s for sample in found.samples] == [3.0, 4.0, 5.0]
    assert [request.stop_s for request in found.requests] == [4.0]
    assert [event.kind for event in found.events] == ["clock"]
    assert [sample.t_s for sample in ends(path).samples] == [0.0, 9.0]


# --- files that are not ours


def foreign(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, timeout=60)  # a writer may be held up with the file locked
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def text_file(path: Path) -> None:
    path.write_text("not a database, but long enough to be looked at closely\n" * 40)


def other_database(path: Path) -> None:
    foreign(path, "CREATE TABLE meta (key, value)", "CREATE TABLE songs (title)")


def other_schema(path: Path) -> None:
    new(path).close()
    foreign(path, "UPDATE meta SET value = '2' WHERE key = 'schema'")


def no_schema(path: Path) -> None:
    new(path).close()
    foreign(path, "DELETE FROM meta WHERE key = 'schema'")


REFUSED = [
    (text_file, "file is not a database"),
    (other_database, "is a database, but not a prism-edge journal"),
    (other_schema, "has journal schema 2, this prism-edge reads 1"),
    (no_schema, "has journal schema None, this prism-edge reads 1"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
@pytest.mark.parametrize("use", [read, new])
def test_a_foreign_file_is_refused_and_untouched(
    tmp_path: Path,
    make: Callable[[Path], None],
    message: str,
    use: Callable[[Path], JournalData | Journal],
) -> None:
    path = tmp_path / "file"
    make(path)
    before = path.read_bytes()
    with pytest.raises(JournalError, match=message):
        list(decisions(path))
    with pytest.raises(JournalError, match=message) as caught:
        use(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(JournalError, match="no such journal"):
            read(path)
        with pytest.raises(JournalError, match="no such journal"):
            next(decisions(path))
    assert not (tmp_path / "missing").exists()
    for path in (tmp_path / "no" / "folder", tmp_path):
        with pytest.raises(JournalError, match="unable to open database file"):
            new(path)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE requests SET spans = '[broken'",
        "UPDATE requests SET spans = '7'",
        "UPDATE requests SET batch = 0",
        "UPDATE samples SET source = 'guessed'",
        "ALTER TABLE requests ADD COLUMN extra",
        "ALTER TABLE requests RENAME COLUMN why TO reason",
    ],
)
def test_a_damaged_row_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "journal.sqlite"
    with new(path) as journal:
        journal.request(REQUEST)
        journal.sample(SAMPLE)
    assert len(read(path).requests) == 1
    foreign(path, damage)
    with pytest.raises(JournalError, match="is not a usable journal"):
        read(path)


@pytest.mark.parametrize(
    "damage",
    ["UPDATE decisions SET t_s = 'noon'", "ALTER TABLE decisions RENAME COLUMN why TO reason"],
)
def test_damaged_decisions_are_refused_where_they_are_read(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "journal.sqlite"
    with new(path) as journal:
        journal.decision(DECIDED)
    foreign(path, damage)
    assert read(path).requests == ()  # a report does not need them
    with pytest.raises(JournalError, match="is not a usable journal"):
        list(decisions(path))


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with new(path) as journal:
        for _ in range(1000):
            journal.sample(SAMPLE)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(JournalError, match="is not a usable journal"):
        read(path)


def test_awkward_file_names_work(tmp_path: Path) -> None:
    path = tmp_path / "a b?mode=x#%41.sqlite"
    new(path).close()
    assert read(path).meta["cluster"] == "test"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, "batch is 0; allowed: 1 or more"),
        ({"start_s": float("nan")}, "start_s is nan"),
        ({"error": "late"}, "error is 'late' although ok"),
    ],
)
def test_request_rows_are_checked(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(REQUEST, **change)  # type: ignore[arg-type]


# --- a writer that is killed

WRITER = """
import itertools, sys
from pathlib import Path
from prism_edge.energy.journal import Journal
from prism_edge.energy.sample import Sample

path, flush_every_s, flush = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "flush"
journal = Journal.open(path, cluster="test", kind="lab", power={}, flush_every_s=flush_every_s)
for number in itertools.count():
    journal.sample(Sample(board="edge-1", t_s=float(number), power_w=1.0, source="sensor"))
    if flush:
        journal.flush()
    print(number, flush=True)
"""


def killed_after(path: Path, flush_every_s: float, flush: str, last: int) -> None:
    """A real writer process, killed once it has said that sample ``last`` is written."""
    argv = [sys.executable, "-c", WRITER, str(path), str(flush_every_s), flush]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for said in writer.stdout:
            if int(said) >= last:
                break
        writer.kill()
    assert writer.returncode == -signal.SIGKILL


@pytest.mark.parametrize("last", [0, 7, 300])
def test_after_a_kill_everything_flushed_is_there(tmp_path: Path, last: int) -> None:
    path = tmp_path / "journal.sqlite"
    killed_after(path, NEVER_S, "flush", last)
    times = [sample.t_s for sample in read(path).samples]
    assert len(times) > last
    assert times == [float(number) for number in range(len(times))]
    with new(path) as journal:  # and its successor goes on
        journal.sample(dataclasses.replace(SAMPLE, t_s=1e9))
    assert len(read(path).samples) == len(times) + 1


COMMITTER = """
import itertools, sys
from pathlib import Path
from prism_edge.energy.journal import Journal
from prism_edge.energy.sample import Sample

path, first = Path(sys.argv[1]), int(sys.argv[2])
journal = Journal.open(path, cluster="test", kind="lab", power={}, flush_every_s=3600)
for number in itertools.count(first):
    journal.sample(Sample(board="edge-1", t_s=float(number), power_w=1.0, source="sensor"))
    if number % 50 == 49:
        journal.flush()
        print(number, flush=True)
"""


def test_twenty_kills_in_mid_write_lose_no_committed_row(tmp_path: Path) -> None:
    """One file, a writer after the other, each killed while it goes on writing."""
    path, random = tmp_path / "journal.sqlite", Random(7)
    there = 0
    for _ in range(20):
        argv = [sys.executable, "-c", COMMITTER, str(path), str(there)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(random.randint(1, 6)):
                committed = int(writer.stdout.readline())
            time.sleep(random.uniform(0, 0.01))  # anywhere in the next commits
            writer.kill()
            said = writer.stdout.read().split("\n")  # and what it had said by then
        committed = max([committed, *(int(number) for number in said[:-1])])
        times = [sample.t_s for sample in read(path).samples]
        assert times == [float(number) for number in range(len(times))]
        assert len(times) > committed >= there
        there = len(times)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_after_a_kill_what_was_not_flushed_is_lost_and_the_file_is_readable(tmp_path: Path) -> None:
    """Negative control: without the flush the same test would fail."""
    path = tmp_path / "journal.sqlite"
    killed_after(path, NEVER_S, "", 300)
    assert read(path).samples == ()


def test_after_a_kill_what_the_thread_flushed_is_there(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    argv = [sys.executable, "-c", WRITER, str(path), "0.01", ""]
    # nobody reads what it says: it is never further ahead of its thread than a full pipe
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as writer:
        try:
            assert eventually(lambda: path.exists() and len(readable(path)) > 100)
            seen = readable(path)
        finally:
            writer.kill()
    times = [sample.t_s for sample in read(path).samples]
    assert times[: len(seen)] == [sample.t_s for sample in seen]
    assert times == [float(number) for number in range(len(times))]


def readable(path: Path) -> tuple[Sample, ...]:
    """The samples so far; none while the writer is still making the file."""
    try:
        return read(path).samples
    except JournalError:
        return ()

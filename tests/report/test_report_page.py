"""The page is one file, shows what the values say, and lets nothing through that is not text."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from synthetic_journal import START_S, synthetic, without
from synthetic_profile import synthetic_profile

from prism_edge.energy.rows import EventRow, JournalData, RequestRow
from prism_edge.report.numbers import numbers
from prism_edge.report.page import LAST_BATCHES, page
from prism_edge.schedule.events import Aim

HOSTILE = "<script>alert('$x$')</script> & \"<b>\" 模型 \x01"
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Checker(HTMLParser):
    """Collects tags, attributes and text, and whether every tag is closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


def checked(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.faults == []
    assert checker.open == []
    return checker


def hostile() -> JournalData:
    journal = synthetic()
    requests: list[RequestRow] = []
    for i, row in enumerate(journal.requests[:60]):
        ok = i % 11 != 0
        requests.append(
            replace(
                row,
                model=HOSTILE if i % 2 else "bert",
                batch=1 + i % 3,
                plan="astra:p=2,g=32" if i % 5 == 0 else row.plan,
                why=HOSTILE,
                ok=ok,
                error=None if ok else HOSTILE,
                latency_s=row.latency_s if ok else None,
            )
        )
    events = (
        EventRow(t_s=START_S, kind="phase", detail=HOSTILE),
        EventRow(t_s=START_S + 50, kind=HOSTILE, detail=HOSTILE),
    )
    samples = tuple(
        replace(s, board=HOSTILE) if s.board == "edge-2" else s for s in journal.samples[:3000]
    )
    meta = dict.fromkeys(journal.meta, HOSTILE) | {f"power.{HOSTILE}": HOSTILE}
    return JournalData(meta=meta, samples=samples, requests=tuple(requests), events=events)


@pytest.fixture(scope="module")
def full() -> str:
    return page(numbers(synthetic(), synthetic_profile()))


def test_it_is_one_file_without_script(full: str) -> None:
    found = checked(full)
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name == "src"]
    links = {value for name, value in found.attributes if name.endswith("href")}
    assert all(value is not None and value.startswith("#") for value in links)
    assert "@import" not in full
    assert set(re.findall(r"url\(([^)])", full)) <= {"#"}
    assert "default-src 'none'" in full


def test_ids_are_unique(full: str) -> None:
    ids = [value for name, value in checked(full).attributes if name == "id"]
    assert ids
    assert len(ids) == len(set(ids))


def test_whatever_the_journal_holds_is_text() -> None:
    text = page(numbers(hostile()))
    found = checked(text)
    assert "script" not in found.tags
    assert "<script" not in text
    assert "alert(&#39;$x$&#39;)" in text  # in the tables
    assert "模型" in text
    plain = checked(page(numbers(synthetic())))
    assert set(found.tags) <= set(plain.tags) | {"h3"}


def test_hostile_text_would_be_seen() -> None:
    with pytest.raises(AssertionError):
        checked("<p>" + HOSTILE.replace("</script>", "") + "</p>")


@pytest.mark.parametrize("part", ["samples", "requests", "events", "all"])
def test_any_part_may_be_missing(part: str) -> None:
    parts = ("samples", "requests", "events") if part == "all" else (part,)
    text = page(numbers(without(synthetic(), *parts)))
    checked(text)
    assert "Not in this report" in text
    assert "Conditions and limits" in text
    assert ("Every request" in text) is ("requests" not in parts)
    assert ("Power of every board" in text) is (part in ("requests", "events"))
    assert ("No request was executed" in text) is ("requests" in parts)


def test_modelled_power_is_visible_wherever_energy_is() -> None:
    text = page(numbers(synthetic()))
    for heading in (
        "Outcome and energy per phase",
        "Energy per request by plan",
        "Power of every board",
    ):
        after = text[text.index(f"<h2>{heading}") :]
        assert 'class="tag warn">modelled<' in after[: after.index("</h2>")], heading
    assert "power: modelled" in text[: text.index("<h2>")]


def test_a_sensor_is_called_a_sensor() -> None:
    journal = synthetic()
    meta = {**journal.meta, "kind": "boards", "power.edge-1": "sensor", "power.edge-2": "sensor"}
    samples = tuple(replace(s, source="sensor") for s in journal.samples)
    text = page(numbers(replace(journal, meta=meta, samples=samples)))
    assert text.count("on-board sensor (VDD_IN: module only)") >= 4
    assert "modelled" not in text
    assert "emulated" not in text


def test_the_numbers_on_the_page_are_those_of_the_report(full: str) -> None:
    first = numbers(synthetic()).groups[0]
    assert first.adaptive.latency is not None
    assert first.speedup_local is not None
    row = full[full.index("1 · link 100 Mbit/s") :]
    row = row[: row.index("</tr>")]
    assert f"<b>{first.adaptive.latency.p50_s * 1e3:.0f} ms</b>" in row
    assert f"<b>{first.speedup_local.ratio:.2f}×</b>" in row
    assert "24 pairs" in row
    assert "prism:p=2,l=10,dtype=fp16</span> × 24" in row


def test_small_samples_are_marked() -> None:
    assert "s†" in page(numbers(synthetic()))
    short = page(numbers(without(synthetic(), "requests")))
    assert "†" not in short


def test_unreliable_energy_is_marked() -> None:
    journal = synthetic()
    slow = tuple(s for i, s in enumerate(journal.samples) if i // 2 % 20 == 0)  # one in two seconds
    text = page(numbers(replace(journal, samples=slow)))
    assert "unreliable: " in text
    assert "unreliable: " not in page(numbers(journal))


def test_the_log_holds_the_last_decisions_newest_first(full: str) -> None:
    log = full[full.index("<h2>Decisions") : full.index("<h2>Predicted and measured, live")]
    assert log.count("<tr>") == LAST_BATCHES + 1
    assert f"The last {LAST_BATCHES} of 94 requests" in log  # 87 chosen, 7 asked for that fell back
    times = re.findall(r'data-label="Time">(\d+):(\d+)', log)
    seconds = [60 * int(m) + int(s) for m, s in times]
    assert seconds == sorted(seconds, reverse=True)
    assert "asked for by the request" not in log
    assert "connection closed by peer" in log


def test_a_profile_adds_its_tables(full: str) -> None:
    without_profile = page(numbers(synthetic()))
    for text in (
        "Cost tables",
        "Predicted and measured, end to end",
        "<h3>Link",
        "<h3>Compute",
        "Accuracy",
    ):
        assert text in full, text
    assert "Cost tables" not in without_profile
    assert "Batch 1</th><th" in re.sub(r"\s*\n\s*", "", full)
    assert "edge-2: compute of batch 4 was not stable" in full
    bare = replace(synthetic_profile(), compute=(), link=(), request=(), accuracy=())
    text = page(numbers(synthetic(), bare))
    checked(text)
    assert text.count("The profile holds no") == 3


def test_figures_are_there_for_wide_and_narrow_pages(full: str) -> None:
    assert len(re.findall(r'<div class="wide"><svg', full)) == 5
    assert len(re.findall(r'<div class="narrow"><svg', full)) == 5


def test_the_same_report_is_the_same_page(full: str) -> None:
    assert page(numbers(synthetic(), synthetic_profile())) == full


def test_a_budget_is_on_the_page_with_what_it_rules_out() -> None:
    text = page(numbers(synthetic(), synthetic_profile(), Aim(max_accuracy_drop=0.005)))
    checked(text)
    assert "The budget: least latency, at most 0.005 less accuracy" in text
    assert "was never measured, and at most 0.005 may be lost" in text
    assert "The budget:" not in page(numbers(synthetic(), synthetic_profile(), Aim()))

"""The live page in real Chromium, in front of real daemons and of a twin that means harm."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import vit, write
from chromium import Chromium, browsing
from daemons import Pair, pair

from prism_edge.energy.rows import RequestRow
from prism_edge.energy.sample import Sample
from prism_edge.report import units
from prism_edge.serve.history import History
from prism_edge.serve.http import create_app
from prism_edge.serve.metrics import Metrics
from prism_edge.serve.service import ModelInfo, Readiness
from prism_edge.serve.snapshot import snapshots
from prism_edge.serve.twin import Echo
from prism_edge.serve.watch import Watch

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EVIL = '<img src="x" onerror="window.harmed=1"><script>window.harmed=1</script>'
VOLTAGE = "voltage:p=2,dtype=fp32"
PIXELS = np.random.default_rng(1).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
WIDE = """[...document.querySelectorAll("#shown *, header *, footer *")]
    .filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth)
    .map((e) => `${e.tagName} ${e.className} ${e.textContent}`.slice(0, 60))"""
WIDTHS_PX = (1280, 1000, 880, 700, 390, 320)


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Chromium]:
    with browsing(tmp_path) as found:
        yield found


class Nasty(Echo):
    """A twin all of whose texts are markup."""

    def models(self) -> list[ModelInfo]:
        return [ModelInfo(name=EVIL, inputs=(), outputs=(), ready=False, reason=EVIL)]

    def readiness(self) -> Readiness:
        return Readiness(ready=True, reason=EVIL)

    def status(self) -> Mapping[str, object]:
        board = {"name": EVIL, "address": EVIL, "in_group": False, "why_out": EVIL}
        gone = {**board, "name": "b" * 90, "why_out": "silent for 9 s", "silent_s": 9.0}
        said = {"kind": EVIL, "epoch": 3, "link": EVIL, "queue": 1, "release": EVIL}
        return {"boards": [board, dict(board), gone], **said}


def a_past(text: str) -> History:
    """A quarter of an hour with ``text`` wherever there is one."""
    history = History()
    for k in range(12):
        row = RequestRow(
            id=text,
            model=text,
            batch=4,
            plan=text if k % 3 else "prism:p=2,l=24,dtype=fp16",
            why=text,
            forced=False,
            start_s=0.0,
            stop_s=0.1 + k / 50,
            latency_s=0.12 + k / 50 if k % 4 else None,
            ok=bool(k % 4),
            error=None if k % 4 else text,
            wire_bytes=0,
        )
        history.batch(row, k * 60.0)
        history.event("lost", f"{text} {'b' * 90}", k * 60.0)
        history.sample(Sample(board=text, t_s=1.0, power_w=3.0 + k, source="modelled"), k * 60.0)
    return history


@pytest.fixture
def put(stage: Any) -> Iterator[Callable[..., Watch]]:
    """Puts a service with a past in front of the browser; its watch."""

    def put(service: Echo, history: History, token: str | None = None) -> Watch:
        now_s = 12 * 60.0
        watch = Watch(
            lambda: {
                **snapshots(service, history, cluster=EVIL, release=EVIL)(),
                **history.view(now_s),
            }
        )
        stage.app = create_app(
            service, token=token, max_body_bytes=1 << 20, metrics=Metrics(), watch=watch
        )
        return watch

    yield put
    stage.app = None


def has(text: str, part: str = "body") -> str:
    """A script: whether the text can be read in that part of the page."""
    return f"document.querySelector({part!r}).innerText.includes({text!r})"


def test_markup_in_any_text_is_text(chromium: Chromium, stage: Any, put: Any) -> None:
    watch = put(Nasty(), a_past(EVIL))
    chromium.open(f"http://127.0.0.1:{stage.port}/")
    chromium.until(has("degraded"))
    for part in ("#name", "#reason", "#boards", "#decisions", "#events", "#models", "#tags"):
        if part != "#tags":
            assert chromium.run(has(EVIL, part)), part
        assert chromium.run(f"document.querySelectorAll('{part} img').length") == 0
    assert chromium.run("document.scripts.length") == 1
    assert chromium.run("window.harmed") is None
    assert chromium.console == []
    # the control: markup that did get in would be stopped by the policy, and complained about
    chromium.run(f"document.body.insertAdjacentHTML('beforeend', {EVIL!r}); 0")
    chromium.until("document.images.length === 1")
    assert chromium.run("new Promise(done => setTimeout(() => done(window.harmed), 200))") is None
    assert any("Content Security Policy" in line for line in chromium.console)
    watch.close()


def test_no_width_scrolls_sideways(chromium: Chromium, stage: Any, put: Any) -> None:
    put(Nasty(), a_past(EVIL))
    excess = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for width_px in WIDTHS_PX:
        chromium.look(width_px)
        chromium.open(f"http://127.0.0.1:{stage.port}/?{width_px}")
        chromium.until(has("degraded"))
        assert chromium.run(excess) == 0, (width_px, chromium.run(WIDE))
    chromium.run("document.querySelector('footer').style.minWidth = '500px'")
    assert chromium.run(excess) > 0  # the control


def test_numbers_read_as_in_the_report(chromium: Chromium, stage: Any, put: Any) -> None:
    put(Echo(), History())
    chromium.open(f"http://127.0.0.1:{stage.port}/")
    values = [0.0, 1e-6, 4.2e-5, 9.994e-4, 9.996e-4, 0.00123, 0.0999, 0.1, 0.3004, 0.9994, 0.9996]
    values += [1.0, 1.005, 9.994, 9.996, 10.04, 99.95, 123.4, 999.6, 1000.0, 12345.6]
    for name in ("seconds", "watts", "elapsed"):
        ours = [getattr(units, name)(value) for value in values]
        assert chromium.run(f"{values}.map((value) => {name}(value))") == ours, name
    assert chromium.run("[seconds(null), watts(null)]") == [units.UNKNOWN] * 2


def test_a_daemon_that_ends_is_missed_and_found_again(
    chromium: Chromium, stage: Any, put: Any
) -> None:
    watch = put(Echo(), a_past("so"))
    chromium.open(f"http://127.0.0.1:{stage.port}/")
    chromium.until(has("× 6"))
    watch.close()
    chromium.until(has("This page has lost the daemon"))
    assert chromium.run(has("Trying again"))
    assert chromium.run(has("What is shown is from"))
    assert chromium.run(has("× 6"))  # what was known last
    assert chromium.run("document.title").startswith("lost")
    chromium.look(390)  # drawn again, but not taken back
    chromium.until("$('mix').firstChild.getAttribute('viewBox').startsWith('0 0 358')")
    assert chromium.run(has("This page has lost the daemon"))
    assert chromium.run("$('state').textContent") == "out of reach"
    put(Echo(), a_past("again"))
    chromium.until(has("again", "#decisions"))
    assert not chromium.run(has("This page has lost the daemon"))


def test_more_pages_than_are_let_in_are_told_so(chromium: Chromium, stage: Any) -> None:
    full = Watch(dict, most=0)
    stage.app = create_app(Echo(), token=None, max_body_bytes=1, metrics=Metrics(), watch=full)
    chromium.open(f"http://127.0.0.1:{stage.port}/")
    chromium.until(has("0 pages watch already"))
    stage.app = None


@pytest.fixture
def boards(tmp_path: Path) -> Iterator[Pair]:
    net = write(tmp_path / "vit", *vit())
    with pair(tmp_path, {"net": net}, tls=True) as found:
        yield found


@pytest.fixture
def trusting_chromium(tmp_path: Path, boards: Pair) -> Iterator[Chromium]:
    with browsing(tmp_path, [boards.directory / f"{name}.crt" for name in "ab"]) as found:
        yield found


@pytest.mark.gloo
@pytest.mark.timeout(240)
def test_a_real_cluster_is_followed(trusting_chromium: Chromium, boards: Pair) -> None:
    """Over HTTPS and with a token."""
    leader, worker, chromium = boards.leader, boards.worker, trusting_chromium

    # the token: asked for, refused, taken; in no address and in no other tab
    assert leader.url.startswith("https://")
    chromium.open(leader.url)
    chromium.until(has("asks for its token"))
    enter = "$('token').value = {!r}; $('ask').requestSubmit()"
    chromium.run(enter.format("guessed"))
    chromium.until(has("The daemon refused that token"))
    assert chromium.run("$('shown').hidden")
    chromium.run(enter.format("sesame"))
    states = "[...document.querySelectorAll('#boards b')].map((b) => b.innerText).join()"
    chromium.until(f"{states} === 'a,in service,b,in service'")
    chromium.console.clear()  # two 401s that were asked for
    addresses = "performance.getEntries().map((entry) => entry.name).join() + location.href"
    assert "sesame" not in chromium.run(addresses)
    assert chromium.run("localStorage.length + document.cookie.length") == 0
    chromium.run("document.querySelector('a.raw[href=status]').click()")
    chromium.until(has('"role": "leader"', "#raw"))

    # a change of plan
    leader.infer("net", {"pixel_values": PIXELS}, "local")
    chromium.until(has("● local × 1", "#methods"))
    assert not chromium.run(has("voltage"))
    leader.infer("net", {"pixel_values": PIXELS}, VOLTAGE)
    chromium.until(has("◆ voltage × 1", "#methods"))
    rows = "[...document.querySelectorAll('#decisions td.plan')].map((td) => td.innerText)"
    plans = chromium.run(rows)
    assert plans == [f"◆ {VOLTAGE}", "● local"]
    assert chromium.run(has("asked for by the request", "#decisions"))
    assert chromium.run("document.querySelectorAll('#mix .bar').length") >= 2

    # a board that is killed, and comes back
    os.kill(worker.process.pid, signal.SIGKILL)
    chromium.until(f"{states} === 'a,in service,b,lost'")
    chromium.until(has("silent for", "#boards"))
    assert chromium.run(has("local only", "#reason"))
    assert chromium.run(has("lost", "#events"))
    boards.start_worker_again()
    chromium.until(f"{states} === 'a,in service,b,in service'")

    # a worker's own page
    chromium.open(boards.worker.url)
    chromium.until(has("asks for its token"))  # another address, another storage
    chromium.run(enter.format("sesame"))
    chromium.until(has("This board is a worker"))
    assert chromium.run("$('leader').href") == f"{leader.url}/"
    assert chromium.run("$('name').textContent") == "b, worker of test"
    chromium.console.clear()

    # the end
    chromium.open(leader.url)
    chromium.until(has("in service"))  # the tab still has its token
    assert leader.stop() == 0
    chromium.until(has("This page has lost the daemon"))
    harmless = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "503", "401")
    assert [line for line in chromium.console if not any(w in line for w in harmless)] == []

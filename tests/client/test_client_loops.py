"""Loads against a real server: every request is sent once, and what became of it is kept."""

from __future__ import annotations

import math
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from twin_daemon import serving

from prism_edge.client.connection import Connection, Sent, Where
from prism_edge.client.health import asking, health
from prism_edge.client.load import Load, send
from prism_edge.client.loops import open_loop
from prism_edge.client.made_up import as_pixels, made_up
from prism_edge.errors import ClusterError, InputError, UnreachableError
from prism_edge.serve.oip_client import Daemon, encode_request
from prism_edge.serve.service import TensorInfo


@pytest.fixture(scope="module")
def where() -> Iterator[Where]:
    with serving() as url:
        yield Where(url=url, timeout_s=60.0)


def colours(connection: Connection, due_s: float, model: str = "colours") -> Sent:
    body, header_bytes = encode_request(
        {"pixel_values": np.ones((1, 3, 4, 4), np.float32)}, {"plan": "local"}
    )
    return connection.infer(model, body, header_bytes, due_s)


def test_every_arrival_is_answered_once(where: Where) -> None:
    load, found = Load(rate_hz=200, seconds=0.5, connections=8), list[Sent]()
    send(where, load, colours, found)
    arrivals = load.arrivals()
    assert arrivals is not None
    assert len(found) == len(arrivals) > 50
    assert {one.status for one in found} == {200}
    assert {one.said["plan"] for one in found} == {"local"}
    due = sorted(one.due_s for one in found)
    assert np.diff(due) == pytest.approx(np.diff(arrivals))
    assert all(one.due_s <= one.sent_s <= one.done_s for one in found)


def test_what_a_slow_server_keeps_waiting_counts(where: Where) -> None:
    """One connection and a server that takes 20 ms: the tenth of ten at once waits for nine."""

    def slowly(connection: Connection, due_s: float) -> Sent:
        time.sleep(0.02)
        return colours(connection, due_s)

    found: list[Sent] = []
    open_loop(where, slowly, [0.0] * 10, 1, found)
    assert max(one.latency_s for one in found) >= 10 * 0.02


def test_users_wait_for_their_answers(where: Where) -> None:
    under_way, most, lock = 0, 0, threading.Lock()

    def counted(connection: Connection, due_s: float) -> Sent:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        try:
            return colours(connection, due_s)
        finally:
            with lock:
                under_way -= 1

    found: list[Sent] = []
    send(where, Load(users=3, requests=20), counted, found)
    assert len(found) == 20
    assert most <= 3
    found.clear()
    send(where, Load(users=2, seconds=0.0), counted, found)
    assert len(found) == 2  # one each, however little time there is
    seconds = 0.1
    while len(found) <= 2:
        found.clear()
        seconds *= 2
        send(where, Load(users=2, seconds=seconds), counted, found)
    assert Load(users=2).arrivals() is None
    assert Load().seconds == math.inf


def test_a_refusal_is_kept_in_the_daemon_s_words(where: Where) -> None:
    with Connection(where) as connection:
        one = colours(connection, 0.0, model="nope")
        assert one.status == 404
        assert "model nope" in str(one.error)
        assert colours(connection, 0.0).status == 200  # the connection goes on


def test_a_connection_that_the_daemon_has_closed_meanwhile_is_opened_again(where: Where) -> None:
    with Connection(where) as connection:
        assert colours(connection, 0.0).status == 200
        kept = connection._http.sock
        kept.shutdown(socket.SHUT_RDWR)  # as a daemon does with a connection that nobody uses
        assert colours(connection, 0.0).status == 200
        assert connection._http.sock is not kept


def test_every_question_is_asked_at_least_once(where: Where) -> None:
    with asking(where) as asked:
        pass
    assert [one.status for sent in asked.values() for one in sent[:1]] == [200] * 3


def test_a_daemon_without_an_engine_and_one_that_is_gone_are_said_to_be(where: Where) -> None:
    load = Load(users=1, requests=1)
    with subprocess.Popen(["sleep", "600"]) as agent:
        try:
            with pytest.raises(ClusterError, match="no engine was running"):
                health(where, colours, load, agent.pid, [])
        finally:
            agent.kill()
    with pytest.raises(ClusterError, match=f"{where.url}: the daemon is gone"):
        health(where, colours, load, agent.pid, [])


def test_no_answer_is_an_outcome() -> None:
    with Connection(Where(url="http://127.0.0.1:1", timeout_s=5.0)) as connection:
        one = colours(connection, 0.0)
    assert one.status is None
    assert "refused" in str(one.error)
    with pytest.raises(UnreachableError, match="not a URL"):
        Connection(Where(url="127.0.0.1:8000"))


def test_made_up_inputs_are_what_the_model_takes(where: Where) -> None:
    with Daemon(where.url) as daemon:
        images = made_up(daemon.inputs("colours"), batch=2, tokens=7)
        words = made_up(daemon.inputs("words"), batch=2, tokens=7)
    assert images["pixel_values"].shape == (2, 3, 4, 4)
    assert as_pixels(images)["pixel_values"].dtype == np.uint8
    assert as_pixels(images)["pixel_values"].max() > 100
    assert {name: array.shape for name, array in words.items()} == {
        "input_ids": (2, 7),
        "attention_mask": (2, 7),
    }
    assert as_pixels(words) == words
    with pytest.raises(InputError, match="no input of numbers"):
        made_up([TensorInfo(name="text", datatype="BYTES", shape=(-1,))], batch=1, tokens=1)

"""``prism-edge bench serve``: what a daemon does with arrivals, and what it adds to its engine."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_edge.errors import SettingsError

if TYPE_CHECKING:
    from prism_edge.client.connection import Sent
    from prism_edge.client.loops import Ask
    from prism_edge.client.own_daemon import Place

MODEL = "vit-s16"
RATE_HZ, REQUESTS = 5.0, 200


def serve(
    url: Annotated[
        str | None, typer.Option(help="a daemon; without it one is started here, on loopback")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help=f"its name there; here: NAME=DIR, or a size with random weights ({MODEL})"
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help=f"arrivals per second, which wait for no answer ({RATE_HZ:g})", min=0.01),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="instead: users who each wait for an answer", min=1, max=256)
    ] = None,
    overhead: Annotated[
        bool, typer.Option("--overhead", help=f"instead: {REQUESTS} requests, one after the other")
    ] = False,
    overload: Annotated[
        float | None,
        typer.Option(help="instead: so many times the rate that it can sustain", min=1.0),
    ] = None,
    health: Annotated[
        bool,
        typer.Option(
            "--health", help="instead: how soon /metrics and health answer beside --concurrency"
        ),
    ] = False,
    seconds: Annotated[float, typer.Option(help="how long", min=0.1)] = 30.0,
    batch: Annotated[int, typer.Option(help="rows of a request", min=1)] = 1,
    tokens: Annotated[int, typer.Option(help="length of texts", min=1)] = 128,
    inputs: Annotated[
        Path | None, typer.Option(help=".npz to send (default: made up from the metadata)")
    ] = None,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="send images as bytes (UINT8), a quarter as large")
    ] = False,
    plan: Annotated[str | None, typer.Option(help="plan to use (default: the daemon's)")] = None,
    deadline: Annotated[
        float | None, typer.Option(help="seconds after which an answer is useless", min=0.001)
    ] = None,
    connections: Annotated[
        int, typer.Option(help="open at once, with --rate", min=1, max=1024)
    ] = 64,
    warm_up: Annotated[int, typer.Option(help="requests before, not counted", min=0)] = 5,
    seed: Annotated[int, typer.Option(help="of arrivals and inputs")] = 0,
    token_file: Annotated[Path | None, typer.Option(help="file with the bearer token")] = None,
    authority: Annotated[
        Path | None, typer.Option(help="PEM file of who signed the daemon's certificate (https)")
    ] = None,
    timeout: Annotated[float, typer.Option(help="longest wait in seconds", min=0.1)] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Ask a daemon as a crowd would, and count what came of every request.

    prism-edge bench serve --url http://10.77.0.1:8000 --model vit --rate 20 --deadline 0.5
    prism-edge bench serve --overhead
    prism-edge bench serve --health --batch 8
    prism-edge bench serve --overload 20 --seconds 60 --pixels --model vit-b16
    """
    from prism_edge.bench.conditions import hour
    from prism_edge.cli.bench_serve_table import readable
    from prism_edge.cli.inputs import read_npz, read_token
    from prism_edge.client.connection import Where
    from prism_edge.client.figures import figures
    from prism_edge.client.health import health as asked
    from prism_edge.client.load import Load, send
    from prism_edge.client.made_up import as_pixels, made_up
    from prism_edge.client.overhead import overhead as added
    from prism_edge.client.overload import Overload
    from prism_edge.client.overload import overload as pushed
    from prism_edge.plan import Plan
    from prism_edge.serve.oip_client import Daemon, encode_request

    if (rate, concurrency, overload).count(None) - overhead < 2 or (
        health and (overhead or rate or overload)
    ):
        raise SettingsError(
            "bench serve: --rate, --concurrency, --overhead and --overload exclude each other, "
            "and --health goes with --concurrency alone"
        )
    if url is not None and model is None:
        raise SettingsError("bench serve: --url needs --model, its name there")
    if overhead:
        load = Load(requests=REQUESTS)
    elif concurrency is not None or health:
        load = Load(users=concurrency or 1, seconds=seconds)
    else:
        load = Load(rate_hz=rate or RATE_HZ, seconds=seconds, connections=connections, seed=seed)
    parameters: dict[str, str | int] = {} if plan is None else {"plan": str(Plan.parse(plan))}
    token = None if token_file is None else read_token(token_file)
    found: list[Sent] = []
    name, place = _daemon(url, model or MODEL)
    with place as there:
        at = there.url
        with Daemon(at, token=token, timeout_s=timeout, authority=authority) as daemon:
            takes = daemon.inputs(name)
        arrays = (
            read_npz(inputs) if inputs else made_up(takes, batch=batch, tokens=tokens, seed=seed)
        )
        arrays = as_pixels(arrays) if pixels else arrays
        body, _ = encode_request(arrays, parameters)

        def asking(deadline_s: float | None) -> Ask:
            limit = {} if deadline_s is None else {"timeout": round(deadline_s * 1e6)}
            body, header_bytes = encode_request(arrays, {**parameters, **limit})
            return lambda connection, due_s: connection.infer(name, body, header_bytes, due_s)

        ask = asking(deadline)
        where = Where(url=at, token=token, authority=authority, timeout_s=timeout)
        if warm_up:
            send(where, Load(requests=warm_up), ask, [])
        conditions: dict[str, object] = {
            "daemon": url or "one of its own, on this machine",
            "model": name,
            "load": str(load) if overload is None else f"{overload:g} x what it can sustain",
            "inputs": {key: f"{array.dtype} {list(array.shape)}" for key, array in arrays.items()},
            "request_bytes": len(body),
            "deadline_s": deadline,
            "seed": seed,
        }
        more: dict[str, object] = {}
        try:
            with hour(conditions):
                if health:
                    more["health"] = asked(where, ask, load, there.agent, found)
                elif overload is None:
                    send(where, load, ask, found)
                else:
                    wish = Overload(
                        times=overload,
                        seconds=seconds,
                        deadline_s=deadline,
                        connections=connections,
                        seed=seed,
                        agent=there.agent,
                    )
                    more["overload"] = pushed(where, asking, wish, found)
        finally:  # also what was answered before an interrupt
            arrivals = load.arrivals() if overload is None else None
            said = figures(
                found,
                rows=len(next(iter(arrays.values()))),
                planned=None if arrivals is None else len(arrivals),
                seconds=seconds,
            )
            if overhead and found:
                more["overhead"] = added(found)
            said |= more
            said["conditions"] = conditions
            print(json.dumps(said) if as_json else readable(said))


def _daemon(url: str | None, model: str) -> tuple[str, AbstractContextManager[Place]]:
    """The model's name and where it is served: there, or by a daemon started here."""
    from prism_edge.client.own_daemon import Place, own_daemon

    if url is not None:
        return model, nullcontext(Place(url=url))
    from prism_edge.bench.cases import find_models
    from prism_edge.bench.random_models import cached, default_cache

    (found,), made = find_models([model], (), default_cache())
    for name in made:
        cached(name, default_cache())
    return found.name, own_daemon(found.name, found.path)

"""``prism-edge infer``: requests to a daemon, or one to engines started just for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prism_edge.errors import SettingsError
from prism_edge.plan import LOCAL, Plan

if TYPE_CHECKING:
    import numpy.typing as npt

    from prism_edge.serve.service import TensorInfo

    Arrays = Mapping[str, npt.NDArray[Any]]


def infer(
    model: Annotated[str, typer.Option(help="with --url the model's name, else its directory")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="images, .npz, directories of them; - for lines from stdin"),
    ] = None,
    url: Annotated[str | None, typer.Option(help="daemon, such as http://10.77.0.1:8000")] = None,
    local_cluster: Annotated[
        int | None, typer.Option(help="answer here, by this many processes", min=1, max=8)
    ] = None,
    plan: Annotated[
        str | None, typer.Option(help="plan to use (default: the daemon chooses; here: local)")
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option(help=".npz whose keys are the model's forward arguments")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="image file (with --url)")] = None,
    text: Annotated[str | None, typer.Option(help="text (with --url)")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="directory of the tokenizer")] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="FILES per second as from a camera; drops late ones", min=0.01),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="with --rate: go round FILES for so long", min=0.1)
    ] = None,
    concurrency: Annotated[int, typer.Option(help="FILES asked at once", min=1, max=64)] = 1,
    retries: Annotated[
        int, typer.Option(help="times to ask again when the daemon is full (0 with --rate)", min=0)
    ] = 3,
    output: Annotated[Path | None, typer.Option(help=".npz to write the outputs to")] = None,
    token_file: Annotated[Path | None, typer.Option(help="file with the bearer token")] = None,
    authority: Annotated[
        Path | None, typer.Option(help="PEM file of who signed the daemon's certificate (https)")
    ] = None,
    timeout: Annotated[float, typer.Option(help="longest wait in seconds", min=0.1)] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Answer one request, or FILES one by one: a line each, with --json a JSON object each.

    prism-edge infer --url http://10.77.0.1:8000 --model vit --image cat.jpg
    prism-edge infer --url http://10.77.0.1:8000 --model vit photos/ --rate 10 --seconds 60
    prism-edge infer --model models/vit --plan prism:p=2,l=10 --local-cluster 2 --inputs in.npz
    """
    from prism_edge.cli.infer_files import answer_files
    from prism_edge.cli.infer_outputs import readable, summary
    from prism_edge.cli.inputs import read_image, read_npz, read_text, read_token, write_npz
    from prism_edge.client.connection import Where
    from prism_edge.client.feed import Pace

    wanted = None if plan is None else Plan.parse(plan)
    if (url is None) == (local_cluster is None):
        raise SettingsError("infer: give either --url of a daemon or --local-cluster P")
    if sum(item is not None for item in (files or None, inputs, image, text)) != 1:
        raise SettingsError("infer: give one of --inputs, --image and --text, or FILES")
    token = None if token_file is None else read_token(token_file)
    if files:
        if local_cluster is not None or output is not None:
            raise SettingsError("infer: FILES go to a daemon (--url), without --output")
        assert url is not None
        answer_files(
            files,
            Where(url=url, token=token, authority=authority, timeout_s=timeout),
            model,
            plan=wanted,
            tokenizer=tokenizer,
            pace=Pace(concurrency=concurrency, retries=retries, rate_hz=rate, seconds=seconds),
            as_json=as_json,
        )
        return
    if local_cluster is not None:
        if inputs is None:
            raise SettingsError("infer: --local-cluster takes --inputs FILE.npz")
        arrays = read_npz(inputs)
        outputs, about = _here(Path(model), wanted or LOCAL, local_cluster, arrays)
    else:
        assert url is not None

        def prepare(takes: Sequence[TensorInfo]) -> Arrays:
            if inputs is not None:
                return read_npz(inputs)
            if image is not None:
                return read_image(image, takes)
            assert text is not None
            return read_text(text, tokenizer, takes)

        outputs, about = _there(
            url,
            model,
            wanted,
            prepare,
            token=token,
            timeout_s=timeout,
            authority=authority,
            retries=retries,
        )
    if output is not None:
        write_npz(output, outputs)
        about["output"] = str(output)
    if as_json:
        print(json.dumps({**about, "outputs": summary(outputs)}))
        return
    for key, value in about.items():
        if value is not None:
            print(f"{key:10} {value}")
    print("\n".join(readable(outputs)))


def _here(
    directory: Path, plan: Plan, ranks: int, arrays: Arrays
) -> tuple[Arrays, dict[str, object]]:
    from prism_edge.profile.oneshot import answer_once

    answer = answer_once(directory.expanduser().resolve(), plan, ranks, arrays)
    return answer.outputs, {
        "plan": answer.plan,
        "why": answer.why,
        "seconds": answer.seconds,
        "wire_bytes": answer.wire_bytes,
    }


def _there(
    url: str,
    model: str,
    plan: Plan | None,
    prepare: Callable[[Sequence[TensorInfo]], Arrays],
    *,
    token: str | None,
    timeout_s: float,
    authority: Path | None,
    retries: int,
) -> tuple[Arrays, dict[str, object]]:
    import time

    from prism_edge.client.feed import patiently
    from prism_edge.serve.oip_client import Daemon

    parameters = {} if plan is None else {"plan": str(plan)}
    with Daemon(url, token=token, timeout_s=timeout_s, authority=authority) as daemon:
        takes, _ = patiently(lambda: daemon.inputs(model), retries)
        arrays = prepare(takes)
        start_s = time.monotonic()
        reply, _ = patiently(lambda: daemon.infer(model, arrays, parameters), retries)
        seconds = time.monotonic() - start_s
    return reply.outputs, {"seconds": seconds, **reply.parameters}

"""``prism-edge infer``: one request, to a daemon or to engines started just for it."""

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

TOP = 5  # classes shown per answer
SHOWN = 8  # answers of a batch shown, and numbers of an output


def infer(
    model: Annotated[str, typer.Option(help="with --url the model's name, else its directory")],
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
    text: Annotated[str | None, typer.Option(help="text (with --url and --tokenizer)")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="directory of the tokenizer")] = None,
    output: Annotated[Path | None, typer.Option(help=".npz to write the outputs to")] = None,
    token_file: Annotated[Path | None, typer.Option(help="file with the bearer token")] = None,
    authority: Annotated[
        Path | None, typer.Option(help="PEM file of who signed the daemon's certificate (https)")
    ] = None,
    timeout: Annotated[float, typer.Option(help="longest wait in seconds", min=0.1)] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Answer one request.

    prism-edge infer --url http://10.77.0.1:8000 --model vit --image cat.jpg
    prism-edge infer --model models/vit --plan prism:p=2,l=10 --local-cluster 2 --inputs in.npz
    """
    from prism_edge.cli.inputs import read_image, read_npz, read_text, read_token, write_npz

    wanted = None if plan is None else Plan.parse(plan)
    if (url is None) == (local_cluster is None):
        raise SettingsError("infer: give either --url of a daemon or --local-cluster P")
    if sum(item is not None for item in (inputs, image, text)) != 1:
        raise SettingsError("infer: give one of --inputs, --image and --text")
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

        token = None if token_file is None else read_token(token_file)
        outputs, about = _there(
            url, model, wanted, prepare, token=token, timeout_s=timeout, authority=authority
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


def summary(outputs: Arrays) -> dict[str, object]:
    """Outputs as JSON values: their shape, and the top class of every answer of a classifier."""
    described: dict[str, object] = {}
    for name, array in outputs.items():
        item: dict[str, object] = {"shape": list(array.shape)}
        if is_classes(name, array):
            item["top"] = [int(row.argmax()) for row in array]
        described[name] = item
    return described


def readable(outputs: Arrays) -> list[str]:
    """Outputs as lines: a classifier's likeliest classes, else shape and first numbers."""
    lines = []
    for name, array in outputs.items():
        if not is_classes(name, array):
            first = " ".join(f"{value:.4g}" for value in array.ravel()[:SHOWN])
            lines.append(f"{name} {list(array.shape)}: {first} ...")
            continue
        for index, row in enumerate(array[:SHOWN]):
            best = sorted(range(len(row)), key=lambda k: -row[k])[:TOP]
            shares = softmax(row)
            ranking = "  ".join(f"class {k} {100 * shares[k]:.1f} %" for k in best)
            lines.append(f"answer {index}: {ranking}")
        if len(array) > SHOWN:
            lines.append(f"... and {len(array) - SHOWN} more answers")
    return lines


def is_classes(name: str, array: npt.NDArray[Any]) -> bool:
    """True for one score per class and answer."""
    return name == "logits" and array.ndim == 2


def softmax(row: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Scores as shares of one."""
    import numpy as np

    powers = np.exp(row.astype(np.float64) - row.max())
    return powers / powers.sum()  # type: ignore[no-any-return]


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
) -> tuple[Arrays, dict[str, object]]:
    import time

    from prism_edge.serve.oip_client import Daemon

    with Daemon(url, token=token, timeout_s=timeout_s, authority=authority) as daemon:
        arrays = prepare(daemon.inputs(model))
        start_s = time.monotonic()
        reply = daemon.infer(model, arrays, {} if plan is None else {"plan": str(plan)})
        seconds = time.monotonic() - start_s
    return reply.outputs, {"seconds": seconds, **reply.parameters}

"""``prism-edge generate``: a text goes on, printed as its tokens come."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def generate(
    model: Annotated[str, typer.Option(help="the model's name there")],
    url: Annotated[str, typer.Option(help="daemon, such as http://10.77.0.1:8000")],
    text: Annotated[str | None, typer.Option(help="text to go on from (default: stdin)")] = None,
    max_tokens: Annotated[int, typer.Option(help="tokens at most", min=1)] = 64,
    temperature: Annotated[
        float, typer.Option(help="0: the likeliest token; above: drawn, the flatter", min=0)
    ] = 0.0,
    top_k: Annotated[int | None, typer.Option(help="draw from the k likeliest", min=1)] = None,
    top_p: Annotated[
        float | None, typer.Option(help="draw from the fewest that reach p together")
    ] = None,
    seed: Annotated[int, typer.Option(help="same seed, text and plan: same answer", min=0)] = 0,
    stop: Annotated[
        list[str] | None, typer.Option(help="text that ends the answer; repeatable")
    ] = None,
    plan: Annotated[
        str | None, typer.Option(help="plan to read the text by (default: the daemon chooses)")
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="file with the bearer token")] = None,
    authority: Annotated[
        Path | None, typer.Option(help="PEM file of who signed the daemon's certificate (https)")
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="longest wait for a token in seconds", min=0.1)
    ] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Go on with a text; Ctrl-C ends the work on it.

    prism-edge generate --url http://10.77.0.1:8000 --model gpt2 --text "Once upon a time"
    """
    from prism_edge.cli.inputs import read_token
    from prism_edge.serve.text_client import continue_text

    wished = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "seed": seed,
        "stop": stop or None,
        "plan": plan,
    }
    pieces = continue_text(
        url,
        model,
        sys.stdin.read() if text is None else text,
        {name: value for name, value in wished.items() if value is not None},
        token=None if token_file is None else read_token(token_file),
        timeout_s=timeout,
        authority=authority,
    )
    said, about = [], {}
    for piece in pieces:
        said.append(piece.text)
        about = dict(piece.parameters or {})
        if not as_json:
            print(piece.text, end="", flush=True)
    if as_json:
        print(json.dumps({"text": "".join(said), **about}))
        return
    print()
    shown = ("plan", "why", "tokens", "finish_reason")
    print("  ".join(f"{name}: {about[name]}" for name in shown if name in about), file=sys.stderr)

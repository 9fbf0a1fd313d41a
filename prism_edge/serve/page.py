"""The daemon's page at ``/``: one HTML document without script, build step or external asset."""

import json
from collections.abc import Mapping, Sequence
from html import escape

from prism_edge.serve.service import ModelInfo, Readiness, TensorInfo

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left}"
    "pre{background:#8882;padding:1rem;overflow:auto}"
)


def render_page(
    version: str, readiness: Readiness, models: Sequence[ModelInfo], status: Mapping[str, object]
) -> str:
    """The page; every value in it is escaped."""
    state = "ready" if readiness.ready else "not ready"
    if readiness.ready and readiness.reason:
        state = "degraded"
    because = f": {readiness.reason}" if readiness.reason else ""
    rows = "".join(
        f"<tr><td>{escape(model.name)}</td><td>{'ready' if model.ready else 'not ready'}</td>"
        f"<td>{_tensors(model.inputs)}</td><td>{_tensors(model.outputs)}</td></tr>"
        for model in models
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>prism-edge</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{STYLE}</style></head><body><h1>prism-edge {escape(version)}</h1>"
        f"<p><strong>{state}</strong>{escape(because)}</p>"
        "<table><tr><th>model</th><th>state</th><th>inputs</th><th>outputs</th></tr>"
        f"{rows}</table><h2>Status</h2><pre>{escape(json.dumps(status, indent=2))}</pre>"
        '<p><a href="/status">status</a> · <a href="/metrics">metrics</a></p></body></html>'
    )


def _tensors(tensors: Sequence[TensorInfo]) -> str:
    return "<br>".join(
        escape(f"{tensor.name} {tensor.datatype} {list(tensor.shape)}") for tensor in tensors
    )

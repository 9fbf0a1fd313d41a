"""``/docs``: what ``/openapi.json`` says, for people; one document that loads nothing else."""

import json
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from typing import Any

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}h2{font:600 1.05rem/1.4 ui-monospace,monospace;overflow-wrap:anywhere;"
    "margin:2rem 0 0}table{border-collapse:collapse}td{padding:.1rem .8rem .1rem 0;"
    "vertical-align:top}pre{background:#8882;padding:1rem;overflow:auto}"
)
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'"
)


def render_docs(document: Mapping[str, Any]) -> str:
    """The page; it links to no other place, and every text in it is escaped."""
    info, components = document["info"], document["components"]
    operations = "".join(
        _operation(f"{method.upper()} {path}", said, components["responses"])
        for path, item in document["paths"].items()
        for method, said in item.items()
        if method in ("get", "post")
    )
    schemas = "".join(
        f'<h2 id="{name}">{name}</h2><pre>{escape(json.dumps(said, indent=2))}</pre>'
        for name, said in components["schemas"].items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>prism-edge: HTTP API</title>'
        f"<style>{STYLE}</style></head><body>"
        f"<h1>prism-edge {escape(info['version'])}: HTTP API</h1><p>{escape(info['description'])}"
        ' The same for programs: <a href="/openapi.json">openapi.json</a>.</p>'
        f"{operations}<h1>Schemas</h1>{schemas}</body></html>"
    )


def _operation(title: str, said: Mapping[str, Any], errors: Mapping[str, Any]) -> str:
    taken = said.get("requestBody", {}).get("content", {})
    body = f"<p>Takes {_contents(taken)}</p>" if taken else ""
    parameters = "".join(
        f"<p>Header <code>{escape(one['name'])}</code>: {escape(one['description'])}</p>"
        for one in said.get("parameters", [])
    )
    rows = "".join(
        f"<tr><td>{status}</td><td>{_answer(answer, errors)}</td></tr>"
        for status, answer in said["responses"].items()
    )
    return (
        f"<h2>{escape(title)}</h2><p>{escape(said['summary'])}.</p>{body}{parameters}"
        f"<table>{rows}</table>"
    )


def _answer(answer: Mapping[str, Any], errors: Mapping[str, Any]) -> str:
    if "$ref" in answer:
        return escape(errors[answer["$ref"].rpartition("/")[2]]["description"])
    return f"{escape(answer['description'])} {_contents(answer['content'])}"


def _contents(contents: Mapping[str, Any]) -> str:
    return ", ".join(
        escape(kind) + "".join(f' <a href="#{name}">{name}</a>' for name in _names(said["schema"]))
        for kind, said in contents.items()
    )


def _names(schema: Mapping[str, Any]) -> list[str]:
    options = schema.get("anyOf", [schema])
    return [escape(one["$ref"].rpartition("/")[2]) for one in options if "$ref" in one]

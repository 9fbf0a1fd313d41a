"""The live page at ``/``: one document that loads nothing else and holds no data of its own.

It shows nothing of the daemon until ``/events`` has let it in, so it needs no token itself.
"""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path

from prism_edge.palette import css

HERE = Path(__file__).parent


@cache
def page() -> tuple[str, str]:
    """The document, and the Content-Security-Policy under which nothing but its own script runs."""
    style, script = _style(), (HERE / "page.js").read_text(encoding="utf-8")
    html = (HERE / "page.html").read_text(encoding="utf-8")
    html = html.replace("/* page.css */", style).replace("/* page.js */", script)
    policy = {
        "default-src": "'none'",
        "style-src": _digest(style),
        "script-src": _digest(script),
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return html, "; ".join(f"{name} {value}" for name, value in policy.items())


def _style() -> str:
    light, dark = css(dark=False), css(dark=True)
    return f":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n" + (
        HERE / "page.css"
    ).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"

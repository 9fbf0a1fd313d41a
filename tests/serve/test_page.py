"""The live page is one document: nothing else is loaded, and nothing but its own script may run."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

import httpx

from prism_edge.palette import MARKS, css
from prism_edge.serve.page import page
from prism_edge.serve.twin import Echo


def directives(policy: str) -> dict[str, str]:
    return dict(part.split(" ", 1) for part in policy.split("; "))


def allowed(html: str, policy: str) -> bool:
    """The policy allows the style and the script that the document has, and no other."""
    inside = {
        "style-src": re.findall(r"<style>(.*?)</style>", html, re.DOTALL),
        "script-src": re.findall(r"<script>(.*?)</script>", html, re.DOTALL),
    }
    digests = {
        name: [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in texts]
        for name, texts in inside.items()
    }
    return {name: directives(policy)[name].split() for name in inside} == digests


def test_the_policy_allows_its_own_style_and_script_and_nothing_else() -> None:
    html, policy = page()
    assert allowed(html, policy)
    assert directives(policy)["default-src"] == "'none'"
    assert directives(policy)["connect-src"] == "'self'"
    assert "unsafe" not in policy
    assert not allowed(html.replace("</script>", " </script>"), policy)
    assert not allowed(html.replace("</main>", "<script>1</script></main>"), policy)


def foreign(html: str) -> list[str]:
    """What would be loaded from elsewhere, or run or drawn without the policy's leave."""
    return re.findall(
        r"<[^>]+\s(?:src|on\w+|style|srcset)\s*=|<link|@import|url\(|https?://[^\"']*", html
    )


def test_nothing_is_loaded_and_no_handler_is_in_the_markup() -> None:
    html, _ = page()
    found = [text for text in foreign(html) if text != "http://www.w3.org/2000/svg"]
    assert found == []
    for extra in ('<img src="x">', '<p onclick="f()">', '<p style="color:red">', "<link rel=x>"):
        assert foreign(extra), extra
    assert "innerHTML" not in html
    assert "insertAdjacent" not in html


def test_every_method_has_its_colour() -> None:
    html, _ = page()
    assert css(dark=False) in html
    assert css(dark=True) in html
    assert [name for name in MARKS if f".{name}{{color:var(--{name})}}" not in html] == []


def test_the_page_is_the_same_for_everybody_and_says_nothing_of_the_daemon(serve: Any) -> None:
    served = serve(Echo(), token="sesame", release="1.0-abc")
    reply = httpx.get(served.url, trust_env=False, timeout=60)
    assert reply.text == page()[0]
    assert reply.headers["content-security-policy"] == page()[1]
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "1.0-abc" not in reply.text

"""Requests that are almost right, from a seed: raw bytes for a socket."""

from __future__ import annotations

import gzip
import json
import random

PATHS = (
    "/v2/models/{}/infer",
    "/v2/models/{}/versions/1/infer",
    "/v2/models/{}/generate",
    "/v2/models/{}",
    "/v2/repository/index",
    "/cluster/hello",
    "/status",
    "/v2/health/ready",
    "/%00/../..",
)
STRANGE = (None, True, -1, 0, 2**63, 2**400, 1e308, "", "NaN", "\ud800", [], [[]], {}, [None])


def mutated(rng: random.Random, value: object) -> object:
    """The value with one place of it changed."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(sorted(value))
        if rng.random() < 0.15:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: mutated(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], mutated(rng, value[at]), *value[at + 1 :]]
    return rng.choice(STRANGE)


def request(rng: random.Random, model: str, valid: dict[str, object]) -> bytes:
    """One request: from valid to noise."""
    document: object = valid
    for _ in range(rng.randrange(3)):
        document = mutated(rng, document)
    body = json.dumps(document).encode()
    headers = {"Host": "x", "Connection": "close"}
    length = str(len(body))
    if rng.random() < 0.3:
        headers["Inference-Header-Content-Length"] = rng.choice([length, "0", "-1", "9" * 30, "x"])
        body += rng.randbytes(rng.choice([0, 1, 7, 3072]))
    if rng.random() < 0.2:
        headers["Content-Encoding"] = rng.choice(["gzip", "deflate", "br", "x"])
        body = gzip.compress(body) if rng.random() < 0.6 else body
    if rng.random() < 0.2 and body:
        at = rng.randrange(len(body))
        body = body[:at] + rng.randbytes(1) + body[at + 1 :]
    said = len(body) + (rng.choice([-1, 1, 1000, 1 << 40]) if rng.random() < 0.1 else 0)
    headers["Content-Length"] = (
        str(said) if rng.random() < 0.97 else rng.choice(["-1", "x", "1, 2"])
    )
    if rng.random() < 0.1:
        del headers["Content-Length"]
        headers["Transfer-Encoding"] = "chunked"
        ending = rng.choice([b"0\r\n\r\n", b"", b"zz\r\n"])
        body = f"{len(body):x}\r\n".encode() + body + b"\r\n" + ending
    method = rng.choice(["POST"] * 12 + ["GET", "HEAD", "PUT", "OPTIONS", "TRACE", "\x00"])
    path = rng.choice(PATHS).format(rng.choice([model] * 9 + ["x"]))
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    whole = head.encode() + b"\r\n" + body
    if rng.random() < 0.05:
        return whole[: rng.randrange(len(whole))]
    return rng.randbytes(rng.randrange(1, 200)) if rng.random() < 0.02 else whole

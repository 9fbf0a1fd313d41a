"""A request's body, whole and unpacked, never more of it than the limit.

What a refused client still sends is thrown away by uvicorn, so that it can read its refusal.
"""

import zlib

from starlette.exceptions import HTTPException
from starlette.requests import Request

from prism_edge.errors import InputError

ENCODINGS = ("gzip", "deflate")
GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body, at most ``max_bytes`` as sent and as unpacked.

    Raises HTTPException 413 (too large) and 415 (an encoding other than gzip and deflate), and
    InputError when what is packed cannot be unpacked.
    """
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in (*ENCODINGS, "identity"):
        raise HTTPException(
            415,
            f"Content-Encoding {encoding!r}: send {', '.join(ENCODINGS)} or no encoding",
            {"Accept-Encoding": ", ".join(ENCODINGS)},
        )
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body) if encoding == "identity" else unpack(bytes(body), max_bytes)


def unpack(packed: bytes, max_bytes: int) -> bytes:
    """What gzip or zlib packed; never more than ``max_bytes`` of it is made."""
    unpacker = zlib.decompressobj(GZIP_OR_ZLIB)
    try:
        body = unpacker.decompress(packed, max_bytes + 1)
    except zlib.error as error:
        raise InputError(f"the body is not what its Content-Encoding says: {error}") from error
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    if not unpacker.eof or unpacker.unused_data:
        raise InputError("the packed body is cut short, or something follows it")
    return body


def _too_large(max_bytes: int) -> HTTPException:
    return HTTPException(413, f"the body is larger than this server takes, {max_bytes} bytes")

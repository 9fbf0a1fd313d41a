"""A request's body, whole and unpacked, never more of it than the limit.

Nor more of all bodies together than there is room for, from their first byte until they are
answered. What a refused client still sends is thrown away by uvicorn, so that it can read its
refusal.
"""

import asyncio
import zlib
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request

from prism_edge.errors import InputError, UnavailableError

ENCODINGS = ("gzip", "deflate")
GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


@dataclass(slots=True)
class Room:
    """How much of the memory for bodies is taken."""

    limit_bytes: int
    held_bytes: int = 0


@dataclass(slots=True)
class Held:
    """What one request holds of it, until it gives that back."""

    room: Room
    held_bytes: int = 0

    def take(self, count: int) -> None:
        """Raises UnavailableError when the bodies of others leave too little."""
        if self.room.held_bytes + count > self.room.limit_bytes:
            raise UnavailableError(
                f"requests under way hold {self.room.held_bytes} of {self.room.limit_bytes} bytes "
                f"for bodies; try again shortly",
                1.0,
            )
        self.room.held_bytes += count
        self.held_bytes += count

    def give_back(self) -> None:
        self.room.held_bytes -= self.held_bytes
        self.held_bytes = 0


async def read_body(request: Request, max_bytes: int) -> bytes | bytearray:
    """The body, at most ``max_bytes`` as sent and as unpacked; it counts as ``state.held``.

    Raises HTTPException 413 (too large) and 415 (an encoding other than gzip and deflate),
    InputError when what is packed cannot be unpacked, and UnavailableError when there is no room.
    """
    held: Held = request.state.held
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
        held.take(len(chunk))
    if encoding == "identity":
        return body
    unpacked = await asyncio.to_thread(unpack, body, max_bytes)
    held.take(len(unpacked))
    return unpacked


def unpack(packed: bytes | bytearray, max_bytes: int) -> bytes:
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

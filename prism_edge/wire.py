"""A request between ranks: a header of fixed size, then one body with all its tensors.

The header is JSON padded to ``HEADER_BYTES``, so a receiver can ask for it knowing nothing; it says
exactly what the body holds. Nothing that comes from the network is unpickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import torch
from torch import Tensor

from prism_edge.errors import OutOfStepError, PrismError
from prism_edge.layout import Needs
from prism_edge.plan import Plan
from prism_edge.transport import Pending, Transport

HEADER_BYTES = 512
FOREVER_S = 30 * 24 * 3600.0

DTYPES: dict[str, torch.dtype] = {
    "u8": torch.uint8,
    "i16": torch.int16,
    "i32": torch.int32,
    "f16": torch.float16,
    "f32": torch.float32,
}
CODES = {dtype: code for code, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class Header:
    """What rank 0 asks of another rank. ``needs``: the rows of the last block that it is
    after, None: those the model's head reads.

    ``tensors``: (name, dtype code, shape) in body order.
    """

    model: str
    plan: Plan
    batch: int
    tokens: int
    needs: Needs | None
    tensors: tuple[tuple[str, str, tuple[int, ...]], ...]

    @classmethod
    def of(
        cls, model: str, plan: Plan, batch: int, tokens: int, shapes: Mapping[str, Sequence[int]]
    ) -> Header:
        """A header whose tensors are all fp32, as outputs are."""
        listed = tuple((key, "f32", tuple(shape)) for key, shape in shapes.items())
        return cls(model, plan, batch, tokens, None, listed)

    @property
    def body_bytes(self) -> int:
        return sum(math.prod(shape) * DTYPES[code].itemsize for _, code, shape in self.tensors)

    def piece(self, samples: int) -> Header:
        """The same for that many samples of the batch."""
        tensors = tuple((name, code, (samples, *shape[1:])) for name, code, shape in self.tensors)
        return replace(self, batch=samples, tensors=tensors)

    def encode(self) -> Tensor:
        """uint8 [HEADER_BYTES]"""
        fields = [self.model, str(self.plan), self.batch, self.tokens, self.needs, self.tensors]
        text = json.dumps(fields, separators=(",", ":")).encode()
        if len(text) > HEADER_BYTES:
            raise PrismError(
                f"model {self.model!r}: the header takes {len(text)} of {HEADER_BYTES} bytes; "
                f"choose a shorter model name"
            )
        return torch.frombuffer(bytearray(text.ljust(HEADER_BYTES)), dtype=torch.uint8)

    @classmethod
    def decode(cls, data: Tensor) -> Header:
        """The header in uint8 [HEADER_BYTES]; ``OutOfStepError`` when it is none."""
        try:
            model, plan, batch, tokens, needs, tensors = json.loads(data.numpy().tobytes())
            listed = tuple((name, code, tuple(shape)) for name, code, shape in tensors)
            whole = [batch, tokens, *(size for _, _, shape in listed for size in shape)]
            if not all(isinstance(number, int) and number >= 0 for number in whole):
                raise ValueError("a size is not a whole number")
            if needs not in (None, *get_args(Needs)):
                raise ValueError(f"needs is {needs!r}")
            header = cls(str(model), Plan.parse(str(plan)), batch, tokens, needs, listed)
            _ = header.body_bytes  # only known dtypes have one
        except (ValueError, KeyError, TypeError, PrismError) as error:
            raise OutOfStepError(f"rank 0 sent a header that does not parse: {error}") from error
        return header


def send_header(
    group: Transport,
    rank: int,
    model: str,
    plan: Plan,
    tokens: int,
    part: Mapping[str, Tensor],
    needs: Needs | None = None,
) -> Pending:
    """The header of a request on its way to ``rank``; its body, ``part``, is to follow."""
    batch = next(iter(part.values())).shape[0]
    listed = tuple((key, CODES[value.dtype], tuple(value.shape)) for key, value in part.items())
    header = Header(model, plan, batch, tokens, needs, listed)
    return group.begin({rank: header.encode()}, {})


def receive_header(group: Transport) -> Header:
    """The next header from rank 0, however long it takes."""
    return Header.decode(group.begin({}, {0: HEADER_BYTES}).wait(FOREVER_S)[0])


def pack_body(tensors: Mapping[str, Tensor]) -> Tensor:
    """All tensors one after another.  -> uint8 [bytes]"""
    parts = [tensor.contiguous().view(-1).view(torch.uint8) for tensor in tensors.values()]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def unpack_body(header: Header, body: Tensor) -> dict[str, Tensor]:
    """The tensors a header lists, out of uint8 [bytes]; they own their memory."""
    tensors, start = {}, 0
    for name, code, shape in header.tensors:
        stop = start + math.prod(shape) * DTYPES[code].itemsize
        tensors[name] = body[start:stop].clone().view(DTYPES[code]).view(shape)
        start = stop
    return tensors

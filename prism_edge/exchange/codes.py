"""Codes (ASTRA, arXiv 2505.19342): every token travels as the G codes of its nearest vectors.

Letters: B batch, n own tokens, D width, G groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from prism_edge.errors import OutOfStepError
from prism_edge.exchange.bits import pack, packed_bytes, unpack
from prism_edge.tensors.codebook import Codebooks


@dataclass(frozen=True, slots=True)
class Codes:
    """Own tokens as packed codes, heard tokens as the vectors that codes stand for."""

    codebooks: Codebooks

    def encode(self, h: Tensor, sizes: Sequence[int], real: Tensor | None, block: int) -> Tensor:
        """[B,n,D] -> uint8 [bytes]; padding travels as code 0, and its count 0 hides it."""
        assert len(sizes) == h.shape[1]
        codes = self.codebooks.quantise(block, h)  # [B,n,G]
        if real is not None:
            codes = codes * (real > 0)[:, :, None]
        return pack(codes.flatten(), self.codebooks.bits)

    def decode(self, payload: Tensor, rows: int, block: int, like: Tensor) -> Tensor:
        """uint8 [bytes] -> [B,rows,D], in the dtype and on the device of ``like`` [B,n,D]"""
        books = self.codebooks
        shape = (like.shape[0], rows, books.g)
        count = shape[0] * shape[1] * shape[2]
        if payload.numel() != packed_bytes(count, books.bits):
            raise OutOfStepError(
                f"block {block}: {payload.numel()} bytes of codes, expected are "
                f"{packed_bytes(count, books.bits)} for {rows} tokens"
            )
        codes = unpack(payload.to(books.tables.device), books.bits, count)
        # only a K that is no power of two leaves codes that stand for nothing
        if books.k < 1 << books.bits and bool((codes >= books.k).any()):
            raise OutOfStepError(f"block {block}: a code of {books.k} or more arrived")
        return books.reconstruct(block, codes.view(shape)).to(like)

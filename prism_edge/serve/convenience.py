"""A service that also takes what users have at hand: an encoded image, a text, instead of tensors.

Wraps the service that takes tensors. Decoding and tokenizing run in a few threads of their own; a
model's tokenizer is read when it is first needed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from prism_edge.errors import InputError, NotFoundError, TooLargeError, UnavailableError
from prism_edge.serve.answer_text import AnswerText
from prism_edge.serve.datatypes import Array
from prism_edge.serve.pictures import Preparation, pixels, read_preparation
from prism_edge.serve.service import (
    InferCall,
    InferReply,
    ModelInfo,
    PromptCall,
    Readiness,
    Said,
    TensorInfo,
    TextCall,
    TextPiece,
    TokenService,
)
from prism_edge.serve.tokenizer import TextCodec, has_tokenizer, read_tokenizer
from prism_edge.serve.turns import Turns
from prism_edge.serve.wish import wish_of

Found = TypeVar("Found")
IMAGE, TEXT = "image", "text"
THREADS = 2
MAX_CHARACTERS = 1 << 18  # of all texts of a request; a novel has a few more
PATIENCE_S = 30.0
# the protocol's words for why an answer ended
REASONS = {"stop": "eos_token", "length": "length", "positions": "length"}


class Convenient:
    """``service`` with an input ``image`` for its vision models, ``text`` for those with a
    tokenizer, and texts continued. ``directories``: where the models lie; ``queue``: how many
    requests may wait to be prepared."""

    def __init__(self, service: TokenService, directories: Mapping[str, Path], queue: int) -> None:
        self._service = service
        self._directories = directories
        self._texts = {name for name, at in directories.items() if has_tokenizer(at)}
        self._codecs: dict[str, TextCodec] = {}
        self._preparations: dict[str, Preparation] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="prepare")
        self._turns = Turns(THREADS, queue)

    def models(self) -> Sequence[ModelInfo]:
        return [self._announced(info) for info in self._service.models()]

    def readiness(self) -> Readiness:
        return self._service.readiness()

    def status(self) -> Mapping[str, object]:
        return self._service.status()

    async def infer(self, request: InferCall) -> InferReply:
        given = sorted({IMAGE, TEXT} & set(request.inputs))
        if not given:
            return await self._service.infer(request)
        name, info = given[0], self._info(request.model)
        own = {tensor.name for tensor in info.inputs}
        if name not in {tensor.name for tensor in self._announced(info).inputs} - own:
            raise InputError(f"input {name}: {self._why_not(name, info)}")
        if len(request.inputs) > 1:
            raise InputError(f"input {name} stands for all others; send it alone")
        items = _bytes(name, request.inputs[name])
        start_s = time.monotonic()
        make = self._pixels if name == IMAGE else self._tokens
        inputs = await self._prepared(lambda: make(info, items))
        left_s = None
        if request.timeout_s is not None:
            left_s = max(0.001, request.timeout_s - (time.monotonic() - start_s))
        return await self._service.infer(replace(request, inputs=inputs, timeout_s=left_s))

    async def generate(self, request: TextCall) -> AsyncGenerator[TextPiece, None]:
        """The text that goes on from a text; see ``Writer``."""
        info = self._info(request.model)
        if request.model not in self._texts:
            raise InputError(self._why_not(TEXT, info))

        def read() -> tuple[TextCodec, list[int]]:
            codec = self._codec(request.model)
            return codec, codec.encode(_short([request.text])[0]).ids

        codec, ids = await self._prepared(read)
        wish = wish_of(request.parameters, codec.end)
        answer, pieces = AnswerText(codec.decode, wish.stops), deque[str]()

        def enough(said: Said) -> bool:
            """What a token adds is kept for whoever passes it on; True where a stop came."""
            text = "" if said.ended == "stop" else answer.add(said.token)
            pieces.append(text + (answer.end() if said.ended else ""))
            return answer.stopped

        call = PromptCall(
            model=request.model,
            request_id=request.request_id,
            ids=ids,
            sampling=wish.sampling,
            plan=wish.plan,
            timeout_s=request.timeout_s,
            enough=enough,
        )
        async with aclosing(self._service.generate(call)) as stream:
            async for said in stream:
                if said.parameters is None:
                    yield TextPiece(text=pieces.popleft())
                    continue
                reason = "stop_sequence" if answer.stopped else REASONS[str(said.ended)]
                parameters = {**said.parameters, "finish_reason": reason}
                yield TextPiece(text=pieces.popleft(), parameters=parameters)

    def close(self) -> None:
        """No thread is left."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _info(self, model: str) -> ModelInfo:
        infos = {info.name: info for info in self._service.models()}
        if model not in infos:
            raise NotFoundError(f"model {model}: not served here; models: {', '.join(infos)}")
        if not infos[model].inputs:
            raise UnavailableError("the engine is loading; try again shortly", 2.0)
        return infos[model]

    def _announced(self, info: ModelInfo) -> ModelInfo:
        """What a client may send instead of the model's own inputs stands behind them."""
        more = []
        names = {tensor.name for tensor in info.inputs}
        if any(len(tensor.shape) == 4 for tensor in info.inputs) and IMAGE not in names:
            more.append(TensorInfo(name=IMAGE, datatype="BYTES", shape=(-1,)))
        if "input_ids" in names and info.name in self._texts and TEXT not in names:
            more.append(TensorInfo(name=TEXT, datatype="BYTES", shape=(-1,)))
        return replace(info, inputs=(*info.inputs, *more))

    def _why_not(self, name: str, info: ModelInfo) -> str:
        takes = ", ".join(tensor.name for tensor in info.inputs)
        if name == IMAGE or "input_ids" not in {tensor.name for tensor in info.inputs}:
            return f"model {info.name} takes {takes}, no {name}"
        return (
            f"model {info.name} has no tokenizer here: send {takes}, or copy its tokenizer.json "
            f"into its directory and start the daemon again"
        )

    async def _prepared(self, work: Callable[[], Found]) -> Found:
        """What ``work`` gives, from a thread; few work at once, and few wait."""
        async with self._turns.turn(PATIENCE_S):
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _pixels(self, info: ModelInfo, images: Sequence[bytes]) -> dict[str, Array]:
        tensor = next(tensor for tensor in info.inputs if len(tensor.shape) == 4)
        wanted = self._preparations.get(info.name)
        if wanted is None:
            wanted = read_preparation(self._directories[info.name], tensor.shape)
            self._preparations[info.name] = wanted
        return {tensor.name: pixels(images, wanted)}

    def _tokens(self, info: ModelInfo, texts: Sequence[bytes]) -> dict[str, Array]:
        """Padded on the right, which ``attention_mask`` then tells.  -> int64 [B,N]"""
        try:
            decoded = _short([text.decode() for text in texts])
        except UnicodeDecodeError as error:
            raise InputError(f"input {TEXT}: is not UTF-8 ({error})") from error
        found = [self._codec(info.name).encode(text) for text in decoded]
        longest = max(len(one.ids) for one in found)
        names = {tensor.name for tensor in info.inputs}
        arrays = {
            "input_ids": _padded([one.ids for one in found], longest),
            "attention_mask": _padded([[1] * len(one.ids) for one in found], longest),
            "token_type_ids": _padded([one.kinds for one in found], longest),
        }
        return {name: array for name, array in arrays.items() if name in names}

    def _codec(self, model: str) -> TextCodec:
        if model not in self._codecs:
            self._codecs[model] = read_tokenizer(self._directories[model])
        return self._codecs[model]


def _bytes(name: str, array: Array) -> list[bytes]:
    if array.dtype.kind != "O" or not array.size:
        kind = "none" if array.dtype.kind == "O" else str(array.dtype)
        raise InputError(f"input {name} holds {kind}, allowed is BYTES, an element each")
    return list(array.ravel().tolist())


def _short(texts: list[str]) -> list[str]:
    """The texts, if tokenizing them does not take for ever."""
    count = sum(map(len, texts))
    if count > MAX_CHARACTERS:
        raise TooLargeError(f"{count} characters of text; at most {MAX_CHARACTERS} are taken")
    return texts


def _padded(rows: Sequence[Sequence[int]], width: int) -> Array:
    return np.array([[*row, *[0] * (width - len(row))] for row in rows], dtype=np.int64)

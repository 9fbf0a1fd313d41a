"""One order to generate, as the event loop follows it: a token at a time, then the result."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from prism_edge.engine.client import EngineClient, EngineGoneError
from prism_edge.engine.messages import Message
from prism_edge.errors import DeadlineError
from prism_edge.sampling import Sampling


class TokenStream:
    """The order is given when this is made. ``said``: how many of the last ``ids`` the answer
    begins with; ``key``: the order's own."""

    def __init__(
        self,
        client: EngineClient,
        *,
        model: str,
        plan: str,
        ids: Sequence[int],
        said: int,
        sampling: Sampling,
        key: str,
    ) -> None:
        self._client = client
        self._key = key
        self._inbox: asyncio.Queue[Message | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def hear(message: Message | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody listens
                loop.call_soon_threadsafe(self._inbox.put_nowait, message)

        self._order = client.ask(
            "generate",
            {"input_ids": np.array([ids], dtype=np.int64)},
            hear,
            model=model,
            plan=plan,
            sampling=asdict(sampling),
            said=said,
            key=key,
        )
        self._order.add_done_callback(lambda _: hear(None))

    async def token(self, patience_s: float) -> Message | None:
        """The next ``token`` message; None: there are no more, see ``result``. Raises
        ``DeadlineError`` after ``patience_s``."""
        heard = asyncio.ensure_future(self._inbox.get())
        try:
            await asyncio.wait({heard}, timeout=patience_s)
            if not heard.done():
                raise DeadlineError(f"no token within {patience_s:.3g} s; is the board busy?")
            return heard.result()
        finally:
            heard.cancel()

    def result(self) -> Message:
        """Once there are no more tokens: how it ended. Raises what the order failed with."""
        return self._order.result(timeout=0)

    def cancel(self) -> None:
        """The engine is told to end it with what there is."""
        with contextlib.suppress(EngineGoneError):
            self._client.send("cancel", key=self._key)

    async def stop(self, patience_s: float) -> None:
        """The engine no longer works on it; one that does not say so in time is killed."""
        self.cancel()
        try:
            while await self.token(patience_s) is not None:
                pass
        except DeadlineError:
            self._client.process.kill()

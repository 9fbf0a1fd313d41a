"""What the HTTP edge needs from the daemon behind it, as one protocol of four methods.

:mod:`prism_edge.serve.http` knows nothing of plans, boards or engines; whatever implements
:class:`Service` knows nothing of HTTP. :class:`prism_edge.serve.twin.Echo` is one without hardware.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from prism_edge.sampling import Sampling
from prism_edge.serve.datatypes import DATATYPES, Array

Parameter: TypeAlias = str | int | float | bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorInfo:
    """One input or output of a model; ``-1`` in ``shape`` is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.datatype not in DATATYPES:
            raise ValueError(
                f"tensor {self.name}: datatype {self.datatype!r} is none of {', '.join(DATATYPES)}"
            )
        if any(size < -1 for size in self.shape):
            raise ValueError(f"tensor {self.name}: shape {list(self.shape)} has a size below -1")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """One served model as clients see it; ``reason`` says why not ready, or what is degraded."""

    name: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    ready: bool
    reason: str | None = None
    version: str = "1"
    platform: str = "prism_edge"


@dataclass(frozen=True, kw_only=True, slots=True)
class Readiness:
    """Whether the daemon takes requests; ready with a reason is degraded, say to one board only."""

    ready: bool
    reason: str | None = None

    def __post_init__(self) -> None:
        if not self.ready and not self.reason:
            raise ValueError("readiness: a daemon that is not ready gives a reason")


@dataclass(frozen=True, kw_only=True, slots=True)
class InferCall:
    """One decoded request; ``request_id`` is its own, no ``timeout_s`` leaves it to the service."""

    model: str
    request_id: str
    inputs: Mapping[str, Array]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    timeout_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InferReply:
    """One answer; ``parameters`` ride in the reply: ``plan`` (its canonical text), ``why``."""

    outputs: Mapping[str, Array]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """One token of an answer; the last one says why it ``ended`` and has the reply's parameters."""

    token: int
    ended: str | None
    parameters: Mapping[str, Parameter] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptCall:
    """One prompt to continue, as token ids; ``plan`` None leaves it to the service. ``enough``
    hears every token once, before it is told, and is true for one that shall be the last."""

    model: str
    request_id: str
    ids: Sequence[int]
    sampling: Sampling
    plan: str | None = None
    timeout_s: float | None = None
    enough: Callable[[Said], bool] = lambda said: False


@dataclass(frozen=True, kw_only=True, slots=True)
class TextCall:
    """One decoded request to continue a text; its parameters are as the client wrote them."""

    model: str
    request_id: str
    text: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    timeout_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TextPiece:
    """What one more token adds to an answer, perhaps nothing; the last one has parameters."""

    text: str
    parameters: Mapping[str, Parameter] | None = None


class Writer(Protocol):
    """What continues texts."""

    def generate(self, request: TextCall) -> AsyncGenerator[TextPiece, None]:
        """The answer, piece by piece; closing it means that its client hung up.

        Raises what ``Service.infer`` raises, from the first piece on.
        """


class Service(Protocol):
    """The daemon behind the HTTP edge. No method but ``infer`` may wait for anything."""

    def models(self) -> Sequence[ModelInfo]:
        """Every model this daemon serves, ready or not."""

    def readiness(self) -> Readiness:
        """Whether requests are taken now, and why not, or what is degraded."""

    def status(self) -> Mapping[str, object]:
        """What ``GET /status`` shows: boards, epoch, link; values JSON can carry, never NaN."""

    async def infer(self, request: InferCall) -> InferReply:
        """The answer to one request; being cancelled means that its client hung up.

        Raises InputError or PlanError (the request is wrong), NotFoundError, UnavailableError
        (full, loading, draining) and DeadlineError. Of anything else the client is shown only an
        id to look for in the log.
        """


class TokenService(Service, Protocol):
    """A service that also continues prompts."""

    def generate(self, request: PromptCall) -> AsyncGenerator[Said, None]:
        """The tokens that go on from a prompt, as they are chosen; closing it ends the work.

        Raises what ``infer`` raises.
        """

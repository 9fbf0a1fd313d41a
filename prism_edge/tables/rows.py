"""What can be measured, one frozen row class per table, and the profile that holds them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from prism_edge.errors import TableError
from prism_edge.layout import ModelShape
from prism_edge.tables.checked import Checked, check, hints

SCHEMA = 1
HEADER = "profile.toml"
REMEDY = "run `prism-edge profile` to measure again"

Kind = Literal["lab", "paced", "boards"]
Power = Literal["sensor", "modelled", "none"]
LinkOp = Literal["exchange", "oneway"]
Load = Literal["idle", "loaded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeRow(Checked):
    """One timed pass of one rank's whole loop, every exchange already answered.

    ``tokens_own`` == ``tokens_known`` == N is ``local``; ``energy_j``: that board, during the pass.
    """

    board: str
    model: str
    batch: int
    tokens_own: int
    tokens_known: int
    dtype: str
    repeat: int
    latency_s: float
    energy_j: float | None = None

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        if self.tokens_own > self.tokens_known:
            raise TableError(
                f"tokens_own={self.tokens_own} is more than tokens_known={self.tokens_known}, "
                f"which counts them"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class StagingRow(Checked):
    """One timed copy of ``bytes`` between device and host memory."""

    board: str
    path: str
    direction: str
    bytes: int
    repeat: int
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRow(Checked):
    """One timed transfer through the production transport.

    ``exchange``: ``world`` ranks send each other ``bytes`` at once; each from its own launch until
    it is through, mean over the ranks, which is what an exchange adds to a loop of many.
    ``oneway``: ``bytes`` from ``src`` to ``dst``. ``load``: whether the boards computed meanwhile.
    """

    src: str
    dst: str
    op: LinkOp
    world: int
    load: Load = "idle"
    bytes: int
    repeat: int
    latency_s: float
    cpu_s: float | None = None

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        if self.src == self.dst:
            raise TableError(f"src and dst are both {self.src!r}: no link leads there")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow(Checked):
    """One request answered end to end by ``plan``: the truth the cost model is judged by."""

    plan: str
    model: str
    batch: int
    tokens: int
    repeat: int
    latency_s: float
    energy_j: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyRow(Checked):
    """What ``plan`` scores on ``n`` samples of ``dataset``, with its interval."""

    model: str
    plan: str
    dataset: str
    metric: str
    value: float
    n: int
    ci_low: float | None = None
    ci_high: float | None = None


LATER = {"load"}  # columns that older tables lack, which then hold their default
Row = ComputeRow | StagingRow | LinkRow | RequestRow | AccuracyRow
TABLES: dict[str, type[Row]] = {
    "compute": ComputeRow,
    "staging": StagingRow,
    "link": LinkRow,
    "request": RequestRow,
    "accuracy": AccuracyRow,
}
FOUND = {"latency_s", "energy_j", "cpu_s", "value", "n", "ci_low", "ci_high"}


def identity(row: Row) -> tuple[object, ...]:
    """What ``row`` is about, all but what was found: no two rows of a table share it."""
    return tuple(getattr(row, name) for name in hints(type(row)) if name not in FOUND)


def measured_against(model: str, dataset: str) -> str:
    """The condition that names the model whose answers ``model``'s were held against there; its own
    exact ones when there is none."""
    return f"accuracy of {model} on {dataset} is against"


def cell(row: Row) -> tuple[object, ...]:
    """What the repeats of one measurement share."""
    return tuple(
        getattr(row, name) for name in hints(type(row)) if name not in FOUND and name != "repeat"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardInfo(Checked):
    """A board as it was measured. ``facts``: hardware, jetpack, power_mode, clocks, torch...

    ``power``: where watts come from; ``idle_w``: its power doing nothing, None when not measured.
    """

    name: str
    device: str
    power: Power = "none"
    idle_w: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry(Checked):
    """A model as it was measured: name, hash of configuration and weights, sizes."""

    name: str
    fingerprint: str
    shape: ModelShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile(Checked):
    """Everything measured on one cluster. The order of ``boards`` is the order of ranks.

    Raises ``TableError`` when a row names a board or model that is not described.
    """

    created: str
    version: str
    cluster: str
    kind: Kind
    boards: tuple[BoardInfo, ...]
    models: tuple[ModelEntry, ...]
    schema: int = SCHEMA
    link_description: str = ""
    sweep: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    compute: tuple[ComputeRow, ...] = ()
    staging: tuple[StagingRow, ...] = ()
    link: tuple[LinkRow, ...] = ()
    request: tuple[RequestRow, ...] = ()
    accuracy: tuple[AccuracyRow, ...] = ()

    def __post_init__(self) -> None:
        for name, hint in hints(type(self)).items():
            if name not in TABLES:
                check(name, hint, getattr(self, name))
        if self.schema != SCHEMA:
            raise TableError(f"schema {self.schema}, this version reads schema {SCHEMA}")
        for kind, entries in (("board", self.boards), ("model", self.models)):
            names = [entry.name for entry in entries]
            if len(set(names)) != len(names):
                raise TableError(f"a {kind} is described twice: {', '.join(names)}")
        for table in TABLES:
            seen = set[tuple[object, ...]]()
            for row in getattr(self, table):
                self.check_names(row)
                if identity(row) in seen:
                    raise TableError(f"{table}: a repeat is there twice: {row}")
                seen.add(identity(row))

    def check_names(self, row: Row) -> None:
        """Raise ``TableError`` when ``row`` names a board or model that the profile does not."""
        boards = [board.name for board in self.boards]
        models = [model.name for model in self.models]
        for column, known in (
            ("board", boards),
            ("src", boards),
            ("dst", boards),
            ("model", models),
        ):
            name = getattr(row, column, None)
            if name is not None and name not in known:
                raise TableError(f"{column} {name!r} is not in {HEADER} ({', '.join(known)})")


def applies(
    profile: Profile,
    model: str,
    fingerprint: str,
    boards: Sequence[str],
    facts: Mapping[str, Mapping[str, str]] | None = None,
) -> str | None:
    """Why ``profile`` says nothing about this model on these boards, or None when it applies.

    ``facts``: per board what is true now; a fact that was measured under another value (power mode,
    torch) makes the tables foreign. Facts that either side does not state are not compared.
    """
    entry = next((entry for entry in profile.models if entry.name == model), None)
    if entry is None:
        known = ", ".join(entry.name for entry in profile.models) or "no model"
        return f"model {model!r} was not profiled (profiled: {known}); {REMEDY}"
    if entry.fingerprint != fingerprint:
        return (
            f"model {model!r} has changed since it was profiled "
            f"(now {fingerprint:.12}, then {entry.fingerprint:.12}); {REMEDY}"
        )
    measured = {board.name: board for board in profile.boards}
    for board in boards:
        if board not in measured:
            return f"board {board!r} was not profiled (profiled: {', '.join(measured)}); {REMEDY}"
        for key, now in (facts or {}).get(board, {}).items():
            then = measured[board].facts.get(key, now)
            if then != now:
                return f"board {board!r}: {key} is {now!r}, profiled under {then!r}; {REMEDY}"
    return None

"""One cluster.toml per cluster: boards, models, serving, policy, link. Unknown keys are errors.

Paths in it are relative to the file. ``deploy/cluster.example.toml`` is complete and commented.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from prism_edge.errors import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Kind = Literal["boards", "lab", "paced"]
Power = Literal["sensor", "modelled", "none"]
Objective = Literal["latency", "energy", "edp"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardSettings:
    """One board: its name, the address others reach it at, where its power figures come from."""

    name: str
    address: str
    power: Power = "sensor"
    device: str = "cpu"

    def __post_init__(self) -> None:
        _one_of("boards", "power", self.power, get_args(Power))
        if not self.name or not self.address:
            raise SettingsError("boards: name and address must not be empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """A model served under ``name`` from the Hugging Face directory ``path``."""

    name: str
    path: Path

    def __post_init__(self) -> None:
        if not self.name:
            raise SettingsError("models: name = '', a model needs a name")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """Limits of the daemon. Times in seconds."""

    host: str = ""  # empty: the board's own address, or loopback for a single board
    port: int = 8000
    token_file: Path | None = None
    max_batch: int = 8
    max_delay_s: float = 0.002
    queue: int = 64
    timeout_s: float = 30.0
    exchange_timeout_s: float = 10.0
    max_body_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        for name in ("max_batch", "queue", "max_body_bytes"):
            _at_least("serve", name, getattr(self, name), 1)
        _at_least("serve", "max_delay_s", self.max_delay_s, 0)
        _at_least("serve", "timeout_s", self.timeout_s, 0.001)
        _at_least("serve", "exchange_timeout_s", self.exchange_timeout_s, 0.1)
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"serve: port = {self.port}, allowed is 0 to 65535")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """What the policy minimises; ``exact`` forbids plans that approximate."""

    objective: Objective = "latency"
    exact: bool = False
    hysteresis: float = 0.05

    def __post_init__(self) -> None:
        _one_of("policy", "objective", self.objective, get_args(Objective))
        _at_least("policy", "hysteresis", self.hysteresis, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """What is known about the link; ``pace_file`` only where a lab has no network of its own."""

    rate_bps: float | None = None
    pace_file: Path | None = None

    def __post_init__(self) -> None:
        if self.rate_bps is not None:
            _at_least("link", "rate_bps", self.rate_bps, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A whole cluster; the order of ``boards`` is the order of ranks, the leader first."""

    name: str
    kind: Kind = "boards"
    leader: str
    profiles: Path
    boards: tuple[BoardSettings, ...]
    models: tuple[ModelSettings, ...] = ()
    serve: ServeSettings = field(default_factory=ServeSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    link: LinkSettings = field(default_factory=LinkSettings)

    def __post_init__(self) -> None:
        _one_of("cluster", "kind", self.kind, get_args(Kind))
        if not self.name:
            raise SettingsError("cluster: name = '', a cluster needs a name")
        for what, key, values in (
            ("boards", "name", [board.name for board in self.boards]),
            ("boards", "address", [board.address for board in self.boards]),
            ("models", "name", [model.name for model in self.models]),
        ):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise SettingsError(f"{what}: {key} = {twice[0]!r} is used twice")
        if not 1 <= len(self.boards) <= 8:
            raise SettingsError(f"boards: {len(self.boards)} listed, allowed is 1 to 8")
        _one_of("cluster", "leader", self.leader, tuple(board.name for board in self.boards))

    def board(self, name: str) -> BoardSettings:
        """The board called ``name``; ``SettingsError`` lists the known ones."""
        for board in self.boards:
            if board.name == name:
                return board
        known = tuple(board.name for board in self.boards)
        raise SettingsError(f"no board is called {name!r}{_nearest(name, known)}")

    def model(self, name: str) -> ModelSettings:
        """The model called ``name``; ``SettingsError`` lists the known ones."""
        for model in self.models:
            if model.name == name:
                return model
        known = tuple(model.name for model in self.models)
        raise SettingsError(f"no model is called {name!r}{_nearest(name, known)}")

    @property
    def ranked(self) -> tuple[BoardSettings, ...]:
        """All boards, the leader first, the others in the order of the file."""
        leader = self.board(self.leader)
        return (leader, *(board for board in self.boards if board is not leader))

    def with_models(self, models: tuple[ModelSettings, ...]) -> Settings:
        """These settings with more models; a name given again replaces the listed one."""
        names = {model.name for model in models}
        kept = tuple(model for model in self.models if model.name not in names)
        return dataclasses.replace(self, models=kept + models)


def single_board(models: tuple[ModelSettings, ...], serve: ServeSettings) -> Settings:
    """Settings of one board that serves alone, with no file at all."""
    return Settings(
        name="single",
        leader="this-board",
        profiles=Path("profiles/single"),
        boards=(BoardSettings(name="this-board", address="127.0.0.1"),),
        models=models,
        serve=serve,
    )


def parse_model(text: str) -> ModelSettings:
    """The model of a ``NAME=DIR`` option; a bare directory is named after itself."""
    name, equals, directory = text.partition("=")
    path = Path(directory if equals else text).expanduser().resolve()
    name = name if equals else path.name
    if not text or not name or (equals and not directory):
        raise SettingsError(f"--model {text!r}: expected NAME=DIR, e.g. vit=models/vit-base")
    return ModelSettings(name=name, path=path)


def read_settings(path: Path) -> Settings:
    """The cluster described by a cluster.toml; ``SettingsError`` names file, key and remedy."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"{path} does not exist; write one after deploy/cluster.example.toml, "
            f"or start a lab with `prism-edge lab up`"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    base = path.resolve().parent
    try:
        return _settings(data, base)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


def _settings(data: dict[str, Any], base: Path) -> Settings:
    sections = ("cluster", "boards", "models", "serve", "policy", "link")
    _known_keys("the file", data, sections)
    cluster = data.get("cluster")
    if not isinstance(cluster, dict):
        raise SettingsError("the section [cluster] is missing; it needs name and leader")
    _known_keys("cluster", cluster, ("name", "kind", "leader", "profiles"))
    boards = tuple(_read(BoardSettings, "boards", item, base) for item in _list(data, "boards"))
    if not boards:
        raise SettingsError("no [[boards]] are listed; each needs name and address")
    name = _typed("cluster", "name", cluster.get("name", "cluster"), str)
    return Settings(
        name=name,
        kind=_typed("cluster", "kind", cluster.get("kind", "boards"), str),
        leader=_typed("cluster", "leader", cluster.get("leader", boards[0].name), str),
        profiles=base
        / _typed("cluster", "profiles", cluster.get("profiles", f"profiles/{name}"), str),
        boards=boards,
        models=tuple(_read(ModelSettings, "models", item, base) for item in _list(data, "models")),
        serve=_read(ServeSettings, "serve", data.get("serve", {}), base),
        policy=_read(PolicySettings, "policy", data.get("policy", {}), base),
        link=_read(LinkSettings, "link", data.get("link", {}), base),
    )


def _read(kind: type[T], section: str, data: object, base: Path) -> T:
    """A settings dataclass from its table, with keys and types checked."""
    if not isinstance(data, dict):
        raise SettingsError(f"{section}: expected a table, found {data!r}")
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    _known_keys(section, data, tuple(fields))
    values: dict[str, Any] = {}
    for key, item in fields.items():
        if key not in data:
            if item.default is dataclasses.MISSING:
                raise SettingsError(f"{section}: {key} is missing")
            continue
        declared = str(item.type)
        if "Path" in declared:
            text = _typed(section, key, data[key], str)
            if not text and "None" not in declared:
                raise SettingsError(f"{section}: {key} = '', expected a path")
            values[key] = base / Path(text).expanduser() if text else None
        elif "float" in declared:
            values[key] = float(_typed(section, key, data[key], int, float))
        elif declared == "int":
            values[key] = _typed(section, key, data[key], int)
        elif declared == "bool":
            values[key] = _typed(section, key, data[key], bool)
        else:
            values[key] = _typed(section, key, data[key], str)
    return kind(**values)


def _typed(section: str, key: str, value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join(
            {"str": "text", "int": "a whole number"}.get(k.__name__, k.__name__) for k in kinds
        )
        raise SettingsError(f"{section}: {key} = {value!r}, expected {names}")
    return value


def _list(data: dict[str, Any], section: str) -> list[Any]:
    value = data.get(section, [])
    if not isinstance(value, list):
        raise SettingsError(f"{section}: write [[{section}]] for each one, not [{section}]")
    return value


def _known_keys(section: str, data: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in data:
        if key not in known:
            raise SettingsError(f"{section}: unknown key {key!r}{_nearest(key, known)}")


def _nearest(name: str, known: tuple[str, ...]) -> str:
    """What may have been meant, as the end of a message."""
    near = difflib.get_close_matches(name, known, n=1)
    listed = f" (known: {', '.join(known) or 'none'})"
    return f"; did you mean {near[0]!r}?{listed}" if near else listed


def _one_of(section: str, key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingsError(f"{section}: {key} = {value!r}, allowed is {', '.join(allowed)}")


def _at_least(section: str, key: str, value: float, low: float) -> None:
    if not low <= value < math.inf:
        raise SettingsError(f"{section}: {key} = {value}, allowed is {low} or more")

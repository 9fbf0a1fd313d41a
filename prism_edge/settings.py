"""One cluster.toml per cluster: boards, models, serving, policy, link. Unknown keys are errors.

Paths in it are relative to the file. ``deploy/cluster.example.toml`` is complete and commented.
"""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from prism_edge.errors import SettingsError
from prism_edge.mesh import MeshSettings
from prism_edge.sections import at_least, known_keys, listed, nearest, one_of, read_section, typed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Kind = Literal["boards", "lab", "paced"]
Power = Literal["sensor", "modelled", "none"]
PowerReader = Literal["auto", "sysfs", "tegrastats", "jtop"]
Objective = Literal["latency", "energy", "edp"]
ComputeDtype = Literal["fp32", "fp16", "bf16"]
LARGEST = sys.float_info.max
DEVICE = re.compile(r"cpu|cuda(:\d+)?")
# a user and a host that ssh cannot take for an option, and perhaps a port
LOGIN = r"(?P<login>(\w[\w.-]*@)?(\w[\w.-]*|\[[0-9A-Fa-f:.]+\]))"
SSH = re.compile(LOGIN + r"(:(?P<port>\d{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardSettings:
    """One board: its name, the address others reach it at, where its power figures come from, what
    its engine computes on (``cpu``, ``cuda`` or ``cuda:1``) and in which dtype.

    ``power_total``: ``RAIL + RAIL``, what adds up to its power where nobody knows.
    ``ssh``: where commands for it go, ``user@host``, ``user@host:port`` or a Host of the user's ssh
    configuration; ``ssh_config``: another such file. ``python``: the interpreter that has
    prism-edge there; a deployed one comes first.
    """

    name: str
    address: str
    power: Power = "sensor"
    power_source: PowerReader = "auto"
    power_total: str = ""
    device: str = "cpu"
    dtype: ComputeDtype = "fp32"
    ssh: str = ""
    ssh_config: Path | None = None
    python: str = "python3"

    def __post_init__(self) -> None:
        one_of("boards", "power", self.power, get_args(Power))
        one_of("boards", "power_source", self.power_source, get_args(PowerReader))
        one_of("boards", "dtype", self.dtype, get_args(ComputeDtype))
        if not self.name or not self.address:
            raise SettingsError("boards: name and address must not be empty")
        if not DEVICE.fullmatch(self.device):
            raise SettingsError(f"boards: device = {self.device!r}, allowed is cpu, cuda or cuda:N")
        target = SSH.fullmatch(self.ssh)
        if self.ssh and not (target and 1 <= int(target["port"] or 22) <= 65535):
            raise SettingsError(
                f"boards: ssh = {self.ssh!r}, expected user@host, user@host:port or a Host of "
                f"~/.ssh/config"
            )
        if not self.python:
            raise SettingsError("boards: python = '', expected a path or a name on the PATH there")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """A model served under ``name`` from a Hugging Face directory; its own limit on the drop."""

    name: str
    path: Path
    max_accuracy_drop: float | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise SettingsError("models: name = '', a model needs a name")
        at_least("models", "max_accuracy_drop", min(self.max_accuracy_drop or 0, LARGEST), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """Limits of the daemon, and what it proves itself by. Times in seconds."""

    host: str = ""  # empty: the board's own address, or loopback for a single board
    port: int = 8000
    token_file: Path | None = None
    certificate: Path | None = None  # with its key: HTTPS
    certificate_key: Path | None = None
    authority: Path | None = None  # that signed the others' certificates; None: the system's
    max_batch: int = 8
    max_delay_s: float = 0.002
    queue: int = 64
    timeout_s: float = 30.0
    exchange_timeout_s: float = 10.0
    max_body_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        for name in ("max_batch", "queue", "max_body_bytes"):
            at_least("serve", name, getattr(self, name), 1)
        at_least("serve", "max_delay_s", self.max_delay_s, 0)
        at_least("serve", "timeout_s", self.timeout_s, 0.001)
        at_least("serve", "exchange_timeout_s", self.exchange_timeout_s, 0.1)
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"serve: port = {self.port}, allowed is 0 to 65535")
        if (self.certificate is None) != (self.certificate_key is None):
            raise SettingsError("serve: certificate and certificate_key go together; give both")

    @property
    def scheme(self) -> str:
        return "http" if self.certificate is None else "https"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """What the policy minimises; ``exact`` forbids plans that approximate, ``max_accuracy_drop``
    those that may lose more accuracy than that, or of which nobody knows; inf: no limit."""

    objective: Objective = "latency"
    exact: bool = False
    max_accuracy_drop: float = math.inf
    hysteresis: float = 0.05

    def __post_init__(self) -> None:
        one_of("policy", "objective", self.objective, get_args(Objective))
        at_least("policy", "hysteresis", self.hysteresis, 0)
        at_least("policy", "max_accuracy_drop", min(self.max_accuracy_drop, LARGEST), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """What is known about the link; ``pace_file`` only where a lab has no network of its own."""

    rate_bps: float | None = None
    pace_file: Path | None = None

    def __post_init__(self) -> None:
        if self.rate_bps is not None:
            at_least("link", "rate_bps", self.rate_bps, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploySettings:
    """``tls``: ``prism-edge deploy`` gives every board a certificate of an authority kept here."""

    tls: bool = False


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
    mesh: MeshSettings = field(default_factory=MeshSettings)
    deploy: DeploySettings = field(default_factory=DeploySettings)

    def __post_init__(self) -> None:
        one_of("cluster", "kind", self.kind, get_args(Kind))
        if self.mesh.subnet and self.kind == "paced":
            raise SettingsError("mesh: subnet is not for kind = 'paced', which has no network")
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
        one_of("cluster", "leader", self.leader, tuple(board.name for board in self.boards))
        self.mesh.check([board.address for board in self.boards])

    def board(self, name: str) -> BoardSettings:
        """The board called ``name``; ``SettingsError`` lists the known ones."""
        for board in self.boards:
            if board.name == name:
                return board
        known = tuple(board.name for board in self.boards)
        raise SettingsError(f"no board is called {name!r}{nearest(name, known)}")

    def model(self, name: str) -> ModelSettings:
        """The model called ``name``; ``SettingsError`` lists the known ones."""
        for model in self.models:
            if model.name == name:
                return model
        known = tuple(model.name for model in self.models)
        raise SettingsError(f"no model is called {name!r}{nearest(name, known)}")

    def data_address(self, name: str) -> str:
        """Where engines reach each other on board ``name``: on the mesh, if there is one."""
        board = self.board(name)
        return self.mesh.address(self.boards.index(board)) if self.mesh.subnet else board.address

    def url(self, name: str) -> str:
        """Where the daemon of board ``name`` is asked by others."""
        return f"{self.serve.scheme}://{self.board(name).address}:{self.serve.port}"

    @property
    def ranked(self) -> tuple[BoardSettings, ...]:
        """All boards, the leader first, the others in the order of the file."""
        leader = self.board(self.leader)
        return (leader, *(board for board in self.boards if board is not leader))

    def with_models(self, options: list[str]) -> Settings:
        """These settings with the models of options; a name given again replaces the listed one."""
        models = tuple(parse_model(text, self.models) for text in options)
        kept = (old for old in self.models if old.name not in {new.name for new in models})
        return replace(self, models=(*kept, *models))


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


def parse_model(text: str, listed: tuple[ModelSettings, ...] = ()) -> ModelSettings:
    """The model of a ``NAME=DIR`` option, with the limit of the listed one of that name; a bare
    directory is named after itself."""
    name, equals, directory = text.partition("=")
    path = Path(directory if equals else text).expanduser().resolve()
    name = name if equals else path.name
    if not text or not name or (equals and not directory):
        raise SettingsError(f"--model {text!r}: expected NAME=DIR, e.g. vit=models/vit-base")
    limit = next((model.max_accuracy_drop for model in listed if model.name == name), None)
    return ModelSettings(name=name, path=path, max_accuracy_drop=limit)


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
    try:
        return _settings(data, path.resolve().parent)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


def _settings(data: dict[str, Any], base: Path) -> Settings:
    sections = ("cluster", "boards", "models", "serve", "policy", "link", "mesh", "deploy")
    known_keys("the file", data, sections)
    cluster = data.get("cluster")
    if not isinstance(cluster, dict):
        raise SettingsError("the section [cluster] is missing; it needs name and leader")
    known_keys("cluster", cluster, ("name", "kind", "leader", "profiles"))
    boards = tuple(
        read_section(BoardSettings, "boards", item, base) for item in listed(data, "boards")
    )
    if not boards:
        raise SettingsError("no [[boards]] are listed; each needs name and address")
    name = typed("cluster", "name", cluster.get("name", "cluster"), str)
    profiles = typed("cluster", "profiles", cluster.get("profiles", f"profiles/{name}"), str)
    return Settings(
        name=name,
        kind=typed("cluster", "kind", cluster.get("kind", "boards"), str),
        leader=typed("cluster", "leader", cluster.get("leader", boards[0].name), str),
        profiles=base / profiles,
        boards=boards,
        models=tuple(
            read_section(ModelSettings, "models", item, base) for item in listed(data, "models")
        ),
        serve=read_section(ServeSettings, "serve", data.get("serve", {}), base),
        policy=read_section(PolicySettings, "policy", data.get("policy", {}), base),
        link=read_section(LinkSettings, "link", data.get("link", {}), base),
        mesh=read_section(MeshSettings, "mesh", data.get("mesh", {}), base),
        deploy=read_section(DeploySettings, "deploy", data.get("deploy", {}), base),
    )

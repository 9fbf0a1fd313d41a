"""What is known about a board. ``None``: it could not be found out, which is not the same as no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

InterfaceKind = Literal["loopback", "ethernet", "wifi", "wireguard", "other"]
Sudo = Literal["root", "free", "password", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """``model``: as the device tree names it, None where there is none (a PC). ``l4t``: e.g.
    ``36.4.3``; ``jetpack``: e.g. ``6.2``, None for an L4T that is not in the table."""

    model: str | None = None
    compatible: tuple[str, ...] = ()
    l4t: str | None = None
    jetpack: str | None = None
    architecture: str
    kernel: str
    system: str
    hostname: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonFacts:
    """The interpreter that releases are built on. ``venv``: whether it can make environments."""

    executable: str
    version: str
    venv: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchFacts:
    """The board's own torch, seen without any environment of ours. ``pins``: exact versions of
    torch, torchvision, torchaudio and numpy as installed. ``location``: the directory they are
    imported from. ``error``: why the import failed, or what came after it did not end.
    ``gloo_error``: why a group of one rank failed."""

    version: str | None = None
    location: str | None = None
    cuda: str | None = None
    cuda_available: bool | None = None
    distributed: bool | None = None
    gloo: bool | None = None
    gloo_error: str | None = None
    pins: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerMode:
    """nvpmodel: what runs, what a boot gives, and ``offered`` by id. ``clocks_locked``: pinned by
    jetson_clocks."""

    current: str | None = None
    default: str | None = None
    offered: Mapping[int, str] = field(default_factory=dict)
    clocks_locked: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """``addresses``: with prefix length, e.g. ``10.0.0.11/24``. ``power_save``: of Wi-Fi."""

    name: str
    kind: InterfaceKind
    up: bool
    addresses: tuple[str, ...] = ()
    power_save: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """``own_name``: the addresses that the board's own host name resolves to. ``wireguard``: what
    could carry a mesh; ``firewall``: the tool that works here, and whether it has rules for what
    comes in; both None without root.
    ``arp_ignore``, ``arp_announce``: as sysctl gives them for all interfaces."""

    interfaces: tuple[Interface, ...] = ()
    own_name: tuple[str, ...] = ()
    wireguard: Literal["kernel", "userspace", "none"] | None = None
    wireguard_why: str = ""
    firewall: Literal["nft", "iptables", "none"] | None = None
    firewall_active: bool | None = None
    arp_ignore: int | None = None
    arp_announce: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Bytes. ``free``: where releases go; ``data_free``: where models go, None if that is the same
    file system. ``swap_kind``: ``zram``, ``disk``, ``sd`` (a memory card), ``none``."""

    free_bytes: int | None = None
    data_free_bytes: int | None = None
    total_bytes: int | None = None
    memory_bytes: int | None = None
    available_bytes: int | None = None
    swap_bytes: int | None = None
    swap_kind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """``skew_s``: the board's clock minus ours, None on the board itself; ``bound_s``: half the
    round trip it was measured in."""

    synchronised: bool | None = None
    service: str | None = None
    skew_s: float | None = None
    bound_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFacts:
    """Who logs in there. ``no_root``: why nothing could be asked as root, in the runner's words,
    which leaves what only root may see as if it were not there; None: it could."""

    name: str
    groups: tuple[str, ...]
    sudo: Sudo
    no_root: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Jtop:
    """jetson-stats, which is optional. ``version``: of the package that the board's Python
    imports; ``service_version``: of the running service; ``member``: the login is in its group."""

    version: str | None = None
    service_version: str | None = None
    active: bool | None = None
    member: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """A file of ours as it is there; no content."""

    sha256: str
    mode: int
    owner: str  # user:group


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What of ours is there. ``releases``: the oldest first, by the time of their directory;
    ``manifests``: release.json of each, by id. ``current`` and ``previous``: ids of releases.
    ``pending``: a release that was switched to and has not proved healthy. ``active``: systemd's
    word for the service; ``None``: no such unit. ``mesh_key``: its public WireGuard key;
    ``meshes``: interfaces of ours, up or not; ``leftovers``: paths of what was cut off."""

    releases: tuple[str, ...] = ()
    manifests: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    environments: tuple[str, ...] = ()
    wheels: Mapping[str, str] = field(default_factory=dict)  # file name to sha256
    models: tuple[str, ...] = ()  # NAME-DIGEST
    profiles: Mapping[str, str] = field(default_factory=dict)  # path below PROFILES to sha256
    files: Mapping[str, FileState] = field(default_factory=dict)  # absolute path to what it is
    current: str | None = None
    previous: str | None = None
    pending: str | None = None
    user: bool = False
    groups: tuple[str, ...] = ()
    active: str | None = None
    enabled: bool = False
    mesh_key: str | None = None
    mesh_active: bool = False
    meshes: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One board, asked once."""

    board: str
    identity: Identity
    python: PythonFacts | None
    torch: TorchFacts
    power: PowerMode
    network: Network
    storage: Storage
    clock: Clock
    user: UserFacts
    jtop: Jtop
    installed: Installed

"""Where everything lies on a board. deploy/, the unit and the Ansible roles use the same places."""

from __future__ import annotations

ROOT = "/opt/prism-edge"
RELEASES = f"{ROOT}/releases"  # RELEASES/ID: venv, etc, release.json; complete once it exists
ENVIRONMENTS = f"{ROOT}/environments"  # third-party packages, shared by releases
WHEELS = f"{ROOT}/wheels"
CURRENT = f"{ROOT}/current"  # a link to the release that serves
PREVIOUS = f"{ROOT}/previous"  # a link to the one that served before
PENDING = f"{ROOT}/pending"  # exists while a new release has not yet proved healthy
ACTIVATE = f"{ROOT}/activate"  # the script that switches releases, on the board, by itself
LOCK = f"{ROOT}/lock"  # held by flock while somebody deploys

ETC = "/etc/prism-edge"  # what releases share: secrets
TOKEN = f"{ETC}/token"
CERTIFICATE = f"{ETC}/tls/board.crt"
CERTIFICATE_KEY = f"{ETC}/tls/board.key"
AUTHORITY = f"{ETC}/tls/authority.crt"
MESH_FIREWALL = f"{ETC}/mesh-firewall"  # a script
MESH_NFT = f"{ETC}/mesh.nft"
MESH_USERSPACE = f"{ETC}/mesh-userspace"  # a script, for kernels without WireGuard
MESH_KEY = f"{ETC}/mesh.key"  # WireGuard's, made on the board, never leaves it
MESH_PUBLIC_KEY = f"{ETC}/mesh.pub"

# All that a push may lay there, and takes away when it is wished no longer.
SHARED = (
    TOKEN,
    CERTIFICATE,
    CERTIFICATE_KEY,
    AUTHORITY,
    MESH_FIREWALL,
    MESH_NFT,
    MESH_USERSPACE,
    MESH_KEY,
    MESH_PUBLIC_KEY,
)

STATE = "/var/lib/prism-edge"
MODELS = f"{STATE}/models"  # MODELS/NAME-DIGEST; complete as soon as it exists
PROFILES = f"{STATE}/profiles"  # PROFILES/CLUSTER
JOURNAL = f"{STATE}/journal.sqlite"
PRUNED = (RELEASES, ENVIRONMENTS, WHEELS, MODELS, PROFILES)  # what a push clears up in

UNIT = "prism-edge.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
USER = "prism-edge"
KEPT = 3  # releases


def release(identity: str) -> str:
    """The directory of a release."""
    return f"{RELEASES}/{identity}"


def model(name: str, digest: str) -> str:
    """The directory of a model with this content."""
    return f"{MODELS}/{name}-{digest[:12]}"


def mesh_conf(interface: str) -> str:
    """What wg-quick@INTERFACE is configured by."""
    return f"/etc/wireguard/{interface}.conf"


def mesh_drop_in(interface: str) -> str:
    """What is added to wg-quick@INTERFACE."""
    return f"/etc/systemd/system/wg-quick@{interface}.service.d/prism-edge.conf"

"""The mesh on a board: a key that never leaves it, and WireGuard up with what its file says."""

from __future__ import annotations

from shlex import quote

from prism_edge.deploy import paths
from prism_edge.deploy.must import must
from prism_edge.deploy.runner import Runner
from prism_edge.deploy.step import StartMesh

_KEY = """
set -eu
umask 022
mkdir -p {etc}
if ! [ -s {key} ]; then
    (umask 077 && wg genkey >{key}.part)
    sync {key}.part
    mv -fT {key}.part {key}
fi
wg pubkey <{key} >{public}.part
mv -fT {public}.part {public}
"""
# A mesh that is up learns of its peers and its filter without a packet lost; its private key is not
# in the file, and WireGuard would forget it. Another address of its own needs a new interface.
_START = """
set -eu
umask 077
systemctl enable --quiet wg-quick@{interface}
wanted=$(sed -n 's/^Address *= *//p' {conf})
if systemctl --quiet is-active wg-quick@{interface} &&
    ip -o address show dev {interface} | grep -qF " $wanted "; then
    sed -n 's/^PreUp *= *//p' {conf} | sed 's/%i/{interface}/g' | sh -e
    joined=$(mktemp)
    trap 'rm -f "$joined"' EXIT
    wg-quick strip {interface} | sed "s|^\\[Interface\\]|&\\nPrivateKey = $(cat {key})|" >"$joined"
    wg syncconf {interface} "$joined"
else
    systemctl restart wg-quick@{interface}
fi
"""


def make_mesh_key(_: object, runner: Runner, __: object) -> None:
    """The board has a private key, the one it had if it had one, and its public half beside it."""
    must(
        runner,
        "no key for the mesh can be made",
        _KEY.format(etc=paths.ETC, key=paths.MESH_KEY, public=paths.MESH_PUBLIC_KEY),
        then="install wireguard-tools there (prism-edge check says more)",
    )


def start_mesh(step: StartMesh, runner: Runner, _: object) -> None:
    """The interface is up with its file, now and after every boot."""
    unit = f"wg-quick@{step.interface}"
    try_next = f"see `journalctl -u {unit}` there, and what `prism-edge check` says of WireGuard"
    command = _START.format(
        interface=quote(step.interface),
        conf=quote(paths.mesh_conf(step.interface)),
        key=paths.MESH_KEY,
    )
    must(runner, f"the mesh {step.interface} does not start", command, then=try_next)

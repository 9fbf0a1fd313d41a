"""What of ours is on the board: releases and what they rest on, files, the service, the mesh.

Everything is made under a name that begins with a dot and renamed when it is whole, so that what
has a name is complete. Asked as root where that may be, because secrets are nobody else's.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence

from prism_edge.deploy import paths
from prism_edge.deploy.facts import FileState
from prism_edge.deploy.probes.jetson_stats import unit

RELEASES = f"ls -1tr {paths.RELEASES}"
# A line per release: its id, and its manifest without line ends.
MANIFESTS = f"""\
cd {paths.RELEASES} && for id in *; do
    [ -f "$id/release.json" ] && echo "$id $(tr -d '\\r\\n' <"$id/release.json")"
done
:"""
ENVIRONMENTS = f"ls -1 {paths.ENVIRONMENTS}"
WHEELS = f"cd {paths.WHEELS} && sha256sum *.whl; :"
MODELS = f"ls -1 {paths.MODELS}"
PROFILES = f"cd {paths.PROFILES} && find . -type f ! -path '*/.*' -exec sha256sum {{}} +; :"
CURRENT = f"readlink {paths.CURRENT}"
PREVIOUS = f"readlink {paths.PREVIOUS}"
PENDING = f"cat {paths.PENDING}"  # as activate.sh writes it: new id, old one, the one before
GROUPS = f"id -Gn {paths.USER}"
SERVICE = f"systemctl show -p LoadState -p ActiveState -p UnitFileState {paths.UNIT}"
MESH_KEY = f"cat {paths.MESH_PUBLIC_KEY}"
# Ours are those whose unit has our drop-in; an interface may have been taken away since.
MESH = f"""\
for d in {paths.mesh_drop_in("*")}; do
    [ -e "$d" ] || continue
    u=${{d%.d/*}} && u=${{u##*/}} && i=${{u#*@}} && i=${{i%.service}}
    up=down
    systemctl --quiet is-active "$u" && ip link show dev "$i" >/dev/null && up=up
    echo "$i $up"
done
:"""
# What a power cut has left half made, or half removed.
LEFTOVERS = (
    f"ls -1d {' '.join(f'{place}/.making* {place}/.removing*' for place in paths.PRUNED)}; :"
)

_NAME = r"[A-Za-z0-9_][\w.+-]*"


def files_command(files: Sequence[str]) -> str:
    """The line that prints digest, mode, owner and path of those of ``files`` that are there."""
    return f"""\
for f in {shlex.join(files)}; do
    [ -f "$f" ] && s=$(sha256sum <"$f") && m=$(stat -Lc '%a %U:%G' "$f") && echo "${{s%% *}} $m $f"
done
:"""


def names(listing: str) -> tuple[str, ...]:
    """The names in their order; names that are none of ours are left out."""
    found = (re.fullmatch(_NAME, line, re.ASCII) for line in listing.splitlines())
    return tuple(name[0] for name in found if name)


def digests(text: str) -> dict[str, str]:
    """What ``sha256sum`` prints: file names to digests."""
    found = re.findall(r"^([0-9a-f]{64}) [ *](?:\./)?(.+)$", text, re.MULTILINE)
    return {name: sha for sha, name in found}


def manifests(text: str) -> dict[str, Mapping[str, object]]:
    """release.json of each release, by id; one that is broken is left out."""
    found: dict[str, Mapping[str, object]] = {}
    for line in text.splitlines():
        name, _, content = line.partition(" ")
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and names(name):
            found[name] = value
    return found


def file_states(text: str) -> dict[str, FileState]:
    """What ``files_command`` prints, by path."""
    found = re.findall(
        r"^([0-9a-f]{64}) ([0-7]{1,4}) (\S+:\S+) (/.*)$", text, re.MULTILINE | re.ASCII
    )
    return {
        path: FileState(sha256=sha, mode=int(mode, 8), owner=owner)
        for sha, mode, owner, path in found
    }


def meshes(text: str) -> tuple[tuple[str, ...], bool]:
    """Interfaces of ours, and whether one of them is up."""
    said = [line.split() for line in text.splitlines()]
    return tuple(words[0] for words in said), any(words[-1] != "down" for words in said)


def leftovers(text: str) -> tuple[str, ...]:
    """Their paths."""
    known = tuple(f"{place}/." for place in paths.PRUNED)
    return tuple(line for line in text.splitlines() if line.startswith(known))


def mesh_key(text: str) -> str | None:
    """The public key, as WireGuard writes them."""
    found = re.fullmatch(r"([A-Za-z0-9+/]{43}=)\n?", text)
    return found[1] if found else None


def target(link: str) -> str | None:
    """The id of the release that a link points to."""
    found = names(link.strip().rpartition("/")[2])
    return found[0] if found else None


def pending(text: str) -> str | None:
    """The id of the release that was switched to and has not proved healthy."""
    found = names(text.partition(" ")[0].strip())
    return found[0] if found else None


def service(text: str) -> tuple[str | None, bool]:
    """systemd's word for our service, None if there is none, and whether it starts with a boot."""
    said = unit(text)
    return said.get("ActiveState") or None, said.get("UnitFileState") == "enabled"

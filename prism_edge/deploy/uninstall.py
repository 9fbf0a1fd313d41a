"""A board with nothing of ours: service stopped; releases, units, secrets, user and mesh gone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

from prism_edge.deploy import paths
from prism_edge.deploy.everywhere import Found, Open, everywhere
from prism_edge.deploy.locks import held
from prism_edge.deploy.must import must
from prism_edge.deploy.runner import Runner
from prism_edge.settings import BoardSettings

_UNITS = (paths.UNIT, "prism-edge-settle.service")
_CACHE = "/var/cache/prism-edge"  # the unit's CacheDirectory
_SECRETS = (*paths.SHARED, f"{paths.ETC}/tls")
# Each thing that goes is printed, so that the second time nothing is. A mesh is ours if its file
# names our key. What others keep in /etc/prism-edge stays, and so does the directory then.
_COMMAND = """
set -eu
drop() {{
    if [ -e "$1" ] || [ -L "$1" ]; then
        rm -rf "$1"
        echo "$1"
    fi
}}
if systemctl --quiet is-active prism-edge-activate.service; then
    echo 'a switch is under way on this board' >&2
    exit 1
fi
for unit in {units}; do
    if [ -e "/etc/systemd/system/$unit" ]; then
        systemctl disable --quiet --now "$unit"
        drop "/etc/systemd/system/$unit"
    fi
done
for file in /etc/wireguard/*.conf; do
    if grep -qsF {mesh_key} "$file"; then
        mesh=$(basename "$file" .conf)
        systemctl disable --quiet --now "wg-quick@$mesh.service"
        drop "$file"
        drop "/etc/systemd/system/wg-quick@$mesh.service.d/prism-edge.conf"
        rmdir --ignore-fail-on-non-empty "/etc/systemd/system/wg-quick@$mesh.service.d" || :
    fi
done
systemctl daemon-reload
systemctl reset-failed {units} 2>/dev/null || :
for path in {secrets}; do
    drop "$path"
done
if [ -e {root} ]; then  # all at once, because the lock in it is written again meanwhile
    rm -rf {away}
    mv -T {root} {away}
    echo {root}
fi
rm -rf {away}
if [ -d {etc} ]; then
    find {etc} -name '.*.part*' -delete  # of a push that was cut off
    rmdir --ignore-fail-on-non-empty {etc}
fi
if [ {keep} = no ]; then
    drop {state}
    drop {cache}
    if id -u {user} >/dev/null 2>&1; then
        userdel {user}
        echo 'user {user}'
    fi
fi
"""


def uninstall(
    boards: Sequence[BoardSettings], opened: Open, who: str, *, keep_data: bool
) -> tuple[Found[tuple[str, ...]], ...]:
    """What was removed from each board; nothing if nothing was there. ``keep_data``: journal,
    models and tables stay, with the user they belong to."""
    command = _COMMAND.format(
        units=" ".join(_UNITS),
        mesh_key=paths.MESH_KEY,
        secrets=" ".join(_SECRETS),
        root=paths.ROOT,
        away=f"{paths.ROOT}.removing",
        etc=paths.ETC,
        state=paths.STATE,
        cache=_CACHE,
        user=paths.USER,
        keep="yes" if keep_data else "no",
    )

    def one(_: BoardSettings, runner: Runner) -> tuple[str, ...]:
        there = runner.run(f"test -e {paths.ROOT}").code == 0
        # without it a lock would make the directory that shall be gone
        with held(runner, who) if there else nullcontext():
            then = "do it again; what is gone stays gone"
            about = "not all of it could be removed"
            return tuple(must(runner, about, command, then=then, timeout_s=600).splitlines())

    return everywhere(boards, opened, one)

"""Why a board cannot become what is wished: everything that is in the way at once. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prism_edge.deploy.bundle import same
from prism_edge.deploy.facts import Facts
from prism_edge.deploy.wish import Wish
from prism_edge.errors import ClusterError

OLDEST = (3, 10)
_HOMES = ("/home/", "/root/")
_SPARE_BYTES = 256 << 20  # for the journal, and for what a system writes meanwhile
_MIB = 1 << 20


def refuse(wish: Wish, facts: Facts, needed_bytes: int) -> None:
    """Nothing is in the way. Raises ``ClusterError`` that names board, what and remedy.

    ``needed_bytes``: what the steps put on the board's disk.
    """
    refuse_board(facts)
    found = [*_bundle(wish, facts), *_torch(wish, facts), *_mesh(wish, facts)]
    _say(facts, [*found, *_another(wish, facts), *_disk(facts, needed_bytes)])


def refuse_board(facts: Facts) -> None:
    """The board can be deployed to at all, whatever is wished. Raises ``ClusterError``."""
    _say(facts, [*_python(facts), *_rights(facts)])


def _say(facts: Facts, found: Sequence[str]) -> None:
    if found:
        where = f"board {facts.board}: "
        raise ClusterError(
            "\n".join(text if text.startswith("board ") else where + text for text in found)
        )


def _python(facts: Facts) -> Iterator[str]:
    if facts.python is None:
        yield (
            "no Python there; install python3 and python3-venv (apt), or write `python` of this "
            "board in cluster.toml: an interpreter that it has"
        )
        return
    version = facts.python.version
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        about = f" (JetPack {facts.identity.jetpack})" if facts.identity.jetpack else ""
        yield (
            f"Python {version} there{about}, 3.10 is the oldest that works; JetPack 6 has it: "
            f"flash the board anew, or install a newer Python and write `python` in cluster.toml"
        )
    elif not facts.python.venv:
        yield (
            f"{facts.python.executable} cannot make environments; "
            f"install python{'.'.join(version.split('.')[:2])}-venv (apt install python3-venv)"
        )


def _rights(facts: Facts) -> Iterator[str]:
    if facts.user.no_root is not None:
        yield facts.user.no_root
    elif facts.user.sudo == "none":
        yield (
            f"{facts.user.name} may not use sudo there; log in as a user who may (`ssh` in "
            f"cluster.toml), or add it to the group: sudo adduser {facts.user.name} sudo"
        )


def _another(wish: Wish, facts: Facts) -> Iterator[str]:
    has = facts.installed.manifests.get(wish.release)
    if has is not None and has.get("board") != wish.board:
        yield (
            f"this is the board that was deployed to as {has.get('board')}: its release says so; "
            f"is `ssh` of both right in cluster.toml? If the name is new, remove the old one "
            f"first: prism-edge deploy uninstall --cluster FILE --limit {wish.board}"
        )


def _bundle(wish: Wish, facts: Facts) -> Iterator[str]:
    bundle, python = wish.bundle, facts.python
    assert python is not None
    wrong = []
    version = ".".join(python.version.split(".")[:2])
    if bundle.python != version:
        wrong.append(f"Python {bundle.python}, the board has {version}")
    if bundle.machine != facts.identity.architecture:
        wrong.append(f"{bundle.machine}, the board is {facts.identity.architecture}")
    for name, meant in sorted(bundle.pins.items()):
        found = facts.torch.pins.get(name)
        if found is None or not same(found, meant):
            wrong.append(f"a board with {name} {meant}, it has {found or 'none'}")
    if wrong:
        yield (
            f"the bundle in {bundle.directory} is for {'; for '.join(wrong)}; make one for this "
            f"board: prism-edge deploy bundle --cluster cluster.toml"
        )


def _torch(wish: Wish, facts: Facts) -> Iterator[str]:
    torch, inside = facts.torch, {wheel.name for wheel in wish.bundle.wheels.values()}
    if not wish.own_torch:
        if "torch" not in inside:
            yield (
                "there would be no torch: the bundle brings none and is for boards without their "
                "own; make one with --torch torch==VERSION, or with --have for the board's own"
            )
        elif torch.cuda is not None:
            yield (
                f"it has torch {torch.version} for its GPU (CUDA {torch.cuda}), and the bundle "
                f"brings another; make one that leaves it alone: prism-edge deploy bundle "
                f"--cluster cluster.toml --limit {facts.board}"
            )
        return
    if torch.error is not None:
        yield f"its torch cannot be imported: {torch.error}; mend it, prism-edge check says how"
        return
    if torch.location is not None and torch.location.startswith(_HOMES):
        yield (
            f"its torch is in {torch.location}, a home directory, which the service must not see; "
            f"install it for everybody: sudo python3 -m pip install of the same wheel"
        )
    if wish.several and (torch.distributed is False or torch.gloo is False):
        lacks = "torch.distributed" if torch.distributed is False else "GLOO"
        yield (
            f"its torch {torch.version} was built without {lacks}, and so cannot work with other "
            f"boards; install the torch for this JetPack from the Jetson AI Lab index, or serve "
            f"from this board alone (a cluster.toml of one board)"
        )


def _mesh(wish: Wish, facts: Facts) -> Iterator[str]:
    if wish.mesh is not None and facts.network.wireguard == "none":
        why = facts.network.wireguard_why
        yield (
            f"no WireGuard there{f' ({why})' if why else ''}, and [mesh] asks for it; install "
            f"wireguard-tools, and wireguard-go where the kernel has no module; or leave out "
            f"[mesh] where you trust the network between the boards"
        )


def _disk(facts: Facts, needed_bytes: int) -> Iterator[str]:
    free = facts.storage.free_bytes
    wanted = needed_bytes + _SPARE_BYTES if needed_bytes else 0
    if free is not None and free < wanted:
        yield (
            f"{free // _MIB} MiB are free where releases go and {-(-wanted // _MIB)} MiB are "
            f"needed; make room (apt clean, docker image prune, old models), or use a larger disk"
        )

"""Why a board cannot become what is wished: everything that is in the way at once. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prism_edge.deploy.facts import Facts
from prism_edge.deploy.findings import findings
from prism_edge.deploy.wish import Wish
from prism_edge.errors import ClusterError
from prism_edge.settings import BoardSettings, Settings

# What ``prism-edge check`` finds, and what a push then refuses: whatever the wish is, ...
_ALWAYS = frozenset({"python-missing", "python-old", "venv-missing", "no-sudo"})
# ... and where the board's own torch is to be used, or a mesh is wished.
_TORCH = frozenset({"torch-broken", "torch-in-home", "torch-no-distributed", "gloo-fails"})
_MESH = frozenset({"mesh-impossible"})
_SPARE_BYTES = 256 << 20  # for the journal, and for what a system writes meanwhile
_MIB = 1 << 20


def refuse(wish: Wish, facts: Facts, needed_bytes: tuple[int, int]) -> None:
    """Nothing is in the way. Raises ``ClusterError`` that names board, what and remedy.

    ``needed_bytes``: what the steps put where releases go, and where models go.
    """
    refuse_board(facts, wish.settings, wish.board)
    codes = _MESH | _TORCH if wish.own_torch else _MESH
    found = [*_misfit(wish, facts), *_found(facts, wish.settings, wish.board, codes)]
    _say(facts, [*found, *_another(wish, facts), *_disk(facts, needed_bytes)])


def refuse_board(facts: Facts, settings: Settings, board: BoardSettings) -> None:
    """The board can be deployed to at all, whatever is wished. Raises ``ClusterError``."""
    no_root = [facts.user.no_root] if facts.user.no_root and facts.user.sudo != "none" else []
    _say(facts, [*_found(facts, settings, board, _ALWAYS), *no_root])


def _say(facts: Facts, found: Sequence[str]) -> None:
    if found:
        where = f"board {facts.board}: "
        raise ClusterError(
            "\n".join(text if text.startswith("board ") else where + text for text in found)
        )


def _found(
    facts: Facts, settings: Settings, board: BoardSettings, codes: frozenset[str]
) -> Iterator[str]:
    for one in findings(facts, settings, board):
        if one.code in codes and one.severity == "blocked":
            lines = one.remedy.splitlines()
            remedy = (f"`{x.removeprefix('$ ')}`" if x.startswith("$ ") else x for x in lines)
            yield f"{one.what} ({one.where}). {' '.join(remedy)}"


def _another(wish: Wish, facts: Facts) -> Iterator[str]:
    has = facts.installed.manifests.get(wish.release)
    if has is not None and has.get("board") != wish.board.name:
        yield (
            f"this is the board that was deployed to as {has.get('board')}: its release says so; "
            f"is `ssh` of both right in cluster.toml? If the name is new, remove the old one "
            f"first: prism-edge deploy uninstall --cluster FILE --limit {wish.board.name}"
        )


def _misfit(wish: Wish, facts: Facts) -> Iterator[str]:
    bundle, torch = wish.bundle, facts.torch
    version = facts.python.version if facts.python else ""
    wrong = bundle.misfits(version, facts.identity.architecture, torch.pins)
    if wrong:
        yield (
            f"the bundle in {bundle.directory} is for {'; for '.join(wrong)}; make one for this "
            f"board: prism-edge deploy bundle --cluster cluster.toml"
        )
    if wish.own_torch:
        return
    if "torch" not in {wheel.name for wheel in bundle.wheels.values()}:
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


def _disk(facts: Facts, needed_bytes: tuple[int, int]) -> Iterator[str]:
    """Releases and models may lie on one file system or on two."""
    free, data_free = facts.storage.free_bytes, facts.storage.data_free_bytes
    places = [("releases", free, needed_bytes[0]), ("models", data_free, needed_bytes[1])]
    if data_free is None:
        places = [("releases and models", free, sum(needed_bytes))]
    for what, room, needed in places:
        if room is not None and needed and room < needed + _SPARE_BYTES:
            yield (
                f"{room // _MIB} MiB are free where {what} go and "
                f"{-(-(needed + _SPARE_BYTES) // _MIB)} MiB are needed; make room (apt clean, "
                f"docker image prune, old models), or use a larger disk"
            )

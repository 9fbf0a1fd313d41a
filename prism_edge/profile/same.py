"""Whether a run may continue another: what would make their rows two different things. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prism_edge.tables import Profile


def differences(then: Profile, now: Profile) -> Iterator[str]:
    """What is not as it was, in words; facts that only one side states are not compared."""
    for name, before, after in (
        ("prism-edge", then.version, now.version),
        ("the cluster", then.cluster, now.cluster),
        ("its kind", then.kind, now.kind),
        ("the link", then.link_description, now.link_description),
        ("the order of the boards", _names(then), _names(now)),
    ):
        if before != after:
            yield _words(name, before, after)
    yield from _each("the sweep's", then.sweep, now.sweep)
    models = {model.name: model for model in now.models}
    for model in then.models:
        other = models.pop(model.name, None)
        if other is None:
            yield f"model {model.name} is no longer asked for"
        elif other.fingerprint != model.fingerprint:
            yield _words(
                f"the fingerprint of model {model.name}",
                model.fingerprint[:12],
                other.fingerprint[:12],
            )
    yield from (f"model {name} is new" for name in models)
    boards = {board.name: board for board in now.boards}
    for board in then.boards:
        other_board = boards.get(board.name)
        if other_board is None:
            continue  # the order of the boards has said it
        shared = ("device", board.device, other_board.device)
        power = ("source of power readings", board.power, other_board.power)
        for name, before, after in (shared, power):
            if before != after:
                yield _words(f"board {board.name}: {name}", before, after)
        yield from _each(f"board {board.name}:", board.facts, other_board.facts)


def _each(whose: str, then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for key, before in then.items():
        if now.get(key, before) != before:
            yield _words(f"{whose} {key}", before, now[key])


def _words(name: str, then: str, now: str) -> str:
    return f"{name} was {then!r}, is {now!r}"


def _names(profile: Profile) -> str:
    return ", ".join(board.name for board in profile.boards)

"""The conductor: all boards are made ready while they serve, then switched one after the other.

1. On every board at once: look, and everything that does not touch what serves.
2. A canary is switched; if it does not prove healthy, nobody else is. Then the other workers at
   once, the leader last. A board that fails is back on its old release by itself.
3. The leader must see all of them in one group; otherwise all go back.

An error ends its own board only. Ctrl-C ends all of it: no further step begins, and boards that
were switched go back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TypeAlias

from prism_edge.deploy.facts import Facts
from prism_edge.deploy.part import Outcome, Part, Tell, Together
from prism_edge.deploy.site import Site
from prism_edge.deploy.step import Activate, MakeMeshKey, Prune
from prism_edge.deploy.steps import steps
from prism_edge.deploy.wish import Wish
from prism_edge.errors import PrismError, SettingsError
from prism_edge.settings import BoardSettings, Settings

Open: TypeAlias = Callable[[BoardSettings], AbstractContextManager[Site]]
# what a board shall be, given the public mesh keys of all boards
Wished: TypeAlias = Callable[[BoardSettings, Facts, Mapping[str, str]], Wish]
KEY_TO_COME = "(made by the push)"  # stands for a mesh key in a dry run


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for. ``boards``: by name, empty: all; ``canary``: None: the last worker that is
    to be switched; ``files``: those outside of releases; ``group_s``: how long a group may take."""

    settings: Settings
    boards: tuple[str, ...] = ()
    canary: str | None = None
    files: tuple[str, ...] = ()
    who: str = "prism-edge deploy push"
    dry_run: bool = False
    group_s: float = 60.0

    def __post_init__(self) -> None:
        for name in (*self.boards, *([self.canary] if self.canary else [])):
            self.settings.board(name)
        if self.canary and self.boards and self.canary not in self.boards:
            raise SettingsError(
                f"--canary {self.canary}: not among --limit {','.join(self.boards)}"
            )


def push(order: Order, opened: Open, wished: Wished, tell: Tell) -> tuple[Outcome, ...]:
    """What came of it, board by board, in the order of the file."""
    return _Push(order, opened, wished, tell).run()


class _Push:
    def __init__(self, order: Order, opened: Open, wished: Wished, tell: Tell) -> None:
        self._order = order
        self._opened = opened
        self._wished = wished
        self._together = Together(tell)
        chosen = order.boards or tuple(board.name for board in order.settings.boards)
        self._parts = [Part(b) for b in order.settings.boards if b.name in chosen]
        self._others = [Part(b) for b in order.settings.boards if b.name not in chosen]

    def run(self) -> tuple[Outcome, ...]:
        try:
            try:
                self._phases()
            except KeyboardInterrupt:
                self._together.stop()
            if self._together.stopped:
                self._interrupted()
            return tuple(part.outcome() for part in self._parts)
        finally:
            for part in (*self._parts, *self._others):
                part.close()

    def _phases(self) -> None:
        self._together.each(self._parts, self._look)
        keys = self._mesh_keys()
        for part in self._alive():
            self._together.guarded(part, lambda part: self._plan(part, keys))
        if self._order.dry_run or self._together.stopped:
            return
        self._together.each(self._alive(), self._prepare)
        if self._together.stopped:
            return
        self._switch()
        if self._together.stopped:
            return
        self._gate()
        well = self._alive()
        for part in well:
            part.state = "changed"
        self._together.each([part for part in well if part.to_do(Prune)], self._prune)

    def _alive(self) -> list[Part]:
        return [part for part in self._parts if part.error is None and part.state is None]

    def _look(self, part: Part) -> None:
        site = part.enter(self._opened(part.settings))
        if not self._order.dry_run:
            part.enter(site.held(self._order.who))
        part.site = site
        self._together.tell(part, "looking")
        part.facts = site.facts(self._order.files)

    def _mesh_keys(self) -> dict[str, str]:
        """Public keys by board; those that have none and can have one make it."""
        if not self._order.settings.mesh.subnet:
            return {}
        self._together.each(self._others, self._look_at_key)
        self._together.each(self._alive(), self._make_key)
        keys = {}
        for part in (*self._alive(), *self._others):
            if part.facts is not None and part.facts.installed.mesh_key is not None:
                keys[part.name] = part.facts.installed.mesh_key
        return keys

    def _look_at_key(self, part: Part) -> None:
        part.facts = part.enter(self._opened(part.settings)).facts(())

    def _make_key(self, part: Part) -> None:
        facts = part.known
        if facts.installed.mesh_key is not None or facts.network.wireguard == "none":
            return
        step = MakeMeshKey(why="the board has no key for the mesh")
        if self._order.dry_run:
            installed = replace(facts.installed, mesh_key=KEY_TO_COME)
            part.facts = replace(facts, installed=installed)
            part.early = (step,)
            return
        self._together.apply(part, step)
        part.facts = part.there.facts(self._order.files)

    def _plan(self, part: Part, keys: Mapping[str, str]) -> None:
        wish = self._wished(part.settings, part.known, keys)
        part.new = wish.release
        part.planned = steps(wish, part.known)
        if not part.planned and not part.early:
            part.state = "unchanged"
        elif self._order.dry_run:
            part.state = "would change"

    def _prepare(self, part: Part) -> None:
        for step in part.planned:
            if not isinstance(step, Activate | Prune):
                self._together.apply(part, step)

    def _switch(self) -> None:
        """The canary, the other workers, the leader."""
        leader = self._order.settings.leader
        waiting = [part for part in self._alive() if part.to_do(Activate)]
        if any(part.name == leader and (part.lost or not part.facts) for part in self._parts):
            why = f"the leader {leader} cannot be asked whether all of them work together"
            self._wait_for_another_push(waiting, why)
            return
        workers = [part for part in waiting if part.name != leader]
        named = [part for part in waiting if part.name == self._order.canary]
        canary = named or workers[-1:] or waiting
        self._together.each(canary, self._activate, final=True)
        failed = [part for part in canary if part.error is not None]
        rest = [part for part in waiting if part not in canary]
        if failed:
            self._wait_for_another_push(rest, f"{failed[0].name} went first and failed")
            return
        for group in ([p for p in rest if p.name != leader], [p for p in rest if p.name == leader]):
            if self._together.stopped:
                return
            self._together.each(group, self._activate, final=True)

    def _wait_for_another_push(self, parts: Sequence[Part], why: str) -> None:
        for part in parts:
            part.state = "prepared"
            part.error = (
                f"not switched, because {why}; it serves {part.old or 'nothing'}, as before; mend "
                f"that board and push again"
            )

    def _activate(self, part: Part) -> None:
        for step in part.planned:
            if isinstance(step, Activate):
                self._together.apply(part, step, final=True)

    def _gate(self) -> None:
        """The leader sees all boards that were switched; otherwise they go back."""
        switched = [part for part in self._alive() if part.did(Activate)]
        try:
            site = self._leader(switched)
            if site is None:
                return
            for part in switched:
                self._together.tell(part, "waiting for the group")
            site.await_group([part.name for part in switched], self._order.group_s)
        except PrismError as error:
            self._back(switched, f"the boards did not come together: {error}")

    def _leader(self, switched: Sequence[Part]) -> Site | None:
        """Who is asked for the group; None: nobody else is there that could be in it."""
        name = self._order.settings.leader
        if not any(part.name != name for part in switched):
            others = [p for p in self._parts if p.name != name and p.serves and not p.lost]
            return switched[0].site if switched and others else None
        for part in self._parts:
            if part.name == name:
                return part.site if part.serves else None
        (part,) = (part for part in self._others if part.name == name)
        part.site = part.enter(self._opened(part.settings))
        part.facts = part.site.facts(())
        return part.site if part.serves else None

    def _back(self, switched: Sequence[Part], why: str) -> None:
        self._together.each(list(switched), lambda part: self._take_back(part, why), final=True)

    def _take_back(self, part: Part, why: str) -> None:
        (step,) = (step for step in part.planned if isinstance(step, Activate))
        if step.restart or step.old is None:
            what = "nothing served before" if step.old is None else "it has the same release"
            part.fail(f"{why}; there is nothing to go back to: {what}")
            return
        self._together.tell(part, f"going back to {step.old}")
        part.there.apply(
            Activate(why=why, id=step.old, old=step.id, back=True),
            lambda text: self._together.tell(part, text),
        )
        part.state, part.error = "rolled back", f"{why}; it serves {step.old} again"

    def _prune(self, part: Part) -> None:
        """What is left over is no reason to go back, and the next push tries again."""
        for step in part.planned:
            if isinstance(step, Prune):
                try:
                    self._together.apply(part, step, final=True)
                except PrismError as error:
                    part.error = f"it serves {part.new}; {error}"

    def _interrupted(self) -> None:
        """Boards that were switched go back, because nobody has seen that they work together."""
        switched = [part for part in self._alive() if part.did(Activate)]
        self._back(switched, "interrupted")
        for part in self._parts:
            if part.state is None or (part.state == "interrupted" and part.error is None):
                part.error = f"interrupted; it serves {part.old or 'nothing'}, as before"
            if part.state is None or part in switched:
                part.state = "interrupted"

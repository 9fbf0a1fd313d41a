"""The benchmark of decisions: a lab and a trace in, rounds and tables out, also if interrupted.

The lab is profiled first, in the same run, unless tables are given; then its link and its last
board are changed as the trace says, while everyone answers it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from prism_edge import tables
from prism_edge.bench.arena import Arena, tokens_of
from prism_edge.bench.cases import TEXT_TOKENS
from prism_edge.bench.conditions import hour, place_of, weights_of
from prism_edge.bench.contest import Round, fits, play
from prism_edge.bench.deciding import Timing, many_plans, time_decisions
from prism_edge.bench.player import Player
from prism_edge.bench.trace import MIX, Situation, Trace, make_trace
from prism_edge.cluster.burden import loaded
from prism_edge.cluster.lab import Lab
from prism_edge.cluster.shaping import format_rate, parse_rate
from prism_edge.errors import ClusterError, SettingsError
from prism_edge.plan import LOCAL, Plan
from prism_edge.profile.engines import start_engines
from prism_edge.profile.place import find_place
from prism_edge.profile.session import profile_cluster
from prism_edge.profile.sweep import Wish
from prism_edge.schedule.adapt import Adaptive
from prism_edge.schedule.aims import aim_of
from prism_edge.schedule.cost import Costs, costs_of
from prism_edge.schedule.events import Aim, Started
from prism_edge.settings import ModelSettings, Settings
from prism_edge.tables.digest import digest

TIMEOUT_S = 600.0  # longest silence inside an exchange
PROFILE_PART = 0.25  # of all the time, for the progress shown

Tell = Callable[[str, float], None]  # what is going on, and how much of everything is through


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to try. ``plans``: static contestants, and the only candidates; local is always one.

    ``random``: names of the models whose weights are. ``profile``: tables to decide by; None: the
    lab is profiled first.
    """

    models: tuple[ModelSettings, ...]
    random: tuple[str, ...] = ()
    plans: tuple[Plan, ...]
    requests: int = 240
    seed: int = 0
    profile: Path | None = None

    def __post_init__(self) -> None:
        if not self.models:
            raise SettingsError("--model: at least one is needed")
        if len(self.contestants) < 2:
            raise SettingsError("--plan: at least one besides local is needed")
        make_trace(self.requests, ["any"], self.seed)

    @property
    def contestants(self) -> tuple[Plan, ...]:
        """The static plans, local first."""
        return tuple(dict.fromkeys((LOCAL, *self.plans)))


@dataclass(slots=True)
class Found:
    """What has been found so far. ``tokens``: by model. ``profiled``: batches by model, and the
    rate where it is known."""

    plans: tuple[str, ...] = ()
    seed: int = 0
    trace: Trace = ()
    rounds: list[Round] = field(default_factory=list)
    costs: Mapping[str, Costs] = field(default_factory=dict)
    aim: Aim = field(default_factory=Aim)
    tokens: Mapping[str, int] = field(default_factory=dict)
    profiled: Mapping[str, frozenset[int]] = field(default_factory=dict)
    profiled_bps: float | None = None
    timing: Timing | None = None
    conditions: dict[str, object] = field(default_factory=dict)


def bench(settings: Settings, wanted: Wanted, found: Found, tell: Tell) -> None:
    """The trace, answered; ``found`` grows by one request at a time.

    Ctrl-C, or a board that is lost half-way, is raised again and leaves in ``found`` what was
    finished. The links are as they were, and no board is loaded. Raises ``SettingsError`` for
    anything but a lab, and for an objective that nobody here is judged by.
    """
    if settings.policy.objective != "latency":
        raise SettingsError(
            f"cluster {settings.name}: objective = {settings.policy.objective!r}; decisions are "
            f"judged by latency here: set it to 'latency' in [policy], or leave --cluster out"
        )
    if settings.kind == "boards":
        raise SettingsError(
            f"cluster {settings.name}: kind = 'boards'; links are changed in a lab only "
            f"(`prism-edge lab up`), or leave --cluster out"
        )
    settings = replace(settings, models=wanted.models)
    lab = Lab.load(settings.name)
    with ExitStack() as stack:
        stack.enter_context(hour(found.conditions))
        _describe(settings, wanted, found)
        directory = wanted.profile
        if directory is None:
            directory = Path(stack.enter_context(TemporaryDirectory(prefix="prism-edge-bench-")))
            _profile(settings, wanted, directory, tell)
        profile = tables.read(directory)
        stack.callback(_restore, lab, {b.name: b.link.rate_bps for b in lab.state.boards})
        _contest(settings, wanted, lab, profile, digest(directory), found, tell)


def _contest(
    settings: Settings,
    wanted: Wanted,
    lab: Lab,
    profile: tables.Profile,
    name: str,
    found: Found,
    tell: Tell,
) -> None:
    names = [model.name for model in wanted.models]
    found.costs = {model: costs_of(profile, model) for model in names}
    found.profiled = {
        model: frozenset(row.batch for row in profile.compute if row.model == model)
        for model in names
    }
    found.profiled_bps = _rate_of(profile)
    found.conditions["profile"] = {
        "quick": profile.sweep.get("quick", "unknown"),
        "batches": profile.sweep.get("batches", "unknown"),
        "link": profile.link_description,
        "seconds": profile.conditions.get("seconds", "unknown"),
        "given": wanted.profile is not None,
    }
    place = find_place(settings)
    found.aim = aim = aim_of(settings)
    found.conditions["aim"] = asdict(aim)
    tell("loading", PROFILE_PART)
    with start_engines(
        place.hosts, settings.models, timeout_s=TIMEOUT_S, pace_file=place.pace_file
    ) as engines:
        found.conditions["torch"] = engines.fact(0, "torch")
        loaded_models = {model.name: model for model in engines.models}
        found.tokens = {model: tokens_of(loaded_models[model], TEXT_TOKENS) for model in names}
        if len(place.hosts) > 1:
            engines.join()
        arena = Arena(engines, found.tokens, wanted.seed)
        for model in names:
            _warm_up(arena, model, wanted, tell)
        started = Started(
            now_s=0.0,
            aim=aim,
            profile=name,
            boards=tuple(board.name for board in settings.ranked),
        )
        player = Player(Adaptive(found.costs, aim, wanted.contestants), arena, started)

        @contextmanager
        def within(situation: Situation) -> Iterator[None]:
            for board in lab.state.boards:
                lab.set_link(board.name, rate_bps=situation.rate_bps)
            with loaded(lab.host(settings.ranked[-1].name), situation.slowed):
                yield

        found.trace = make_trace(wanted.requests, names, wanted.seed)
        for one in play(found.trace, arena, player, wanted.contestants, within, wanted.seed):
            found.rounds.append(one)
            rate = format_rate(found.trace[one.situation].rate_bps)
            share = PROFILE_PART + (1 - PROFILE_PART) * len(found.rounds) / wanted.requests
            tell(f"{rate}, batch {one.batch}: {one.adaptive.plan}", share)
    many = many_plans(found.costs[names[0]].shape, found.tokens[names[0]], len(place.hosts))
    found.timing = time_decisions(Adaptive(found.costs, aim, many), player.events)


def _profile(settings: Settings, wanted: Wanted, directory: Path, tell: Tell) -> None:
    """Tables of the lab as it is now, in ``directory``."""
    ls = sorted({plan.l for plan in wanted.plans if isinstance(plan.l, int)})
    wish = Wish(ls=tuple(ls) or (1,), quick=True, seed=wanted.seed)
    done = profile_cluster(settings, wish, directory, progress=_Told(tell))
    if done.stopped == "interrupted":
        raise KeyboardInterrupt
    if done.stopped is not None:
        raise ClusterError(f"the lab could not be profiled: {done.stopped}")


class _Told:
    """The profiler's progress as a part of the benchmark's."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def advance(self, text: str, done: float, total: float, already: float = 0.0) -> None:
        share = min(1.0, done / total) if total > 0 else 0.0
        self._tell(f"profiling: {text}", PROFILE_PART * share)

    def close(self) -> None:
        pass


def _warm_up(arena: Arena, model: str, wanted: Wanted, tell: Tell) -> None:
    """Everything has been answered once, uncounted."""
    for plan in wanted.contestants:
        for batch in MIX:
            if fits(plan, arena.shape(model), batch, arena.tokens(model), arena.boards):
                tell(f"{model}, warm-up", PROFILE_PART)
                arena.run(model, batch, plan)


def _restore(lab: Lab, rates_bps: Mapping[str, float]) -> None:
    for board, rate_bps in rates_bps.items():
        lab.set_link(board, rate_bps=rate_bps)


def _rate_of(profile: tables.Profile) -> float | None:
    """The nominal rate the links had while they were profiled; None where the tables do not say."""
    try:
        return parse_rate(profile.link_description.partition(",")[0])
    except SettingsError:
        return None


def _describe(settings: Settings, wanted: Wanted, found: Found) -> None:
    found.plans = tuple(map(str, wanted.contestants))
    found.seed = wanted.seed
    found.conditions |= {
        **place_of(settings, find_place(settings)),
        "models": weights_of(wanted.models, wanted.random),
        "latency": (
            "in the leader's engine, from the decoded request to its outputs; adaptive: and "
            "choosing, and waiting for the end of a probe, but not putting the reason into words, "
            "which the daemon does while the engine computes"
        ),
        "energy": (
            "MODELLED, by the lab's model: idle watts of all boards over the request, and busy "
            "watts over the CPU time of the engines; gaps are left out, probes counted"
        ),
        "requests": wanted.requests,
        "seed": wanted.seed,
    }

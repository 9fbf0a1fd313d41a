"""What the numbers do not cover, said plainly; every sentence follows from how they were made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prism_edge.energy.meter import COVERAGE_NEEDED, RELIABLE_SAMPLES
from prism_edge.energy.rows import JournalData
from prism_edge.energy.sample import Sample
from prism_edge.report.stats import FEWEST, FEWEST_P95
from prism_edge.report.values import Costs, Group

MODELLED = "modelled"
SENSOR = "on-board sensor (VDD_IN: module only)"
NO_POWER = "none"

_SETTINGS = {
    "lab": "emulated lab",
    "paced": "emulated lab, paced processes",
    "boards": "boards",
}

EMULATED = (
    "The boards are emulated: each is a group of processes on one core of one Linux machine. There "
    "is no GPU and no staging of tensors through CPU memory. Ratios between plans can be read from "
    "these numbers; absolute times say nothing about a Jetson board."
)
SHAPED = (
    "The link is a rate set by the kernel on a wire: no Wi-Fi, hence no contention, no loss, no "
    "varying delay."
)
PACED = (
    "The link is a pause in our own processes, not a network: no Wi-Fi, no contention, no loss, no "
    "varying delay."
)
POWER_MODELLED = (
    "Power is modelled from the CPU time of each emulated board; no sensor was read. Joules "
    "compare plans with each other as far as CPU time does, and no further."
)
POWER_SENSED = (
    "Power is that of the module's input rail (VDD_IN) as its own sensor reads it: carrier board, "
    "fan, storage and losses of the supply are left out."
)
CLOCKS = (
    "Power samples carry each board's own clock, requests the leader's. Samples are moved by the "
    "offsets that boards measured with their hellos; in a journal without them an offset shifts a "
    "board's power against the requests."
)
ENERGY = (
    "Energy per request is gross: power of all boards, idle ones included, from dispatch to "
    "completion, divided equally among the requests in flight at each instant, so that requests "
    "and the time between them add up to what the boards drew. Its interval holds the scatter, "
    "the power between samples and the sensors' step, not their offset and gain. It is "
    f"not given below {100 * COVERAGE_NEEDED:.0f} % coverage, and marked unreliable under "
    f"{RELIABLE_SAMPLES} samples."
)
BATCHES = (
    "A request here is one executed batch. Requests refused before they ran (full queue, deadline "
    "passed while waiting) are in the daemon's metrics, not in its journal."
)
LATENCIES = (
    "Latency is from the arrival of a batch's first request at the leader to its answer; the way "
    "between client and leader is not in it."
)
INTERVALS = (
    "Intervals are 95 %: order statistics for medians, Student's t for means, none under "
    f"{FEWEST} values. They take requests as independent of each other."
)
PAIRS = (
    "Always-local and always-full-exchange ran in the same phases, on plans the user named. A "
    "speed-up pairs each request with the nearest in time and is the median of those ratios."
)
APPROXIMATE = (
    "Segment Means (prism) approximates. Its accuracy is not in a journal; `prism-edge evaluate` "
    "puts it into the cost tables."
)


def setting_label(kind: str) -> str:
    """Where it ran, in words."""
    return _SETTINGS.get(kind, kind)


def power_label(boards: Mapping[str, str], samples: Iterable[Sample]) -> str:
    """Where watts and joules come from, in words; anything modelled makes the sum modelled."""
    sources = {sample.source for sample in samples} | (set(boards.values()) & {"modelled"})
    if "modelled" in sources:
        return "partly modelled" if "sensor" in sources else MODELLED
    return SENSOR if "sensor" in sources else NO_POWER


def missing(journal: JournalData, boards: Mapping[str, str], has_profile: bool) -> tuple[str, ...]:
    """What a full report would also show, and why this one cannot."""
    asked = {row.plan.partition(":")[0] for row in journal.requests if row.forced and row.ok}
    sampled = {sample.board for sample in journal.samples}
    silent = ", ".join(name for name in boards if name not in sampled)
    said = []
    if not journal.requests:
        said.append("The journal holds no request: there are no latencies to show.")
    else:
        if all(row.forced for row in journal.requests):
            said.append("No request was left to the policy: nothing shows how it chooses.")
        for plan, name in (("local", "always-local"), ("voltage", "always-full-exchange")):
            if plan not in asked:
                said.append(f"No request named the plan {plan}: no comparison with {name}.")
    if not any(event.kind == "phase" for event in journal.events):
        said.append("No phases are marked: all numbers are over the whole run.")
    if not journal.samples:
        said.append("No power samples: there is no energy to show.")
    elif silent:
        said.append(f"No power samples from {silent}: the cluster's energy is unknown.")
    if not has_profile:
        said.append("No cost tables were given (--profile): predictions are not checked.")
    return tuple(said)


def limits(kind: str, power: str, groups: Sequence[Group], costs: Costs | None) -> tuple[str, ...]:
    """The conditions under which the numbers hold, and what must not be read into them."""
    series = [s for g in groups for s in (g.adaptive, g.always_local, g.always_full) if s.n]
    few = sum(s.n < FEWEST_P95 for s in series)
    compared = any(group.always_local.n or group.always_full.n for group in groups)
    approximate = any(plan.startswith("prism") for group in groups for plan in group.plans)
    said = [
        (kind in ("lab", "paced"), EMULATED),
        (kind == "lab", SHAPED),
        (kind == "paced", PACED),
        ("modelled" in power, POWER_MODELLED),
        (power == SENSOR, POWER_SENSED),
        (power != NO_POWER, ENERGY),
        (power != NO_POWER and kind == "boards", CLOCKS),
        (True, BATCHES),
        (True, LATENCIES),
        (True, INTERVALS),
        (
            bool(few),
            f"{few} of {len(series)} latency series have fewer than {FEWEST_P95} batches: their "
            "p95 (marked †) is close to the slowest one.",
        ),
        (compared, PAIRS),
        (approximate and not (costs and costs.accuracy), APPROXIMATE),
    ]
    return tuple(sentence for holds, sentence in said if holds)

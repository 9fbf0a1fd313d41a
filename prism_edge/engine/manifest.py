"""What ranks tell each other once, when their group has formed: plans run on boards that agree.

A manifest is JSON padded to ``MANIFEST_BYTES``. That size and the keys ``version`` and ``protocol``
never change, so that boards of any two releases can read that much of each other. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from prism_edge.errors import ClusterError, PlanError
from prism_edge.plan import Plan

MANIFEST_BYTES = 8192
PROTOCOL = 4  # of the messages between ranks; raised by a change that an older board would misread


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What one board holds. ``models``: fingerprints by name; ``codebooks``: by model, fingerprints
    of codebook files under ``g32-k1024``; ``device`` and ``dtype``: where and in what it computes.
    """

    version: str
    protocol: int
    device: str
    dtype: str
    models: Mapping[str, str]
    codebooks: Mapping[str, Mapping[str, str]]

    def encode(self) -> bytes:
        """``MANIFEST_BYTES`` bytes. Raises ``ClusterError`` when it does not fit into them."""
        text = json.dumps(asdict(self), separators=(",", ":")).encode()
        if len(text) > MANIFEST_BYTES:
            raise ClusterError(
                f"the list of {len(self.models)} models and their codebooks takes {len(text)} of "
                f"{MANIFEST_BYTES} bytes; serve fewer models, or give them shorter names"
            )
        return text.ljust(MANIFEST_BYTES)

    @classmethod
    def decode(cls, data: bytes, rank: int) -> Manifest:
        """What ``rank`` holds. Raises ``ClusterError`` when it speaks another protocol, or none."""
        try:
            said = json.loads(data)
            version, protocol = str(said["version"]), int(said["protocol"])
            if protocol == PROTOCOL:
                return cls(
                    version=version,
                    protocol=protocol,
                    device=str(said["device"]),
                    dtype=str(said["dtype"]),
                    models={str(name): str(digest) for name, digest in said["models"].items()},
                    codebooks={
                        str(name): {str(key): str(digest) for key, digest in files.items()}
                        for name, files in said["codebooks"].items()
                    },
                )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ClusterError(
                f"rank {rank} sent no manifest ({error!r}); install the same prism-edge on every "
                f"board"
            ) from error
        raise ClusterError(
            f"rank {rank} runs prism-edge {version} with wire protocol {protocol}, here it is "
            f"{PROTOCOL}; install the same prism-edge on every board"
        )


def codebook_key(g: int | None, k: int | None) -> str:
    """The name of one codebook file in a manifest."""
    return f"g{g}-k{k}"


def check_agreed(plan: Plan, model: str, ours: Manifest, theirs: Mapping[int, Manifest]) -> None:
    """Every rank of ``plan`` holds what the plan needs, the same as rank 0 (``ours``).

    Raises ``PlanError`` that names the rank, what differs and what to do. What rank 0 itself lacks
    is for the request to say.
    """
    for rank in range(1, plan.p):
        complaint = _model_differs(model, ours, theirs[rank])
        if complaint is None and plan.method == "astra":
            key = codebook_key(plan.g, plan.k)
            complaint = _codebook_differs(model, key, ours, theirs[rank])
        if complaint is not None:
            raise PlanError(f"plan {plan}: rank {rank} {complaint}")


def _model_differs(model: str, ours: Manifest, theirs: Manifest) -> str | None:
    if model not in theirs.models:
        return (
            f"does not serve model {model!r} (it serves {', '.join(theirs.models) or 'none'}); "
            f"list the same models on every board"
        )
    if theirs.models[model] != ours.models.get(model):
        return (
            f"holds another model {model!r} ({theirs.models[model]}, rank 0 holds "
            f"{ours.models.get(model)}); copy the same checkpoint to every board"
        )
    return None


def _codebook_differs(model: str, key: str, ours: Manifest, theirs: Manifest) -> str | None:
    mine = ours.codebooks.get(model, {}).get(key)
    found = theirs.codebooks.get(model, {}).get(key)
    if mine is None or mine == found:
        return None
    again = f"copy astra-{key}.safetensors to every board and restart it"
    if found is None:
        return f"had no codebooks {key} of model {model!r} when it started; {again}"
    return f"holds other codebooks {key} of model {model!r} ({found}, rank 0 holds {mine}); {again}"

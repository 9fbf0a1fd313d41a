"""What a push would change, as words and as differences of files; secrets are never shown."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from prism_edge.deploy import paths
from prism_edge.deploy.step import (
    Activate,
    MakeEnvironment,
    MakeMeshKey,
    MakeRelease,
    MakeUser,
    Prune,
    PutFile,
    SendModel,
    SendTables,
    SendWheels,
    StartMesh,
    Step,
)


def words(step: Step) -> str:
    """The step in a few words, without its reason."""
    match step:
        case MakeUser():
            return f"make the user {paths.USER}"
        case PutFile():
            return f"write {step.path}"
        case SendWheels():
            size = sum(file.bytes for file in step.wheels.values())
            return f"send {_count(len(step.wheels), 'wheel')}, {_mb(size)}"
        case MakeEnvironment():
            torch = f", torch {step.pins['torch']} stays" if "torch" in step.pins else ""
            return f"install {_count(len(step.wheels), 'package')} as environment {step.id}{torch}"
        case SendModel():
            size = sum(file.bytes for file in step.files.values())
            return f"send model {step.name}, {_mb(size)}"
        case SendTables():
            return f"send tables of {step.cluster}"
        case MakeMeshKey():
            return "make a key for the mesh"
        case StartMesh():
            return f"start the mesh on {step.interface}"
        case MakeRelease():
            return f"make release {step.id}"
        case Activate():
            return f"restart release {step.id}" if step.restart else f"serve release {step.id}"
        case Prune():
            kinds = Counter(
                "leftover" if "/." in path else path.split("/")[-2].removesuffix("s")
                for path in step.paths
                if path.startswith(paths.PRUNED)
            )
            single = [path for path in step.paths if not path.startswith(paths.PRUNED)]
            counted = [_count(count, kind) for kind, count in kinds.items()]
            return f"remove {', '.join([*counted, *single])}"


def written(steps: Sequence[Step], current: str | None) -> dict[str, str]:
    """Files that these steps would write and people may want to see: where each is now, by where it
    will be. ``current``: the release that serves; secrets are left out."""
    found = {}
    for step in steps:
        if isinstance(step, PutFile) and not step.secret:
            found[step.path] = step.path
        elif isinstance(step, MakeRelease):
            for name in step.etc:
                old = paths.release(current) if current else paths.release(step.id)
                found[f"{paths.release(step.id)}/etc/{name}"] = f"{old}/etc/{name}"
    return found


def differences(steps: Sequence[Step], there: Mapping[str, str | None]) -> Iterator[str]:
    """Lines of unified diffs. ``there``: what each file of ``written`` holds now."""
    for step in steps:
        if isinstance(step, PutFile) and step.secret:
            yield f"# {step.path}: a secret, not shown"
        elif isinstance(step, PutFile):
            yield from _diff(step.path, there.get(step.path), step.content)
        elif isinstance(step, MakeRelease):
            for name, content in step.etc.items():
                path = f"{paths.release(step.id)}/etc/{name}"
                yield from _diff(path, there.get(path), content)


def _diff(path: str, old: str | None, content: bytes) -> Iterator[str]:
    new = content.decode(errors="replace").splitlines()
    lines = [] if old is None else old.splitlines()
    before = "/dev/null" if old is None else path
    yield from difflib.unified_diff(lines, new, before, path, lineterm="")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"

"""Wheels of what is installed here, with all their files: real packages for pip, without a
download."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from email.parser import HeaderParser
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from prism_edge.deploy.wheel_file import record


def closure(requirements: Iterable[Requirement], without: set[str]) -> dict[str, Distribution]:
    """What the requirements need here, by name, all the way down."""
    queue, found = [(one, "") for one in requirements], dict[str, Distribution]()
    while queue:
        needed, extra = queue.pop()
        name = canonicalize_name(needed.name)
        applies = needed.marker is None or needed.marker.evaluate({"extra": extra})
        if applies and name not in without | set(found):
            found[name] = distribution(name)
            asked = ["", *needed.extras]
            queue += [(Requirement(r), e) for r in found[name].requires or () for e in asked]
    return found


def wheel_of(found: Distribution, directory: Path) -> Path:
    """The wheel that this distribution was installed from, as far as pip can tell."""
    files = {
        str(path): Path(str(found.locate_file(path))).read_bytes()
        for path in found.files or ()
        if not {"..", "__pycache__"} & set(path.parts) and path.suffix != ".pyc"
    }
    (info,) = {name.split("/")[0] for name in files if name.endswith(".dist-info/WHEEL")}
    tags = HeaderParser().parsestr(files[f"{info}/WHEEL"].decode()).get_all("Tag") or []
    parts = zip(*(tag.split("-") for tag in tags), strict=True)
    tag = "-".join(".".join(sorted(set(part))) for part in parts)
    recorded = f"{info}/RECORD"
    files[recorded] = record({k: v for k, v in files.items() if k != recorded}, recorded)
    wheel = directory / f"{info.removesuffix('.dist-info')}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return wheel

"""What pip is told on a board: every wheel by its hash, the board's own packages by exact version.
Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from packaging.utils import parse_wheel_filename

RECIPE = 1  # of how an environment is made; another number gives every environment another id


def requirements_txt(wheels: Mapping[str, str]) -> str:
    """The file for ``pip install --require-hashes``: these wheels (file name to sha256)."""
    lines = []
    for file, sha256 in sorted(wheels.items()):
        name, version, _, _ = parse_wheel_filename(file)
        lines.append(f"{name}=={version} --hash=sha256:{sha256}\n")
    return "".join(lines)


def constraints_txt(pins: Mapping[str, str]) -> str:
    """The file for ``PIP_CONSTRAINT``: what the board has may be nothing else afterwards."""
    return "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


def environment_id(
    python: str,
    machine: str,
    wheels: Mapping[str, str],
    pins: Mapping[str, str],
    own_torch: bool,
) -> str:
    """The name of the environment with these ``wheels`` (file name to sha256; prism-edge's own is
    not among them): 12 hexadecimal digits, the same for the same content."""
    content = {
        "recipe": RECIPE,
        "python": python,
        "machine": machine,
        "wheels": dict(wheels),
        "pins": dict(pins),
        "own_torch": own_torch,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

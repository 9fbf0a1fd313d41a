"""A wheel written here has the same bytes whenever its content is the same: sorted, undated, stored
uncompressed (how well zlib compresses depends on its version)."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold
TAG = "py3-none-any"
WHEEL = f"Wheel-Version: 1.0\nGenerator: prism-edge\nRoot-Is-Purelib: true\nTag: {TAG}\n"


def write_wheel(
    directory: Path,
    name: str,
    version: str,
    files: Mapping[str, bytes],
    dist_info: Mapping[str, bytes],
) -> Path:
    """The pure-Python wheel in ``directory`` that holds ``files``, and ``dist_info`` (METADATA and
    perhaps more) in its .dist-info; WHEEL and RECORD are added."""
    stem = f"{canonicalize_name(name).replace('-', '_')}-{Version(version)}"
    info = f"{stem}.dist-info"
    content = dict(files) | {f"{info}/{path}": data for path, data in dist_info.items()}
    content[f"{info}/WHEEL"] = WHEEL.encode()
    content = dict(sorted(content.items()))
    content[f"{info}/RECORD"] = record(content, f"{info}/RECORD")
    wheel = directory / f"{stem}-{TAG}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_STORED) as archive:
        for path, data in content.items():
            entry = zipfile.ZipInfo(path, FIRST_DATE)
            entry.create_system = 3  # Unix, so that the mode counts
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return wheel


def record(files: Mapping[str, bytes], own_path: str) -> bytes:
    """RECORD: path, hash and size of every file; its own line has neither hash nor size."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.writerow((path, f"sha256={digest}", len(data)))
    rows.writerow((own_path, "", ""))
    return text.getvalue().encode()


def unpacked_bytes(wheel: Path) -> int:
    """What its files take on a disk."""
    with zipfile.ZipFile(wheel) as archive:
        return sum(entry.file_size for entry in archive.infolist())

"""The digest of all files of this Python's torch, torchvision, torchaudio and numpy, by content.

Files that the packages list, and all that lies in their directories besides; not __pycache__, which
Python rewrites as it likes. Threads, because hashing releases the interpreter's lock.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import importlib.metadata
import importlib.util
import json
import os

PINNED = ("torch", "torchvision", "torchaudio", "numpy")


def below(directory: str) -> set[str]:
    """All files and links under a directory."""
    found: set[str] = set()
    for where, directories, names in os.walk(directory):
        links = [name for name in directories if os.path.islink(os.path.join(where, name))]
        found.update(os.path.join(where, name) for name in [*names, *links])
    return found


def files(name: str) -> set[str]:
    """The package's files: listed, and found in its directories; empty if it is not there."""
    found: set[str] = set()
    try:
        listed = importlib.metadata.distribution(name)
        found.update(os.path.abspath(str(listed.locate_file(file))) for file in listed.files or ())
    except importlib.metadata.PackageNotFoundError:
        pass
    spec = importlib.util.find_spec(name)
    for directory in (spec.submodule_search_locations or ()) if spec else ():
        found |= below(directory) | below(directory + ".libs")
    return {path for path in found if "__pycache__" not in path and os.path.lexists(path)}


def digest(path: str) -> str:
    """Of a file's content, or of where a link points."""
    if os.path.islink(path):
        return "link " + os.readlink(path)
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            sha.update(block)
    return sha.hexdigest()


paths = sorted(path for path in set().union(*map(files, PINNED)) if not os.path.isdir(path))
with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
    lines = pool.map(lambda path: f"{path} {digest(path)}\n", paths)
    text = "".join(lines)
total = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
print("prism-edge " + json.dumps({"digest": total if paths else "none"}))

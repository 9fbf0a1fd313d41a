"""ImageNet-1k's validation images as published: folders of synsets, or one flat folder.

Classes count in the order of their synsets, as in every published checkpoint. A flat folder's
labels are LOC_val_solution.csv, imagenet_2012_validation_synset_labels.txt, or the development
kit's ground truth, whose own numbers its meta.mat translates.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from prism_edge.accuracy.data.images import SUFFIXES, in_turn, pictured
from prism_edge.accuracy.data.samples import Samples, Source, class_count, class_numbers
from prism_edge.errors import InputError

SYNSET = re.compile(r"n\d{8}")
FLAT = re.compile(r"ILSVRC2012_val_(\d{8})")
MAPPING, SOLUTION = "LOC_synset_mapping.txt", "LOC_val_solution.csv"
SYNSETS = "imagenet_2012_validation_synset_labels.txt"
TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"


def finds(path: Path) -> bool:
    return path.is_dir() and any(
        FLAT.fullmatch(file.stem) or (SYNSET.fullmatch(file.name) and file.is_dir())
        for place in (path, path / "val")
        if place.is_dir()
        for file in place.iterdir()
    )


def read(source: Source) -> Samples:
    """The folder, or the ``val`` folder in it. Raises ``InputError``."""
    root = source.path
    folder = root / "val" if (root / "val").is_dir() else root
    source.choose("val")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"{folder}: holds no images ({', '.join(SUFFIXES)})")
    if all(SYNSET.fullmatch(file.parent.name) for file in files):
        synsets = {file: file.parent.name for file in files}
        files = in_turn(files)
    else:
        synsets = _flat(root, files)
    files = files[: source.limit]
    if class_count(source.model) is None:
        return pictured(source, root.name, files, None)
    numbers = _numbers(source, sorted(set(synsets.values())))
    labels = np.array([numbers[synsets[file]] for file in files])
    return pictured(source, root.name, files, labels)


def _numbers(source: Source, there: Sequence[str]) -> dict[str, int]:
    """The model's classes by synset: all thousand are known, or the mapping names them."""
    mapping = _near(source.path, MAPPING)
    if mapping is None:
        numbers = class_numbers(source.model, there, f"{source.path} without {MAPPING}")
        assert numbers is not None
        return dict(zip(there, numbers, strict=True))
    pairs = [line.partition(" ") for line in mapping.read_text(encoding="utf-8").splitlines()]
    words = {synset: named for synset, _, named in pairs if synset}
    if missing := [synset for synset in there if synset not in words]:
        raise InputError(f"{mapping}: {missing[0]} is not in it; is it the one of these images?")
    known = sorted(words)
    numbers = class_numbers(source.model, [words[synset] for synset in known], str(mapping))
    assert numbers is not None
    return dict(zip(known, numbers, strict=True))


def _flat(root: Path, files: Sequence[Path]) -> dict[Path, str]:
    """The synset of every image of a flat folder."""
    places = {}
    for file in files:
        found = FLAT.fullmatch(file.stem)
        if found is None:
            raise InputError(f"{file}: neither in a synset's folder nor ILSVRC2012_val_NNNNNNNN")
        places[file] = int(found[1])
    if (solution := _near(root, SOLUTION)) is not None:
        with solution.open(encoding="utf-8", newline="") as table:
            rows = list(csv.DictReader(table))
        by_name = {row["ImageId"]: row["PredictionString"].split()[0] for row in rows}
        try:
            return {file: by_name[file.stem] for file in files}
        except KeyError as error:
            raise InputError(f"{solution}: {error} is not in it") from error
    if (labels := _near(root, SYNSETS)) is not None:
        ordered = labels.read_text(encoding="ascii").split()
    elif (truth := _near(root, TRUTH)) is not None:
        labels, by_number = truth, _devkit(root)
        ordered = [by_number[int(line)] for line in truth.read_text(encoding="ascii").split()]
    else:
        raise InputError(
            f"{root}: a flat folder needs its labels beside it: {SOLUTION}, {SYNSETS}, or {TRUTH} "
            f"with the development kit's {META}"
        )
    if max(places.values()) > len(ordered):
        raise InputError(f"{labels}: {len(ordered)} labels, image {max(places.values())} has none")
    return {file: ordered[place - 1] for file, place in places.items()}


def _devkit(root: Path) -> dict[int, str]:
    """Synsets by the development kit's own numbers."""
    path = _near(root, META)
    if path is None:
        raise InputError(f"{root}: {TRUTH} needs the development kit's data/{META} beside it")
    try:
        from scipy.io import loadmat  # type: ignore[import-untyped]
    except ImportError as error:
        raise InputError(
            f"{path}: reading it needs SciPy, which is not installed: "
            "pip install 'prism-edge[demo]'"
        ) from error
    try:
        synsets = loadmat(str(path), squeeze_me=True)["synsets"]
        return {int(entry["ILSVRC2012_ID"]): str(entry["WNID"]) for entry in synsets}
    except (OSError, ValueError, KeyError, IndexError, TypeError, NotImplementedError) as error:
        raise InputError(f"{path}: not the development kit's table ({error})") from error


def _near(root: Path, name: str) -> Path | None:
    """A file beside or above the images: in the folder, its parent, or a folder in one of them."""
    for place in (root, root.parent):
        for found in (place / name, *place.glob(f"*/{name}"), *place.glob(f"*/data/{name}")):
            if found.is_file():
                return found
    return None

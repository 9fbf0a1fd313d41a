"""CIFAR and ImageNet are read in their published layouts; no code of a pickle runs.

The layouts are written here: a pickle as Python 2 wrote it, records, folders, and label files.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
from pathlib import Path

import checkpoints
import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from scipy.io import savemat

from prism_edge.accuracy.data import read_samples
from prism_edge.accuracy.data.inert_pickle import read_pickle
from prism_edge.errors import InputError
from prism_edge.families import load
from prism_edge.families.model import Model

NAMES = [b"airplane", b"automobile", b"bird", b"cat", b"deer", b"dog", b"frog", b"horse", b"ship"]
NAMES += [b"truck"]
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 3072), dtype=np.uint8)
LABELS = [3, 8, 8, 0, 6, 9]


def classifier(directory: Path, classes: int, names: dict[str, int] | None = None) -> Model:
    changes = {} if names is None else {"label2id": names}
    config, weights = checkpoints.vit(**changes)
    weights["classifier.weight"] = torch.zeros(classes, 16)
    weights["classifier.bias"] = torch.zeros(classes)
    return load(checkpoints.write(directory, config, weights))


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return classifier(tmp_path_factory.mktemp("ten"), 10)


def as_python2(value: object) -> bytes:
    """A value as cPickle of Python 2 wrote it, protocol 2: texts are bytes."""
    if isinstance(value, bytes):
        return b"T" + struct.pack("<i", len(value)) + value
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(as_python2, value)) + b"e"
    if isinstance(value, dict):
        items = b"".join(as_python2(k) + as_python2(v) for k, v in value.items())
        return b"}(" + items + b"u"
    assert isinstance(value, np.ndarray)
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + as_python2(-1) * 2
    shape = b"".join(map(as_python2, value.shape))
    state = b"(K\x01(" + shape + b"t" + dtype + b"K\x00tb\x89" + as_python2(value.tobytes())
    return made + state + b"tb"


def pickled(value: object) -> bytes:
    return b"\x80\x02" + as_python2(value) + b"."


def ten_in_python(folder: Path) -> Path:
    folder.mkdir()
    batch = {b"batch_label": b"testing batch 1 of 1", b"labels": LABELS, b"data": PIXELS}
    (folder / "test_batch").write_bytes(pickled(batch))
    (folder / "batches.meta").write_bytes(pickled({b"label_names": NAMES, b"num_vis": 3072}))
    return folder


def test_the_three_ways_to_hold_cifar_10_are_one(ten: Model, tmp_path: Path) -> None:
    python = ten_in_python(tmp_path / "cifar-10-batches-py")
    binary = tmp_path / "cifar-10-batches-bin"
    binary.mkdir()
    records = np.concatenate([np.array(LABELS, np.uint8)[:, None], PIXELS], axis=1)
    (binary / "test_batch.bin").write_bytes(records.tobytes())
    (binary / "batches.meta.txt").write_bytes(b"\n".join(NAMES))
    rows = []
    for pixels, label in zip(PIXELS, LABELS, strict=True):
        file = io.BytesIO()
        Image.fromarray(pixels.reshape(3, 32, 32).transpose(1, 2, 0)).save(file, format="png")
        rows.append({"img": {"bytes": file.getvalue(), "path": None}, "label": label})
    hub = tmp_path / "test-00000-of-00001.parquet"
    parquet.write_table(pa.Table.from_pylist(rows), hub)
    for data in (python, binary, hub, f"cifar10:{python / 'test_batch'}"):
        samples = read_samples(data, ten, batch=4)
        assert samples.labels is not None
        assert samples.labels.tolist() == LABELS
        assert len(samples) == 6
        found = np.concatenate([batch["pixel_values"] for batch in samples.inputs])
        assert (found == PIXELS.reshape(-1, 3, 32, 32)).all()
    assert len(read_samples(python, ten, batch=4, limit=2)) == 2
    with pytest.raises(InputError, match="data_batch_1"):
        read_samples(f"cifar10/train:{python}", ten, batch=4)
    with pytest.raises(InputError, match="'dev' is none of test, train"):
        read_samples(f"cifar10/dev:{python}", ten, batch=4)


def test_classes_go_by_the_checkpoints_names(tmp_path: Path) -> None:
    names = {name.decode(): 9 - number for number, name in enumerate(NAMES)}
    model = classifier(tmp_path / "model", 10, names)
    labels = read_samples(ten_in_python(tmp_path / "data"), model, batch=4).labels
    assert labels is not None
    assert labels.tolist() == [9 - label for label in LABELS]


def test_cifar_100_takes_the_fine_labels(tmp_path: Path) -> None:
    model, python, binary = classifier(tmp_path / "m", 100), tmp_path / "py", tmp_path / "bin"
    python.mkdir()
    binary.mkdir()
    names = [f"c{number}" for number in range(100)]
    fine, coarse = [99, 3, 50, 1, 0, 7], [1, 2, 3, 4, 5, 6]
    batch = {b"fine_labels": fine, b"coarse_labels": coarse, b"data": PIXELS}
    (python / "test").write_bytes(pickled(batch))
    (python / "meta").write_bytes(pickled({b"fine_label_names": [n.encode() for n in names]}))
    lead = np.array([coarse, fine], np.uint8).T
    (binary / "test.bin").write_bytes(np.concatenate([lead, PIXELS], axis=1).tobytes())
    (binary / "fine_label_names.txt").write_text("\n".join(names) + "\n")
    for folder in (python, binary):
        labels = read_samples(folder, model, batch=8).labels
        assert labels is not None
        assert labels.tolist() == fine
    (binary / "test.bin").write_bytes(b"123")
    with pytest.raises(InputError, match="3 bytes are no records of 3074"):
        read_samples(binary, model, batch=8)


def test_pickles_of_today_are_read_as_well() -> None:
    found = read_pickle(pickle.dumps({b"data": PIXELS, "labels": [1]}, protocol=2), "x")
    assert (found["data"] == PIXELS).all()
    assert found["labels"] == [1]


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_code_in_a_pickle_never_runs(ten: Model, tmp_path: Path) -> None:
    trace, evil = tmp_path / "trace", pickle.dumps(Evil(tmp_path / "trace"), protocol=2)
    pickle.loads(evil)
    assert trace.exists()  # control: the file would do it
    trace.rmdir()
    folder = ten_in_python(tmp_path / "data")
    (folder / "test_batch").write_bytes(evil)
    with pytest.raises(InputError, match=r"test_batch: not a pickle .* asks for posix.mkdir"):
        read_samples(folder, ten, batch=4)
    for data in (b"", b"\x80\x02]q\x00.", b"cnumpy\nload\n.", b"cbuiltins\neval\n."):
        (folder / "test_batch").write_bytes(data)
        with pytest.raises(InputError, match="not a pickle of plain arrays"):
            read_samples(folder, ten, batch=4)
    assert not trace.exists()


SYNSETS = ("n01440764", "n01443537", "n01484850", "n01491361", "n01494475", "n01496331")
SYNSETS += ("n01498041",)
VALIDATION = (2, 0, 6, 2)  # places in SYNSETS of the first images


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    folder = tmp_path / "imagenet" / "val"
    folder.mkdir(parents=True)
    for number in range(1, len(VALIDATION) + 1):
        Image.new("RGB", (40, 50), (number, 0, 0)).save(folder / f"ILSVRC2012_val_{number:08}.JPEG")
    return folder.parent


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return classifier(tmp_path_factory.mktemp("seven"), 7)


def mapping(root: Path) -> None:
    lines = [f"{synset} fish {n}, Piscis {n}" for n, synset in enumerate(SYNSETS)]
    (root / "LOC_synset_mapping.txt").write_text("\n".join(lines) + "\n")


def labels_of(root: Path, model: Model) -> list[int]:
    labels = read_samples(root, model, batch=3).labels
    assert labels is not None
    return [int(label) for label in labels]


def test_imagenet_in_folders_of_synsets(seven: Model, tmp_path: Path) -> None:
    for number, synset in enumerate(SYNSETS[:3]):
        (tmp_path / "val" / synset).mkdir(parents=True)
        for k in (0, 1):
            name = f"ILSVRC2012_val_{10 * number + k:08}.JPEG"
            Image.new("RGB", (32, 32)).save(tmp_path / "val" / synset / name)
    with pytest.raises(InputError, match=r"3 classes .* knows 7 classes"):
        read_samples(tmp_path, seven, batch=4)
    mapping(tmp_path)
    assert labels_of(tmp_path, seven) == [0, 1, 2, 0, 1, 2]
    named = classifier(tmp_path / "model", 7, {f"fish {n}, Piscis {n}": 6 - n for n in range(7)})
    assert labels_of(tmp_path, named) == [6, 5, 4, 6, 5, 4]


def test_a_limit_takes_some_of_every_folder_without_labels_too(ten: Model, tmp_path: Path) -> None:
    for shade, folder in enumerate("abc"):
        (tmp_path / folder).mkdir()
        for k in (0, 1):
            Image.new("RGB", (32, 32), (shade,) * 3).save(tmp_path / folder / f"{k}.png")

    def shades() -> list[int]:
        samples = read_samples(tmp_path, ten, batch=9, limit=4, labelled=False)
        assert samples.labels is None
        return [int(image[0, 0, 0]) for batch in samples.inputs for image in batch["pixel_values"]]

    assert shades() == [0, 1, 2, 0]
    Image.new("RGB", (32, 32), (9, 9, 9)).save(tmp_path / "0.png")  # no folders of classes, then
    assert shades() == [9, 0, 0, 1]


def test_imagenet_in_a_flat_folder_with_any_of_its_labels(seven: Model, flat: Path) -> None:
    with pytest.raises(InputError, match="a flat folder needs its labels"):
        read_samples(flat, seven, batch=4)
    mapping(flat)
    truth = flat / "ILSVRC2012_devkit_t12" / "data"
    truth.mkdir(parents=True)
    order = [4, 2, 6, 0, 1, 3, 5]  # the kit's own numbers are not the synsets' order
    lines = [str(order.index(place) + 1) for place in VALIDATION]
    (truth / "ILSVRC2012_validation_ground_truth.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"meta\.mat beside it"):
        read_samples(flat, seven, batch=4)
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    table = np.array([(k + 1, SYNSETS[n], f"fish {n}", 0) for k, n in enumerate(order)], kinds)
    savemat(truth / "meta.mat", {"synsets": table[:, None]})
    assert labels_of(flat, seven) == list(VALIDATION)
    synsets = "\n".join(SYNSETS[place] for place in VALIDATION)
    (flat / "imagenet_2012_validation_synset_labels.txt").write_text(synsets + "\n")
    assert labels_of(flat, seven) == list(VALIDATION)
    solution = [
        f"ILSVRC2012_val_{n:08},{SYNSETS[6 - p]} 1 2 3 4 " for n, p in enumerate(VALIDATION, 1)
    ]
    text = "ImageId,PredictionString\n" + "\n".join(solution) + "\n"
    (flat / "LOC_val_solution.csv").write_text(text)
    assert labels_of(flat, seven) == [6 - place for place in VALIDATION]


def test_a_damaged_image_is_named(seven: Model, flat: Path) -> None:
    synsets = "\n".join(SYNSETS[place] for place in VALIDATION)
    (flat / "imagenet_2012_validation_synset_labels.txt").write_text(synsets)
    mapping(flat)
    (flat / "val" / "ILSVRC2012_val_00000002.JPEG").write_bytes(b"\xff\xd8")
    with pytest.raises(InputError, match=r"ILSVRC2012_val_00000002.JPEG: image"):
        list(read_samples(flat, seven, batch=2).inputs)

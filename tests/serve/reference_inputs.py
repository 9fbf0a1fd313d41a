"""Writes tokenizers and images, and what Hugging Face makes of texts and of images.

``python reference_inputs.py DIR`` runs in a process of its own, so that the tests never import
transformers. It writes ``DIR/{gpt2,bert}/`` with a tokenizer each, as tokenizer.json and, in
``DIR/{gpt2,bert}-old/``, as the files of before; ``DIR/{vit,deit,shortest}/`` with a
preprocessor_config.json each; ``DIR/images/``; ``DIR/expected.json`` and ``DIR/pixels.npz``.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import transformers
from PIL import Image
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer
from transformers.image_utils import load_image

TEXTS = [
    "Boards answer together.",
    "",
    "  Grüße, 東京 und 😀! ",
    "<|endoftext|>boards [SEP] ain't\nboards",
    "small boards",
]
CORPUS = ["small boards answer together, and alone. Grüße aus 東京", "boards ain't together"] * 4
PROCESSORS = {
    "vit": {"size": {"height": 40, "width": 40}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
    "deit": {
        "size": {"height": 48, "width": 48},
        "do_center_crop": True,
        "crop_size": {"height": 40, "width": 40},
        "resample": 3,
    },
    "shortest": {
        "size": {"shortest_edge": 45},
        "do_center_crop": True,
        "crop_size": {"height": 40, "width": 40},
        "resample": 3,
    },
}


def tokenizers(root: Path) -> dict[str, dict[str, object]]:
    """Trains one of each kind. -> name -> texts' ids, kinds, and what the ids say"""
    old = root / "gpt2-old"
    old.mkdir()
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(CORPUS, 300, special_tokens=["<|endoftext|>"])
    trained.save_model(str(old))
    gpt2 = transformers.GPT2TokenizerFast(str(old / "vocab.json"), str(old / "merges.txt"))
    old = root / "bert-old"
    old.mkdir()
    words = BertWordPieceTokenizer(lowercase=True)
    words.train_from_iterator(CORPUS, 120)
    words.save_model(str(old))
    bert = transformers.BertTokenizerFast(str(old / "vocab.txt"))
    found = {}
    for name, tokenizer in {"gpt2": gpt2, "bert": bert}.items():
        tokenizer.save_pretrained(root / name)
        for other in ("vocab.json", "merges.txt", "vocab.txt"):
            (root / name / other).unlink(missing_ok=True)
        encoded = [tokenizer(text) for text in TEXTS]
        found[name] = {
            "ids": [one["input_ids"] for one in encoded],
            "kinds": [one.get("token_type_ids") for one in encoded],
            "said": [
                tokenizer.decode(
                    one["input_ids"], skip_special_tokens=True, clean_up_tokenization_spaces=False
                )
                for one in encoded
            ],
        }
    return found


def images(root: Path) -> dict[str, np.ndarray]:
    """Photographs of noise in many modes, and their pixels before they are normalised."""
    folder = root / "images"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (61, 90, 4), dtype=np.uint8)
    Image.fromarray(noise[..., :3]).save(folder / "wide.png")
    Image.fromarray(noise[..., :3].transpose(1, 0, 2).copy()).save(folder / "tall.jpg", quality=90)
    Image.fromarray(noise).save(folder / "alpha.png")
    Image.fromarray(noise[..., 0]).save(folder / "grey.jpg")
    Image.fromarray(noise[..., :3]).convert("P").save(folder / "palette.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright
    Image.fromarray(noise[..., :3]).save(folder / "turned.jpg", exif=turned)
    kind = getattr(transformers, "ViTImageProcessorPil", transformers.ViTImageProcessor)
    deit = getattr(transformers, "DeiTImageProcessorPil", transformers.DeiTImageProcessor)
    clip = getattr(transformers, "CLIPImageProcessorPil", transformers.CLIPImageProcessor)
    arrays = {}
    for name, settings in PROCESSORS.items():
        processor = {"vit": kind, "deit": deit, "shortest": clip}[name](
            **settings, do_rescale=False, do_normalize=False
        )
        (root / name).mkdir()
        processor.save_pretrained(root / name)
        for path in sorted(folder.iterdir()):
            found = processor(load_image(str(path)), return_tensors="np")["pixel_values"][0]
            arrays[f"{name}.{path.name}"] = np.asarray(found)
    return arrays


def main(root: Path) -> None:
    (root / "expected.json").write_text(json.dumps({"texts": TEXTS, **tokenizers(root)}))
    np.savez(root / "pixels.npz", **images(root))
    shutil.copytree(root / "gpt2", root / "damaged")
    (root / "damaged" / "tokenizer.json").write_text('{"version": "1.0"')


if __name__ == "__main__":
    main(Path(sys.argv[1]))

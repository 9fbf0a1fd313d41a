"""Writes tokenizers and images, and what Hugging Face makes of texts and of images.

``python reference_inputs.py DIR`` runs in a process of its own, so that the tests never import
transformers. It writes ``DIR/{gpt2,bert}/`` with a tokenizer each, as tokenizer.json and, in
``DIR/{gpt2,bert}-old/``, as the files of before; ``DIR/{vit,deit,shortest}/`` with a
preprocessor_config.json each; small models in ``gpt2``, ``bert`` and ``vit``; ``DIR/images/``;
``DIR/expected.json``, ``DIR/pixels.npz``, and ``DIR/logits.npz``, what the models answer.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
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
PROMPT, SEED = "small boards answer", 7
SAMPLED = {
    "greedy": {"do_sample": False},
    "drawn": {"do_sample": True, "temperature": 1.5, "top_k": 40, "top_p": 0.9},
}
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
        processor = {"vit": kind, "deit": deit, "shortest": clip}[name](**settings)
        (root / name).mkdir()
        processor.save_pretrained(root / name)
        for path in sorted(folder.iterdir()):
            image, raw = load_image(str(path)), {"do_rescale": False, "do_normalize": False}
            found = processor(image, return_tensors="np", **raw)["pixel_values"][0]
            arrays[f"{name}.{path.name}"] = np.asarray(found)
    return arrays


def sharp(model: torch.nn.Module) -> torch.nn.Module:
    """The model with weights that matter: Hugging Face's own make attention nearly uniform."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.35 + (parameter.mean() > 0.9))
    return model.eval()


@torch.no_grad()
def answers(root: Path) -> dict[str, np.ndarray]:
    """Logits of a classifier of images and one of texts, from files and strings."""
    t, sizes = transformers, {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32}
    vit = sharp(
        t.ViTForImageClassification(
            t.ViTConfig(**sizes, intermediate_size=72, image_size=40, patch_size=8, num_labels=7)
        )
    )
    bert = sharp(
        t.BertForSequenceClassification(
            t.BertConfig(**sizes, intermediate_size=72, vocab_size=200, num_labels=5)
        )
    )
    vit.save_pretrained(root / "vit")
    bert.save_pretrained(root / "bert")
    processor = t.AutoImageProcessor.from_pretrained(root / "vit")
    files = sorted((root / "images").iterdir())
    pixels = processor([load_image(str(path)) for path in files], return_tensors="pt")
    tokens = t.AutoTokenizer.from_pretrained(root / "bert")(
        TEXTS, padding=True, return_tensors="pt"
    )
    return {"vit": vit(**pixels).logits.numpy(), "bert": bert(**tokens).logits.numpy()}


@torch.no_grad()
def continued(root: Path) -> dict[str, str]:
    """What a small GPT-2 goes on with, by how its tokens are chosen."""
    t = transformers
    config = t.GPT2Config(
        n_layer=3, n_head=2, n_embd=32, n_inner=72, n_positions=2000, vocab_size=300,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = sharp(t.GPT2LMHeadModel(config))
    model.save_pretrained(root / "gpt2")
    tokenizer = t.AutoTokenizer.from_pretrained(root / "gpt2")
    prompt = tokenizer(PROMPT, return_tensors="pt")
    found = {}
    for name, options in SAMPLED.items():
        torch.manual_seed(SEED)
        length = prompt["input_ids"].shape[1]
        said = model.generate(**prompt, max_new_tokens=24, pad_token_id=0, **options)[0, length:]
        found[name] = tokenizer.decode(
            said, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
    return found


def main(root: Path) -> None:
    said = {"texts": TEXTS, **tokenizers(root)}
    np.savez(root / "pixels.npz", **images(root))
    np.savez(root / "logits.npz", **answers(root))
    (root / "expected.json").write_text(json.dumps({**said, "continued": continued(root)}))
    shutil.copytree(root / "gpt2", root / "damaged")
    (root / "damaged" / "tokenizer.json").write_text('{"version": "1.0"')


if __name__ == "__main__":
    main(Path(sys.argv[1]))

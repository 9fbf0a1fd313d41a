"""Python's own sources as three texts that share no file, and a tokenizer of characters.

python examples/chargpt2/sources.py --out text
"""

from __future__ import annotations

import argparse
import hashlib
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

# tests, tables of characters, what belongs to one build, and what newer versions do not have
LEFT_OUT = {
    "test", "tests", "site-packages", "dist-packages", "__pycache__", "encodings",
    "idlelib", "distutils", "lib2to3", "turtledemo", "ensurepip",
}  # fmt: skip
PARTS = 10  # of the files one is kept apart to choose with, and one to report on
HELD, TEST = 0, 1
PASSAGE = 2048  # characters from the middle of every file kept apart
UNKNOWN = "\ufffd"  # one token for every character that is not ASCII
CHARACTERS = ["\t", "\n", *map(chr, range(32, 127)), UNKNOWN]


def place(name: str) -> int:
    """A number that follows from a file's name alone, so that other files do not move it."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def files(root: Path) -> list[tuple[str, Path]]:
    """Name and path of the library's own files; shuffled, always the same way."""
    found = []
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).parts
        if LEFT_OUT.isdisjoint(parts) and not parts[0].startswith(("config-", "_sysconfigdata")):
            found.append(("/".join(parts), path))
    return sorted(found, key=lambda one: place(one[0]) // PARTS)


def split(names: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Names to train on, to choose with, and to report on: each in one of them."""
    train, held, test = [], [], []
    for name in names:
        {HELD: held, TEST: test}.get(place(name) % PARTS, train).append(name)
    return train, held, test


def texts(root: Path) -> tuple[str, str, str]:
    """All of the files to train on; of the others the middle of each that is long enough."""
    paths = dict(files(root))
    train, held, test = (
        [paths[name].read_text(encoding="utf-8", errors="replace") for name in names]
        for names in split(list(paths))
    )
    return "\n".join(train), "".join(passages(held)), "".join(passages(test))


def passages(files: list[str]) -> Iterator[str]:
    """PASSAGE characters from the middle of every file that has as many."""
    for text in files:
        start = (len(text) - PASSAGE) // 2
        if start >= 0:
            yield text[start : start + PASSAGE]


def tokenizer() -> Tokenizer:
    """Every character is a token."""
    vocabulary = {character: number for number, character in enumerate(CHARACTERS)}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    made.decoder = decoders.Fuse()
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    made = texts(Path(sysconfig.get_path("stdlib")))
    for name, text in zip(("train", "held", "test"), made, strict=True):
        (out / f"{name}.txt").write_text(text, encoding="utf-8", newline="\n")
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        print(f"{name}.txt: {len(text)} characters, sha256 {digest}")


if __name__ == "__main__":
    main()

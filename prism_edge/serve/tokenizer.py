"""A model's own tokenizer, from its directory: texts to token ids and back.

Read by Hugging Face's ``tokenizers`` alone: tokenizer.json, or what checkpoints had before it,
BPE's vocab.json and merges.txt (GPT-2), or vocab.txt (BERT). Everything runs in the caller's
thread and may take a while: not for an event loop.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, WordPiece

from prism_edge.errors import ModelError

WHOLE, BYTE_PAIRS, WORDS = ("tokenizer.json",), ("vocab.json", "merges.txt"), ("vocab.txt",)
END_OF_TEXT = "<|endoftext|>"  # GPT-2's only special token
SHOWS = "Élan vital:  THE owner's 42 e-mails, naïvely (re)read"  # case, accents, spaces, signs
SPECIAL = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One text as the model reads it: its ``ids``, and of which text each is."""

    ids: list[int]
    kinds: list[int]


class TextCodec:
    """One model's tokenizer. ``end``: the token that ends a text of this model, if it has one."""

    def __init__(self, tokenizer: Tokenizer, end: int | None) -> None:
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.end = end

    def cut_at(self, most: int) -> None:
        """From now on texts have ``most`` tokens at most, the longer one of a pair cut first."""
        self._tokenizer.enable_truncation(most, strategy="longest_first")

    def encode(self, text: str, pair: str | None = None) -> Encoded:
        """The tokens of a text or a pair, with those the model wants around them; not cut short."""
        found = self._tokenizer.encode(text, pair)
        return Encoded(ids=found.ids, kinds=found.type_ids)

    def same(self, other: TextCodec) -> bool:
        """Whether both have the same vocabulary, and read a text that shows their rules alike."""
        vocabularies = self._tokenizer.get_vocab(), other._tokenizer.get_vocab()
        return vocabularies[0] == vocabularies[1] and self.encode(SHOWS) == other.encode(SHOWS)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the tokens; bytes that are no character yet are U+FFFD."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


def has_tokenizer(directory: Path) -> bool:
    """Whether the files of one are there."""
    return _files(directory) is not None


def read_tokenizer(directory: Path) -> TextCodec:
    """The tokenizer of the model in ``directory``. Raises ``ModelError``."""
    names = _files(directory)
    if names is None:
        raise ModelError(
            f"{directory} has no tokenizer: copy the model's tokenizer.json there, or vocab.json "
            f"and merges.txt, or vocab.txt"
        )
    try:
        if names == WHOLE:
            tokenizer = Tokenizer.from_file(str(directory / names[0]))
        elif names == BYTE_PAIRS:
            tokenizer = _byte_pairs(directory)
        else:
            tokenizer = _words(directory)
        return TextCodec(tokenizer, _end(directory))
    except Exception as error:  # tokenizers raises bare Exceptions of many texts
        said = " ".join(str(error).split())
        raise ModelError(f"{directory / names[0]}: not a tokenizer ({said})") from error


def _files(directory: Path) -> tuple[str, ...] | None:
    kinds = (WHOLE, BYTE_PAIRS, WORDS)
    return next(
        (names for names in kinds if all((directory / name).is_file() for name in names)), None
    )


def _byte_pairs(directory: Path) -> Tokenizer:
    """GPT-2's: pairs of bytes, merged; a space belongs to the word behind it."""
    vocab, merges = (str(directory / name) for name in BYTE_PAIRS)
    tokenizer = Tokenizer(BPE.from_file(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if tokenizer.token_to_id(END_OF_TEXT) is not None:
        tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, special=True)])
    return tokenizer


def _words(directory: Path) -> Tokenizer:
    """BERT's: words, and pieces of them; [CLS] before a text, [SEP] behind it."""
    lower = _settings(directory / "tokenizer_config.json").get("do_lower_case", True)
    tokenizer = Tokenizer(WordPiece.from_file(str(directory / WORDS[0]), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=bool(lower))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    known = [name for name in SPECIAL if tokenizer.token_to_id(name) is not None]
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in known])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def _end(directory: Path) -> int | None:
    """The checkpoint's own word for where a text ends."""
    for name in ("generation_config.json", "config.json"):
        end = _settings(directory / name).get("eos_token_id")
        if isinstance(end, list):  # any of several; all but the first are for chats
            end = end[0] if end else None
        if isinstance(end, int):
            return end
    return None


def _settings(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}

"""Another model whose exact answers are what a model's are held against: the original of a trained
one, say. It reads the same samples and answers in the same terms, or it is refused."""

from __future__ import annotations

from pathlib import Path

from prism_edge.accuracy.data.samples import checkpoint_classes
from prism_edge.errors import ModelError
from prism_edge.families import load
from prism_edge.families.model import Model, TensorSpec
from prism_edge.serve.tokenizer import has_tokenizer, read_tokenizer

COMPARED = ("logits", "last_hidden_state")


def load_reference(directory: Path, model: Model) -> Model:
    """The model of ``directory``. Raises ``ModelError`` when it is no reference for ``model``."""
    reference = load(directory)
    for what, theirs, mine in (
        ("is of family", reference.shape.family, model.shape.family),
        ("takes", _said(reference.inputs), _said(model.inputs)),
        ("answers with", _said(_answers(reference)), _said(_answers(model))),
    ):
        if theirs != mine:
            raise ModelError(
                f"--reference {directory}: {what} {theirs}, {model.directory} {what} {mine}; "
                f"name the model that {model.directory} was trained from"
            )
    if checkpoint_classes(reference) != checkpoint_classes(model):
        raise ModelError(
            f"--reference {directory}: its classes are not those of {model.directory}: label2id in "
            f"their config.json must be the same"
        )
    texts = any(spec.name == "input_ids" for spec in model.inputs)
    both = has_tokenizer(directory) and has_tokenizer(model.directory)
    if texts and both and not read_tokenizer(directory).same(read_tokenizer(model.directory)):
        raise ModelError(
            f"--reference {directory}: its tokenizer is not that of {model.directory}, so that the "
            f"same text is other tokens to it"
        )
    return reference


def _answers(model: Model) -> list[TensorSpec]:
    return [spec for spec in model.outputs if spec.name in COMPARED]


def _said(specs: list[TensorSpec] | tuple[TensorSpec, ...]) -> str:
    """``logits[-1,10]``: by name, with the shape."""
    return ", ".join(f"{spec.name}{list(spec.shape)}" for spec in specs)

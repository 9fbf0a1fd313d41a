"""How far a plan's outputs are from the labels, or from what the exact model says: one number.

Letters: B batch, N tokens, C classes, D width.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, kl_div, log_softmax, mse_loss

from prism_edge.errors import InputError
from prism_edge.families.model import Tensors

Goal = Literal["labels", "exact"]
UNSCORED = "pooler_output"  # a projection of the class token that evaluate does not look at either
# the weight of the embedding, whose cosine's shortfall is far smaller than the tokens' errors
EMBEDDING = 10.0


def to_labels(outputs: Tensors, labels: Tensor | None, ids: Tensor | None) -> Tensor:
    """Cross entropy of classes [B,C]; the squared error of one number [B,1]; of a causal model
    (``ids`` [B,N] are its texts) the cross entropy of every next token.

    Raises ``InputError`` when labels are not what the model's outputs need.
    """
    logits = outputs.get("logits")
    if logits is not None and logits.dim() == 3 and ids is not None:
        return cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten().to(logits.device))
    if logits is None or logits.dim() != 2 or labels is None:
        raise InputError(
            "labels train models that classify or score, and causal language models; any other "
            "learns from the exact model's own answers: --loss exact"
        )
    labels = labels.to(logits.device)
    if logits.shape[1] == 1:
        return mse_loss(logits[:, 0], labels.to(logits.dtype))
    classes = logits.shape[1]
    if labels.is_floating_point() or not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise InputError(
            f"labels go from {labels.min().item()} to {labels.max().item()}; the model's classes "
            f"are whole numbers from 0 to {classes - 1}"
        )
    return cross_entropy(logits, labels.long())


def to_exact(outputs: Tensors, exact: Tensors, real: Tensor | None) -> Tensor:
    """The sum over outputs: Kullback and Leibler's divergence of logits, the relative squared error
    of vectors, and EMBEDDING * (1 - cosine) of their mean over tokens.  ``real`` [B,N]: 0 for
    padding"""
    total = next(iter(outputs.values())).new_zeros(())
    for name, found in outputs.items():
        if name == UNSCORED:
            continue
        meant = exact[name]
        weight = None if real is None or found.dim() < 3 else real.to(found)  # [B,N]
        if name.endswith("logits"):
            total = total + (
                mse_loss(found, meant)
                if found.shape[-1] == 1
                else _divergence(found, meant, weight)
            )
            continue
        total = total + _mean((found - meant).square().sum(-1) / meant.square().sum(-1), weight)
        if found.dim() == 3:
            cosine = cosine_similarity(_pooled(found, weight), _pooled(meant, weight))
            total = total + EMBEDDING * (1 - cosine).mean()
    return total


def _divergence(found: Tensor, meant: Tensor, weight: Tensor | None) -> Tensor:
    each = kl_div(
        log_softmax(found, dim=-1), log_softmax(meant, dim=-1), reduction="none", log_target=True
    )
    return _mean(each.sum(dim=-1), weight)


def _mean(each: Tensor, weight: Tensor | None) -> Tensor:
    return each.mean() if weight is None else (each * weight).sum() / weight.sum()


def _pooled(rows: Tensor, weight: Tensor | None) -> Tensor:
    """[B,N,D] -> [B,D], up to a factor"""
    return rows.sum(dim=1) if weight is None else (rows * weight[..., None]).sum(dim=1)

"""scikit-learn's handwritten digits as 32x32 RGB images; the same seed is the same split.

N images, 3 colours, 32 rows, 32 columns; uint8, because that is how images travel to a board.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

SEED = 0
SIDE = 32
TEST_COUNT = 360  # a fifth

Split = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]


def load_split(seed: int = SEED) -> Split:
    """Train images and labels (1437), test images and labels (360), disjoint, fixed by the seed.

    Images are uint8 [N,3,32,32], labels int64 [N]. The data comes with scikit-learn: no download.
    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998 (the
    1797 images of its test part).
    """
    digits = load_digits()
    images = np.stack([upscale(image) for image in digits.images])
    labels = digits.target.astype(np.int64)
    # The legacy generator: numpy's policy freezes its stream, so that no version moves a split.
    order = np.random.RandomState(seed).permutation(len(labels))
    test, train = order[:TEST_COUNT], order[TEST_COUNT:]
    return images[train], labels[train], images[test], labels[test]


def upscale(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    """One 8x8 image of ink 0..16 as grey RGB 0..255, bilinear.  [8,8] -> [3,32,32]"""
    ink = Image.fromarray(np.round(image * (255 / 16)).astype(np.uint8))
    grey = np.asarray(ink.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return np.repeat(grey[None], 3, axis=0)

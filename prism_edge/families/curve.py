"""The cells of a square in the order of Hilbert's curve (1891): runs of them are compact.

Patches in this order make segments that are tiles and not strips, of patches that are more alike.
"""

from __future__ import annotations


def along_curve(side: int) -> list[int]:
    """The numbers of the cells, row by row, of a square of side x side, in the curve's order.

    The curve is that of the next power of 2; what it leaves the square for is skipped.
    """
    whole = 1 << (side - 1).bit_length()
    return sorted(range(side * side), key=lambda cell: _place(whole, *divmod(cell, side)))


def _place(side: int, y: int, x: int) -> int:
    """How far along the curve over side x side cells a cell lies."""
    place, step = 0, side // 2
    while step:
        right, down = int(x & step > 0), int(y & step > 0)
        place += step * step * ((3 * right) ^ down)
        if not down:
            if right:
                x, y = side - 1 - x, side - 1 - y
            x, y = y, x
        step //= 2
    return place

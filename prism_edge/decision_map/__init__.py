"""Which plan would be chosen for every batch over every link rate: computed, then drawn.

``grid.py`` and ``regions.py`` are pure; ``png.py`` and ``page.py`` draw, ``files.py`` writes.
"""

"""``python -m prism_edge`` is ``prism-edge``."""

from prism_edge.cli import main

main()

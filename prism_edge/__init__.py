"""prism-edge: measure a few boards, then answer every Transformer request by the fastest plan."""

from prism_edge.errors import PrismError

__version__ = "0.1.0"

__all__ = ["PrismError", "__version__"]

"""The helper process of the jtop source: one JSON line {t_s, power_w} per reading of jtop's daemon.

The only file that imports jtop (jetson-stats, AGPL-3.0, extra ``jetson``), and only when run as
``python -m prism_edge.energy.jtop``: importing jtop forces multiprocessing to ``fork``, which must
not happen in a process that uses CUDA, and its client speaks pickle to a root daemon.
"""

from __future__ import annotations

import json
import signal
import sys
import time

INSTALL = 'jtop is not installed: pip install "prism-edge[jetson]", or use tegrastats'


def main(interval_s: float) -> int:
    """Prints readings until the reader goes away; 1 and the reason as last line when jtop fails."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the reader is gone: end without a word
    try:
        from jtop import jtop

        with jtop(interval=interval_s) as board:
            while board.ok():
                power_mw = board.power.get("tot", {}).get("power")
                power_w = None if power_mw is None else power_mw / 1000
                print(json.dumps({"t_s": time.time(), "power_w": power_w}), flush=True)
    except ImportError:
        print(INSTALL, flush=True)
        return 1
    except Exception as error:  # jtop lets EOFError, BrokenPipeError and its own errors out
        reason = " ".join(str(error).split())  # one line: the reader shows the last one
        print(f"jtop failed: {type(error).__name__}: {reason}", flush=True)
        return 1
    print("jtop failed: its service sends no data; restart jtop.service", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))

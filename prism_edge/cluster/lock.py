"""One lab changes at a time on a machine: labs pick subnets and interfaces from the same shelf."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

from prism_edge.errors import LabError

_POLL_S = 0.05


@contextlib.contextmanager
def machine_lock(timeout_s: float, name: str = "prism-edge-lab") -> Iterator[None]:
    """Held by nobody else on this machine; the kernel releases it when the holder dies.

    It is an abstract socket's name: it belongs to the network namespace, as interfaces do, and
    leaves no file.
    """
    with socket.socket(socket.AF_UNIX) as holder:
        give_up_s = time.monotonic() + timeout_s
        while True:
            try:
                holder.bind(f"\0{name}")
            except OSError as error:
                if time.monotonic() > give_up_s:
                    raise LabError(
                        f"another prism-edge lab command has been running for {timeout_s:g} s; "
                        "wait for it or end it"
                    ) from error
                time.sleep(_POLL_S)
            else:
                break
        yield

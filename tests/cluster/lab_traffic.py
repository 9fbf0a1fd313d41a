"""TCP traffic between hosts of a lab, and the table of docs/lab.md.

python tests/cluster/lab_traffic.py receive               on one board: prints its port
python tests/cluster/lab_traffic.py send ADDRESS PORT BYTES REPEATS   on another: prints seconds
python tests/cluster/lab_traffic.py table [--mode root] [--rates 1mbit 20mbit]
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

from prism_edge.cluster.lab import Lab
from prism_edge.cluster.local import LocalHost, kill_group
from prism_edge.cluster.modes import Wish
from prism_edge.cluster.shaping import burst_bytes, parse_rate, queue_bytes

_HEADER = 8


def receive() -> None:
    """Read messages of announced length from any number of senders, answer each by one byte."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            sender, _ = server.accept()
            threading.Thread(target=_serve, args=(sender,), daemon=True).start()


def _serve(sender: socket.socket) -> None:
    with sender, contextlib.suppress(ConnectionError):
        buffer = bytearray(1 << 20)
        while header := sender.recv(_HEADER, socket.MSG_WAITALL):
            left = int.from_bytes(header, "big")
            while left and (got := sender.recv_into(buffer, min(left, len(buffer)))):
                left -= got
            sender.sendall(b"k")


def send(address: str, port: int, size: int, repeats: int) -> None:
    """Print the seconds that each message took until it was answered; -1 when nobody listens."""
    try:
        with socket.create_connection((address, port), timeout=60) as receiver:
            receiver.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            message = size.to_bytes(_HEADER, "big") + bytes(size)
            for _ in range(repeats):
                time.sleep(0.1)  # the bucket fills again
                begun_s = time.perf_counter()
                receiver.sendall(message)
                receiver.recv(1)
                print(time.perf_counter() - begun_s, flush=True)
    except OSError as error:
        print(f"{address}: {error}", file=sys.stderr)
        sys.exit(1)


SELF = (sys.executable, str(Path(__file__).resolve()))


@contextlib.contextmanager
def receiver_on(host: LocalHost) -> Iterator[int]:
    """The port of a receiver that runs on the host."""
    with host.popen([*SELF, "receive"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            kill_group(process)


def send_argv(address: str, port: int, size: int, repeats: int) -> list[str]:
    """The command that runs ``send`` on a host."""
    return [*SELF, "send", address, str(port), str(size), str(repeats)]


def share(host: LocalHost, address: str, port: int, size: int, rate_bps: float) -> float:
    """The part of the rate that messages of that size get: the median of some."""
    done = host.run(send_argv(address, port, size, 7 if size <= 65536 else 3), 120)
    return size * 8 / statistics.median(map(float, done.stdout.split())) / rate_bps


def table(mode: Wish, rates: list[str]) -> None:
    """Print, per rate, what share of it TCP payload gets, on an otherwise idle lab."""
    print(
        "| rate | burst, queue | board to board | 64 KiB message | laptop to board | two to one |"
    )
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as root:
        lab = Lab.up("traffic", 3, 100e6, mode=mode, root=Path(root))
        try:
            with receiver_on(lab.hosts()[1]) as port:
                for rate in rates:
                    print(
                        f"| {rate} | {' | '.join(_row(lab, port, parse_rate(rate)))} |", flush=True
                    )
        finally:
            lab.down()


def _row(lab: Lab, port: int, bps: float) -> list[str]:
    one, two, three = lab.hosts()
    for board in lab.state.boards:
        lab.set_link(board.name, rate_bps=bps)
    bulk = int(min(40e6, max(bps / 8, 250e3)))  # about a second
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda h: share(h, two.address, port, bulk, bps), (one, three)))
    return [
        f"{burst_bytes(bps)}, {queue_bytes(bps)}",
        f"{share(one, two.address, port, bulk, bps):.1%}",
        f"{share(one, two.address, port, 65536, bps):.0%}",
        f"{share(lab.laptop(), two.address, port, bulk, bps):.1%}",
        " + ".join(f"{part:.0%}" for part in both),
    ]


def main() -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("receive")
    sender = verbs.add_parser("send")
    sender.add_argument("address")
    for name in ("port", "size", "repeats"):
        sender.add_argument(name, type=int)
    tabled = verbs.add_parser("table")
    tabled.add_argument("--mode", choices=get_args(Wish), default="auto")
    rates = ["1mbit", "20mbit", "100mbit", "200mbit", "500mbit"]
    tabled.add_argument("--rates", nargs="+", default=rates)
    options = parser.parse_args()
    if options.verb == "receive":
        receive()
    elif options.verb == "send":
        send(options.address, options.port, options.size, options.repeats)
    else:
        table(options.mode, options.rates)


if __name__ == "__main__":
    main()

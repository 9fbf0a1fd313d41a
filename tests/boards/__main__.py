"""Boards by hand: ``cd tests && python -m boards up 2 200mbit``, as root."""

from __future__ import annotations

import argparse
import os
import sys
import time

from boards import desk, rootfs
from prism_edge.cluster.shaping import parse_rate


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m boards", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("root", help="make the root file system and say where it is")
    up = verbs.add_parser("up", help="boot boards, which stay until down")
    up.add_argument("count", type=int)
    up.add_argument("rate", type=parse_rate)
    up.add_argument("--subnet", type=int, help="N of 10.88.N.0/24")
    down = verbs.add_parser("down", help="nothing of them is left")
    down.add_argument("subnet", type=int)
    ssh = verbs.add_parser("ssh", help="log in, or run a command")
    ssh.add_argument("subnet", type=int)
    ssh.add_argument("number", type=int)
    ssh.add_argument("command", nargs="*")
    given = parser.parse_args()
    if given.verb == "root":
        print(rootfs.rootfs())
    elif given.verb == "up":
        begun_s = time.monotonic()
        found = desk.up(given.count, given.rate, subnet=given.subnet)
        config = found.directory / "ssh_config"
        for board in found.boards:
            print(f"{board.name}  ssh -F {config} root@{board.address}  files {board.root}")
        print(f"up after {time.monotonic() - begun_s:.1f} s; python -m boards down {found.subnet}")
    elif given.verb == "down":
        desk.down(given.subnet)
    else:
        config = desk.desks() / str(given.subnet) / "ssh_config"
        where = f"root@10.88.{given.subnet}.{given.number}"
        os.execvp("ssh", ["ssh", "-F", str(config), where, *given.command])
    return 0


if __name__ == "__main__":
    sys.exit(main())

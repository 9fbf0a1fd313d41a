"""Memory, swap and disk: whether a release and its models have room."""

from __future__ import annotations

from collections.abc import Iterator

from prism_edge.deploy import paths
from prism_edge.deploy.facts import Storage
from prism_edge.deploy.findings.finding import Case, Finding

# An engine without a model is resident with 0.22 GB (torch 2.13 for CPU, x86); its model's weights,
# twice while they load, and what it computes with come on top.
LOW_MEMORY_BYTES = 10**9
# A bundle with torch 2.13 for CPU (Python 3.11, x86) has 0.28 GB of wheels and 0.99 GB unpacked; a
# board that has its own torch needs less. Twice that: releases may differ in what they need.
LOW_DISK_BYTES = 3 * 10**9
NO_DISK_BYTES = 5 * 10**8


def findings(case: Case) -> Iterator[Finding]:
    storage = case.facts.storage
    yield from _memory(storage)
    yield from _swap(storage, jetson=case.jetson)
    yield from _disk(storage)


def _memory(storage: Storage) -> Iterator[Finding]:
    if storage.available_bytes is not None and storage.available_bytes < LOW_MEMORY_BYTES:
        total = "" if storage.memory_bytes is None else f" of {storage.memory_bytes / 1e9:.1f}"
        yield Finding(
            code="memory-low",
            severity="warning",
            what=f"{storage.available_bytes / 1e9:.1f}{total} GB of memory are available; an "
            f"engine needs 0.2 GB and its models",
            where="/proc/meminfo",
            remedy="See what uses it. A desktop takes 0.5 to 1 GB; without it, from the next boot:"
            "\n$ sudo systemctl set-default multi-user.target",
        )


def _swap(storage: Storage, *, jetson: bool) -> Iterator[Finding]:
    if storage.swap_kind == "none":
        yield Finding(
            code="swap-none",
            severity="note",
            what="no swap: when memory runs out, the kernel ends the engine at once",
            where="/proc/swaps",
            remedy="Nothing to do if its models fit. To have some, in compressed memory:\n"
            + (
                "$ sudo systemctl enable --now nvzramconfig"
                if jetson
                else "$ sudo apt-get install systemd-zram-generator"
            ),
        )
    elif storage.swap_kind == "sd":
        size = "" if storage.swap_bytes is None else f" ({storage.swap_bytes / 1e9:.1f} GB)"
        yield Finding(
            code="swap-sd",
            severity="warning",
            what=f"swap{size} is on a memory card: a board that swaps there stands still for "
            f"seconds, and the card wears out",
            where="/proc/swaps",
            remedy="Swap to zram or to an NVMe disk instead:\n$ sudo swapoff -a\nand remove the "
            "line from /etc/fstab.",
        )


def _disk(storage: Storage) -> Iterator[Finding]:
    free = storage.free_bytes
    if free is not None and free < LOW_DISK_BYTES:
        total = "" if storage.total_bytes is None else f" of {storage.total_bytes / 1e9:.1f}"
        yield Finding(
            code="disk-low",
            severity="blocked" if free < NO_DISK_BYTES else "warning",
            what=f"{free / 1e9:.1f}{total} GB of disk are free; a release that brings torch needs "
            f"1.3 GB, and models come on top",
            where=paths.ROOT,
            remedy="See what is large, and what apt keeps:\n"
            "$ sudo du -xh --max-depth=2 / | sort -h | tail -n 20\n$ sudo apt-get clean",
        )

"""Tests run on one thread and offline; what this machine cannot run is left out by name.

Without torch (`python3.10 -m pytest` on a light interpreter) a test module whose import fails for
want of a package is left out. A test whose marker needs what this machine lacks is deselected.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest

# Before torch is imported anywhere, and inherited by every process that a test starts.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

TORCH = importlib.util.find_spec("torch") is not None
LEFT_OUT = pytest.StashKey[dict[str, str]]()
DESELECTED = pytest.StashKey[dict[str, int]]()
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def runs(*command: str) -> bool:
    """The command exits 0 within a minute."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def has_gpu() -> bool:
    if not TORCH:
        return False
    import torch

    return torch.cuda.is_available()


# marker: what it needs, in words, and whether this machine has it
NEEDS: dict[str, tuple[str, Callable[[], bool]]] = {
    "gloo": ("torch", lambda: TORCH),
    "lab": (
        "network namespaces (root, or unprivileged user namespaces)",
        lambda: runs("unshare", "-n", "true") or runs("unshare", "-Urn", "true"),
    ),
    "wireguard": (
        "WireGuard (apt-get install wireguard-tools wireguard-go)",
        lambda: (
            shutil.which("wg") is not None
            and (shutil.which("wireguard-go") is not None or Path("/sys/module/wireguard").exists())
        ),
    ),
    "ssh": (
        "OpenSSH server, and root to run it (apt-get install openssh-server)",
        lambda: os.geteuid() == 0 and Path("/usr/sbin/sshd").exists(),
    ),
    "boards": (
        "root, systemd-nspawn and debootstrap (apt-get install systemd-container debootstrap)",
        lambda: (
            os.geteuid() == 0
            and all(map(shutil.which, ("systemd-nspawn", "debootstrap")))
            and runs("unshare", "--mount", "--net", "true")
        ),
    ),
    "ansible": (
        "Ansible in .venv-lint (make setup)",
        lambda: (Path(__file__).parents[1] / ".venv-lint/bin/ansible-playbook").exists(),
    ),
    "gpu": ("CUDA device", has_gpu),
    "browser": ("Chromium on PATH", lambda: any(map(shutil.which, BROWSERS))),
}


@cache
def unmet(marker: str) -> bool:
    return not NEEDS[marker][1]()


class TolerantModule(pytest.Module):
    """A test module that is left out, and remembered, when a package it imports is missing."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        try:
            return super().collect()
        except self.CollectError as error:
            cause = error.__cause__
            if not isinstance(cause, ModuleNotFoundError) or cause.name is None:
                raise
            package = cause.name.partition(".")[0]
            if package == "prism_edge":  # our own module is missing: that is a broken test
                raise
            name = str(self.path.relative_to(self.config.rootpath))
            self.config.stash.setdefault(LEFT_OUT, {})[name] = package
            return []


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Module | None:
    """With torch everything must import; without it a missing package leaves a module out."""
    return None if TORCH else TolerantModule.from_parent(parent, path=module_path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    counts = config.stash.setdefault(DESELECTED, {})
    for item in items:
        missing = [name for name in NEEDS if item.get_closest_marker(name) and unmet(name)]
        for name in missing[:1]:
            counts[name] = counts.get(name, 0) + 1
        (dropped if missing else kept).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for line in summary(config.stash.get(LEFT_OUT, {}), config.stash.get(DESELECTED, {})):
        terminalreporter.write_line(line, yellow=True)


def summary(left_out: dict[str, str], deselected: dict[str, int]) -> list[str]:
    """One line per marker that could not run, one for the modules left out; none if all ran."""
    lines = [
        f"not run: {count} tests marked {name}: no {NEEDS[name][0]}"
        for name, count in sorted(deselected.items())
    ]
    if left_out:
        packages = ", ".join(sorted(set(left_out.values())))
        names = " ".join(sorted(left_out))
        lines.append(f"not run: {len(left_out)} test files that need {packages}: {names}")
    return lines


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where ``reference_generation.py`` has written what Hugging Face generates."""
    root = tmp_path_factory.mktemp("generated")
    script = Path(__file__).parent / "reference_generation.py"
    command = [sys.executable, str(script), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.fail(f"{script.name} failed:\n{done.stderr[-3000:]}")
    return root


# A slow machine is no failure; what CI wants besides stays.
with contextlib.suppress(ModuleNotFoundError):
    from hypothesis import HealthCheck, settings

    slow_is_fine = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("patient", slow_is_fine)
    settings.load_profile("patient")

# A run in the background (nohup, some CI) ignores SIGINT, and so would every child it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

"""A Python as on a board: an environment of its own that sees packages it does not own, the way
``--system-site-packages`` shows those of the system; and pip as deploy calls it there."""

from __future__ import annotations

import hashlib
import os
import subprocess
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

from prism_edge.deploy.apply_environment import constraints_txt, requirements_txt
from prism_edge.deploy.bundle import Bundle


class BoardPython:
    """``system``: the directory that holds the board's own packages."""

    def __init__(self, root: Path) -> None:
        self.root, self.system = root / "env", root / "system"
        self.system.mkdir(parents=True)
        venv.create(self.root, with_pip=True)
        self.site = next(self.root.glob("lib/python*/site-packages"))
        (self.site / "system.pth").write_text(f"{self.system}\n")
        self.python = self.root / "bin/python"

    def own(self, wheel: Path) -> None:
        """The board has had this package all along."""
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.system)

    def pip(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """As on a board without an index; its output, errors included, in stdout."""
        known = {"PIP_CONFIG_FILE": "/dev/null", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        command = [str(self.python), "-m", "pip", *map(str, arguments)]
        return subprocess.run(
            command,
            env=plain | known | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=250,
        )

    def install(self, bundle: Bundle) -> subprocess.CompletedProcess[str]:
        """The bundle's third-party wheels, by hash, the board's own packages as constraints."""
        requirements, constraints = self.root / "requirements.txt", self.root / "constraints.txt"
        requirements.write_text(requirements_txt(bundle.third_party))
        constraints.write_text(constraints_txt(bundle.pins))
        return self.pip(
            *("install", "--no-index", "--find-links", bundle.directory / "wheels"),
            *("--require-hashes", "--no-compile", "--requirement", requirements),
            PIP_CONSTRAINT=str(constraints),
        )

    def says(self, code: str) -> str:
        """What this Python prints."""
        command = [str(self.python), "-B", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=self.root)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def digests(self) -> Mapping[str, str]:
        """Of every file of the board's own packages."""
        return {
            str(path.relative_to(self.system)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.system.rglob("*"))
            if path.is_file()
        }

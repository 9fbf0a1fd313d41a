"""A directory like a user's, with cluster.toml and a model, from which boards are deployed to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from boards.desk import Desk
from boards.rootfs import PASSWORD, USER, alone, cache
from prism_edge.deploy.repack import repack

PYTHON = "3.11"  # Debian's, which the boards have
TORCH = "torch==2.13.0"
LIMIT_S = 600
KEPT_S = 24 * 3600.0  # a bundle that nobody uses
MAIN = b"def main() -> None:\n"
BROKEN = b"    raise SystemExit('this release is broken on purpose')\n"


@dataclass(frozen=True, kw_only=True)
class Did:
    """A verb of ``prism-edge deploy`` that ended; ``said`` is what it printed for programs."""

    code: int
    said: Any
    err: str

    @property
    def boards(self) -> Mapping[str, Any]:
        boards: Mapping[str, Any] = self.said["boards"]
        return boards

    def states(self) -> dict[str, str]:
        return {name: board["state"] for name, board in self.boards.items()}


@dataclass(frozen=True, kw_only=True)
class Laptop:
    """``directory``: cluster.toml, model/, token. Its state and cache are there too."""

    directory: Path
    desk: Desk

    @property
    def cluster(self) -> Path:
        return self.directory / "cluster.toml"

    def write(
        self, *, more: str = "", user: str = USER, ssh: Mapping[str, str] | None = None
    ) -> None:
        """cluster.toml. ``ssh``: other ssh_config files by board; ``more``: further sections."""
        text = '[cluster]\nname = "desk"\nleader = "edge-1"\n'
        text += '[[models]]\nname = "net"\npath = "model"\n'
        text += '[serve]\ntoken_file = "token"\n'
        for board in self.desk.boards:
            config = (ssh or {}).get(board.name, board.settings().ssh_config)
            text += (
                f'[[boards]]\nname = "{board.name}"\naddress = "{board.address}"\npower = "none"\n'
                f'ssh = "{user}@{board.address}"\nssh_config = "{config}"\n'
            )
        token = self.directory / "token"
        if not token.exists():
            token.write_text("a long secret of the tests\n")
            token.chmod(0o600)
        self.cluster.write_text(text + more)

    def start(self, *verb: str, password: str = PASSWORD) -> subprocess.Popen[str]:
        """``prism-edge deploy VERB ... --cluster ... --json``, under way."""
        argv = [sys.executable, "-m", "prism_edge", "deploy", *verb]
        argv += ["--cluster", str(self.cluster), "--json"]
        env = {
            **os.environ,
            "PRISM_EDGE_SUDO_PASSWORD": password,
            "XDG_STATE_HOME": str(self.directory / "state"),
            "XDG_CACHE_HOME": str(self.directory / "cache"),
        }
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, env=env, stdout=pipe, stderr=pipe, text=True)

    def deploy(self, *verb: str, password: str = PASSWORD) -> Did:
        return self.finish(self.start(*verb, password=password))

    def finish(self, process: subprocess.Popen[str]) -> Did:
        with process:
            out, err = process.communicate(timeout=LIMIT_S)
        assert out.strip(), err
        return Did(code=process.returncode, said=json.loads(out), err=err)

    def push(self, bundle: Path, *more: str, password: str = PASSWORD) -> Did:
        return self.deploy("push", "--bundle", str(bundle), *more, password=password)


def bundle() -> Path:
    """What boards without torch need, with prism-edge as it is now; nobody changes it afterwards.

    It lies under the hash of what it is made of. Wheels of others come from the bundle that was
    used last, or from the index.
    """
    machine, torch = os.uname().machine, os.environ.get("TORCH", TORCH)
    key = sha256(f"{PYTHON} {machine} {torch} ".encode())
    with tempfile.TemporaryDirectory() as own:
        key.update(repack(Path(own)).read_bytes())
    path, draft = cache() / f"bundle-{key.hexdigest()[:12]}", cache() / "bundle.draft"
    argv = [sys.executable, "-m", "prism_edge", "deploy", "bundle", "--python", PYTHON]
    argv += ["--machine", machine, "--torch", torch, "--out", str(draft)]
    with alone(cache() / "bundle.lock"):
        others = sorted(cache().glob("bundle-*/"), key=lambda other: other.stat().st_mtime)
        if not path.exists():
            shutil.rmtree(draft, ignore_errors=True)
            if others:
                shutil.copytree(others[-1], draft, copy_function=os.link)
            done = subprocess.run(argv, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            draft.rename(path)
        path.touch()
        for other in others:
            if other.stat().st_mtime < time.time() - KEPT_S:
                shutil.rmtree(other)
    return path


def broken(bundle: Path, copy: Path) -> Path:
    """The same bundle, whose engine ends as soon as it starts: it installs, and cannot serve."""
    (copy / "wheels").mkdir(parents=True)
    for file in (bundle / "wheels").iterdir():
        os.link(file, copy / "wheels" / file.name)
    document = json.loads((bundle / "bundle.json").read_text())
    own = copy / "wheels" / document["prism_edge"]
    with zipfile.ZipFile(own) as old:
        files = {name: old.read(name) for name in old.namelist()}
    engine = "prism_edge/engine/main.py"
    files[engine] = files[engine].replace(MAIN, MAIN + BROKEN)
    assert BROKEN in files[engine]
    own.unlink()
    with zipfile.ZipFile(own, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in files.items():
            new.writestr(name, content)
    data = own.read_bytes()
    document["wheels"][own.name] |= {"sha256": sha256(data).hexdigest(), "bytes": len(data)}
    (copy / "bundle.json").write_text(json.dumps(document))
    return copy

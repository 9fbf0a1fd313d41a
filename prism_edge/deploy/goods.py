"""What lies here for the boards of a cluster, read and hashed once per push."""

from __future__ import annotations

import os
from pathlib import Path

from prism_edge.deploy import paths
from prism_edge.deploy.content import digest_of, model_files, table_files
from prism_edge.deploy.sources import source
from prism_edge.deploy.wish import Goods, Model, SharedFile
from prism_edge.errors import SettingsError
from prism_edge.settings import ModelSettings, Settings

SETTLE = "prism-edge-settle.service"
OWNER = f"{paths.USER}:{paths.USER}"


def goods_of(settings: Settings) -> Goods:
    """All of it. Raises ``SettingsError``, ``ModelError`` or ``TableError`` for what is unfit."""
    files = [
        SharedFile(path=paths.ACTIVATE, content=source("activate.sh").read_bytes(), mode=0o755),
        SharedFile(
            path=f"{os.path.dirname(paths.UNIT_FILE)}/{SETTLE}",
            content=source(SETTLE).read_bytes(),
        ),
    ]
    if settings.serve.token_file is not None:
        files.append(secret(paths.TOKEN, _token(settings.serve.token_file)))
    return Goods(
        models=tuple(_model(model) for model in settings.models),
        tables=table_files(settings.profiles),
        unit=source(paths.UNIT).read_bytes(),
        files=tuple(files),
    )


def secret(path: str, content: bytes) -> SharedFile:
    """A file that only the daemon may read; it reads it when it starts."""
    return SharedFile(
        path=path, content=content, mode=0o600, owner=OWNER, secret=True, restarts=True
    )


def state_directory(cluster: str) -> Path:
    """Where deploy keeps here what it made for a cluster, and the transcripts."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "prism-edge" / "deploy" / cluster


def _model(model: ModelSettings) -> Model:
    files = model_files(model.path)
    return Model(name=model.name, digest=digest_of(files), files=files)


def _token(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"token file {path}: {error.strerror}") from error
    if not content.strip():
        raise SettingsError(f"token file {path} is empty; write one line into it: a long secret")
    return content

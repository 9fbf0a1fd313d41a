"""Wishes for the boards of one cluster, from what lies here: bundles, models, secrets, keys."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from prism_edge import __version__
from prism_edge.deploy import paths
from prism_edge.deploy.bundle import Bundle
from prism_edge.deploy.bundle_for import bundle_for, of_board
from prism_edge.deploy.certificates import Certificates, certificates
from prism_edge.deploy.content import digest_of, model_files, table_files
from prism_edge.deploy.facts import Facts
from prism_edge.deploy.mesh import mesh_files
from prism_edge.deploy.push import KEY_TO_COME
from prism_edge.deploy.refusals import refuse_board
from prism_edge.deploy.sources import source
from prism_edge.deploy.target import Target
from prism_edge.deploy.wish import (
    Goods,
    Mesh,
    Model,
    SharedFile,
    Wish,
    check_deployable,
    wish_of,
)
from prism_edge.errors import ClusterError, SettingsError
from prism_edge.settings import BoardSettings, ModelSettings, Settings

SETTLE = "prism-edge-settle.service"
OWNER = f"{paths.USER}:{paths.USER}"
_KEYS = "mesh.json"  # public keys of boards, for when one of them is off


class Wishes:
    """What each board shall be. ``bundles``: to choose from; none: they are made in ``state``.

    Raises what is wrong here, before any board is looked at.
    """

    def __init__(
        self,
        settings: Settings,
        bundles: Sequence[Bundle],
        state: Path,
        tell: Callable[[str], None],
    ) -> None:
        check_deployable(settings)
        for bundle in bundles:
            if bundle.version != __version__:
                raise ClusterError(
                    f"{bundle.directory}: holds prism-edge {bundle.version}, here it is "
                    f"{__version__}; make the bundle again with prism-edge deploy bundle"
                )
        self._settings = settings
        self._bundles = bundles
        self._state = state
        self._tell = tell
        self._made: list[tuple[Target, Bundle]] = []
        self._goods = goods_of(settings)
        self._certificates: Certificates | None = None
        if settings.deploy.tls:
            self._certificates = certificates(settings, state, datetime.now(timezone.utc))

    @property
    def files(self) -> tuple[str, ...]:
        """Paths on boards whose state a wish is compared with."""
        names = [board.name for board in self._settings.boards][:1]
        shared = (*self._goods.files, *self._certified(names[0]))
        mesh = self._mesh(names[0], {})
        wished = [file.path for file in (*shared, *(mesh.files if mesh else ()))]
        return tuple(dict.fromkeys([*wished, *paths.SHARED]))

    def __call__(self, board: BoardSettings, facts: Facts, keys: Mapping[str, str]) -> Wish:
        """What ``board`` shall be. ``keys``: public mesh keys of the boards that answered."""
        refuse_board(facts, self._settings, board)  # no bundle could be made for it
        bundle = self._bundle(facts)
        known = self._known(keys) if self._settings.mesh.subnet else {}
        files, mesh = self._certified(board.name), self._mesh(board.name, known)
        return wish_of(self._settings, board, facts, bundle, self._goods, files, mesh)

    def _bundle(self, facts: Facts) -> Bundle:
        """The first that fits; the first of all, if none does: steps say why it does not."""
        if not self._bundles:
            wanted = of_board(facts, torch=None)
            for target, bundle in self._made:  # boards of one push get the same
                if target == wanted:
                    return bundle
            bundle = bundle_for(wanted, self._state.parent / "bundles", self._tell)
            self._made.append((wanted, bundle))
            return bundle
        python = "" if facts.python is None else facts.python.version
        has = (python, facts.identity.architecture, facts.torch.pins)
        return next((one for one in self._bundles if not one.misfits(*has)), self._bundles[0])

    def _certified(self, board: str) -> tuple[SharedFile, ...]:
        if self._certificates is None:
            return ()
        certificate, key = self._certificates.boards[board]
        authority = self._certificates.authority
        return (
            SharedFile(path=paths.AUTHORITY, content=authority, restarts=True),
            SharedFile(path=paths.CERTIFICATE, content=certificate, restarts=True),
            secret(paths.CERTIFICATE_KEY, key),
        )

    def _mesh(self, board: str, keys: Mapping[str, str]) -> Mesh | None:
        if not self._settings.mesh.subnet:
            return None
        made = mesh_files(self._settings, board, keys)
        files = tuple(
            SharedFile(path=path, content=content, mode=mode)
            for path, (content, mode) in made.items()
        )
        return Mesh(interface=self._settings.mesh.interface, files=files)

    def _known(self, keys: Mapping[str, str]) -> dict[str, str]:
        """Also the keys of boards that are off now, so that they stay in the mesh."""
        path = self._state / _KEYS
        try:
            before: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            before = {}
        made = {name: key for name, key in keys.items() if key != KEY_TO_COME}
        if {**before, **made} != before:
            self._state.mkdir(parents=True, exist_ok=True)
            text = json.dumps({**before, **made}, indent=1, sort_keys=True) + "\n"
            path.write_text(text, encoding="utf-8")
        return {**before, **keys}


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


def state_directory(name: str, file: Path) -> Path:
    """Where deploy keeps here what it made for the cluster of ``file``, and the transcripts.

    Another file with a cluster of the same name has another directory: the first has its path in
    ``cluster``, and keeps it until it is gone.
    """
    root = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    found, file = root / "prism-edge" / "deploy" / name, file.resolve()
    mark = found / "cluster"
    try:
        whose = Path(mark.read_text(encoding="utf-8")) if mark.exists() else file
        if whose != file and whose.exists():
            return found.with_name(f"{name}-{hashlib.sha256(bytes(file)).hexdigest()[:8]}")
        found.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark.write_text(str(file), encoding="utf-8")
    except OSError as error:
        raise ClusterError(f"{mark}: {error.strerror}; set XDG_STATE_HOME") from error
    return found


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

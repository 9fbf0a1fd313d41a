"""The cluster.toml that a board gets: the same cluster, with the paths that things have there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from prism_edge.deploy import paths
from prism_edge.settings import DeploySettings, Settings

_ABOVE = "# Written by prism-edge deploy, which replaces it: change the file it was made from.\n\n"


def on_board(settings: Settings, models: Mapping[str, str]) -> Settings:
    """``settings`` as boards have them. ``models``: the digest of each one's files, by name."""
    serve = settings.serve
    if serve.token_file is not None:
        serve = dataclasses.replace(serve, token_file=Path(paths.TOKEN))
    if settings.deploy.tls:
        serve = dataclasses.replace(
            serve,
            certificate=Path(paths.CERTIFICATE),
            certificate_key=Path(paths.CERTIFICATE_KEY),
            authority=Path(paths.AUTHORITY),
        )
    return dataclasses.replace(
        settings,
        profiles=Path(paths.PROFILES) / settings.name,
        boards=tuple(
            dataclasses.replace(board, ssh="", ssh_config=None, python="python3")
            for board in settings.boards
        ),
        models=tuple(
            dataclasses.replace(model, path=Path(paths.model(model.name, models[model.name])))
            for model in settings.models
        ),
        serve=serve,
        deploy=DeploySettings(),
    )


def toml_of(settings: Settings) -> str:
    """A file that ``read_settings`` reads as ``settings``; what is as by default is left out."""
    head = {key: getattr(settings, key) for key in ("name", "kind", "leader")}
    document: dict[str, Any] = {"cluster": {**head, "profiles": str(settings.profiles)}}
    for item in _fields(settings):
        value = getattr(settings, item.name)
        if isinstance(value, tuple) and value:
            document[item.name] = [_section(entry) for entry in value]
        elif dataclasses.is_dataclass(value) and (section := _section(value)):
            document[item.name] = section
    return _ABOVE + tomli_w.dumps(document)


def _section(value: Any) -> dict[str, Any]:
    found = {item.name: (getattr(value, item.name), item.default) for item in _fields(value)}
    return {
        name: str(now) if isinstance(now, Path) else now
        for name, (now, default) in found.items()
        if now != default
    }


def _fields(value: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(value)

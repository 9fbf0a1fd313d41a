"""Boards as runners: by SSH, as the user's own configuration says."""

from __future__ import annotations

from collections.abc import Callable

from prism_edge.deploy.ssh.login import login
from prism_edge.deploy.ssh.runner import SshRunner
from prism_edge.deploy.transcript import Transcript
from prism_edge.settings import BoardSettings


def connect(
    board: BoardSettings,
    *,
    accept_new: bool = False,
    password: Callable[[], str] | None = None,
    transcript: Transcript | None = None,
) -> SshRunner:
    """The board, logged in; close it, or use it in a ``with``.

    ``accept_new``: a host key that is not known is remembered; one that has changed is refused all
    the same. ``password``: asked once, when sudo wants one. Raises ``UnreachableError`` or
    ``ClusterError`` with what to do next, ``SettingsError`` when no login is given.
    """
    return SshRunner(login(board), accept_new=accept_new, password=password, transcript=transcript)

"""A step made true on a board. Each leaves the old state or the new one, and may be done again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prism_edge.deploy import step as steps
from prism_edge.deploy.apply_copies import send_model, send_tables, send_wheels
from prism_edge.deploy.apply_environment import make_environment
from prism_edge.deploy.apply_files import make_user, prune, put_file
from prism_edge.deploy.apply_mesh import make_mesh_key, start_mesh
from prism_edge.deploy.apply_release import make_release
from prism_edge.deploy.runner import Runner
from prism_edge.deploy.switch import activate

_WAYS: Mapping[type[steps.Step], Callable[[Any, Runner, Callable[[str], None]], None]] = {
    steps.MakeUser: make_user,
    steps.PutFile: put_file,
    steps.SendWheels: send_wheels,
    steps.MakeEnvironment: make_environment,
    steps.SendModel: send_model,
    steps.SendTables: send_tables,
    steps.MakeMeshKey: make_mesh_key,
    steps.StartMesh: start_mesh,
    steps.MakeRelease: make_release,
    steps.Activate: activate,
    steps.Prune: prune,
}


def apply(
    step: steps.Step, runner: Runner, progress: Callable[[str], None] = lambda text: None
) -> None:
    """The step is true on the board. ``progress`` is told what is being done, in a few words.

    Raises ``ClusterError`` with board, what failed, the command's last words, and what helps; the
    board is then as it was before this step, up to files under temporary names.
    """
    _WAYS[type(step)](step, runner, progress)

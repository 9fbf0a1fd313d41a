"""A step made true on a board. Each leaves the old state or the new one, and may be done again."""

from __future__ import annotations

from collections.abc import Callable

from prism_edge.deploy.apply_copies import send_model, send_tables, send_wheels
from prism_edge.deploy.apply_environment import make_environment
from prism_edge.deploy.apply_files import make_user, prune, put_file
from prism_edge.deploy.apply_mesh import make_mesh_key, start_mesh
from prism_edge.deploy.apply_release import make_release
from prism_edge.deploy.runner import Runner
from prism_edge.deploy.step import (
    Activate,
    MakeEnvironment,
    MakeMeshKey,
    MakeRelease,
    MakeUser,
    Prune,
    PutFile,
    SendModel,
    SendTables,
    SendWheels,
    StartMesh,
    Step,
)
from prism_edge.deploy.switch import switch
from prism_edge.errors import ClusterError


def silent(text: str) -> None:
    """Nobody is told."""


def apply(step: Step, runner: Runner, progress: Callable[[str], None] = silent) -> None:
    """The step is true on the board. ``progress`` is told what is being done, in a few words.

    Raises ``ClusterError`` with board, what failed, the command's last words, and what helps; the
    board is then as it was before this step, up to files under temporary names.
    """
    match step:
        case MakeUser():
            make_user(step, runner)
        case PutFile():
            put_file(step, runner)
        case SendWheels():
            send_wheels(step, runner, progress)
        case MakeEnvironment():
            make_environment(step, runner, progress)
        case SendModel():
            send_model(step, runner, progress)
        case SendTables():
            send_tables(step, runner, progress)
        case MakeMeshKey():
            make_mesh_key(runner)
        case StartMesh():
            start_mesh(step, runner)
        case MakeRelease():
            make_release(step, runner, progress)
        case Activate():
            _activate(step, runner, progress)
        case Prune():
            prune(step, runner)


def _activate(step: Activate, runner: Runner, progress: Callable[[str], None]) -> None:
    outcome = switch(runner, step.id, progress, back=step.back)
    if outcome.code:
        said = " / ".join(outcome.said.splitlines())
        raise ClusterError(
            f"board {runner.name}: release {step.id} was not taken (exit code {outcome.code} of "
            f"activate): {said}; see `prism-edge deploy logs --cluster FILE {runner.name}`"
        )

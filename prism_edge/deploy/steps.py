"""What is to be done on a board so that it is as wished, in order; nothing when it is. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prism_edge.deploy import paths
from prism_edge.deploy.facts import Facts, Installed
from prism_edge.deploy.refusals import refuse
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
from prism_edge.deploy.wish import SharedFile, Wish

_WORDS = {"environment": "other packages", "wheel": "prism-edge itself", "models": "models"}


def steps(wish: Wish, facts: Facts) -> tuple[Step, ...]:
    """The steps, with reasons. Raises ``ClusterError`` with all that makes it impossible.

    Nothing before ``Activate`` touches what serves. ``Prune`` is last.
    """
    now = facts.installed
    made = (*_user(now), *_files(wish.files, now), *_environment(wish, facts), *_models(wish, now))
    made += (*_tables(wish, now), *_mesh(wish, now), *_release(wish, now))
    made += tuple(_activate(wish, now, made))
    made += tuple(_prune(wish, now))
    refuse(wish, facts, disk_bytes(wish, made))
    return made


def disk_bytes(wish: Wish, made: Sequence[Step]) -> tuple[int, int]:
    """What the steps put where releases go, and where models go."""
    size, data, wheels = 0, 0, wish.bundle.wheels
    for step in made:
        if isinstance(step, SendWheels):
            size += sum(file.bytes for file in step.wheels.values())
        elif isinstance(step, MakeEnvironment):
            size += sum(wheels[name].unpacked_bytes for name in step.wheels)
        elif isinstance(step, MakeRelease):
            size += wheels[step.wheel].unpacked_bytes
        elif isinstance(step, SendModel | SendTables):
            data += sum(file.bytes for file in step.files.values())
    return size, data


def _user(now: Installed) -> Iterator[Step]:
    if not now.user:
        yield MakeUser(why=f"the board has no user {paths.USER}")


def _files(wished: Sequence[SharedFile], now: Installed) -> Iterator[PutFile]:
    for file in wished:
        there = now.files.get(file.path)
        if there is None:
            why = "it is not there"
        elif there.sha256 != file.sha256:
            why = "its content differs"
        elif there.mode != file.mode:
            why = f"its mode is {there.mode:o} and shall be {file.mode:o}"
        elif there.owner != file.owner:
            why = f"it belongs to {there.owner} and shall to {file.owner}"
        else:
            continue
        yield PutFile(
            why=why,
            path=file.path,
            content=file.content,
            mode=file.mode,
            owner=file.owner,
            secret=file.secret,
        )


def _environment(wish: Wish, facts: Facts) -> Iterator[Step]:
    now, bundle = facts.installed, wish.bundle
    third = {} if wish.environment in now.environments else bundle.third_party
    own = {} if wish.release in now.releases else {bundle.own: bundle.wheels[bundle.own].sha256}
    absent = [name for name, sha256 in {**third, **own}.items() if now.wheels.get(name) != sha256]
    if absent:
        several = "these are" if len(absent) > 1 else "it is"
        yield SendWheels(
            why=f"{several} not there yet", wheels={name: bundle.local(name) for name in absent}
        )
    if third:
        own_torch = facts.torch.version
        unused = (
            f"; its own torch {own_torch} stays as it is, and the bundle's is used"
            if own_torch is not None and not wish.own_torch
            else ""
        )
        yield MakeEnvironment(
            why=f"the board has no environment with these packages{unused}",
            id=wish.environment,
            python=wish.python,
            wheels=third,
            own_torch=wish.own_torch,
            pins=wish.pins,
        )


def _models(wish: Wish, now: Installed) -> Iterator[Step]:
    for model in wish.models:
        if model.directory not in now.models:
            older = any(name.rpartition("-")[0] == model.name for name in now.models)
            why = "its files differ" if older else "the board does not have it"
            yield SendModel(why=why, name=model.name, digest=model.digest, files=model.files)


def _tables(wish: Wish, now: Installed) -> Iterator[Step]:
    below = f"{wish.settings.name}/"
    there = {
        path.removeprefix(below): sha256
        for path, sha256 in now.profiles.items()
        if path.startswith(below)
    }
    wished = {name: file.sha256 for name, file in wish.tables.items()}
    if wished and wished != there:
        names = sorted(name for name in {*wished, *there} if wished.get(name) != there.get(name))
        why = f"{', '.join(names)} differ" if there else "the board has no tables of this cluster"
        yield SendTables(why=why, cluster=wish.settings.name, files=wish.tables)


def _mesh(wish: Wish, now: Installed) -> Iterator[Step]:
    if wish.mesh is None:
        return
    if now.mesh_key is None:
        yield MakeMeshKey(why="the board has no key for the mesh")
    put = tuple(_files(wish.mesh.files, now))
    yield from put
    if put or not now.mesh_active:
        why = "its configuration is new" if put else "it does not run"
        yield StartMesh(why=why, interface=wish.mesh.interface)


def _release(wish: Wish, now: Installed) -> Iterator[Step]:
    if wish.release not in now.releases:
        yield MakeRelease(
            why=_why_release(wish, now),
            id=wish.release,
            environment=wish.environment,
            python=wish.python,
            wheel=wish.bundle.own,
            wheel_sha256=wish.bundle.wheels[wish.bundle.own].sha256,
            etc=wish.etc,
            manifest=wish.manifest,
        )


def _why_release(wish: Wish, now: Installed) -> str:
    """What of the release that serves is not as wished."""
    if now.current is None:
        return "the board has no release"
    has = now.manifests.get(now.current)
    if has is None:
        return f"the board has {now.current}, of which nothing is known"
    differ = [
        _WORDS.get(key, key)
        for key, value in wish.manifest.items()
        if key not in ("id", "etc") and has.get(key) != value
    ]
    etc, had = wish.manifest["etc"], has.get("etc")
    if isinstance(etc, Mapping) and isinstance(had, Mapping):
        differ += [name for name in etc if etc[name] != had.get(name)]
    return f"the board has {now.current}; new: {', '.join(differ) or 'something'}"


def _activate(wish: Wish, now: Installed, made: Sequence[Step]) -> Iterator[Step]:
    if now.current != wish.release:
        why = f"the board serves {now.current}" if now.current else "the board serves nothing yet"
        yield Activate(why=why, id=wish.release, old=now.current)
        return
    read_once = {file.path for file in wish.files if file.restarts}
    news = [
        step.path.rpartition("/")[2]
        for step in made
        if isinstance(step, PutFile) and step.path in read_once
    ]
    if wish.rereads and any(isinstance(step, SendTables) for step in made):
        news.append("tables")
    if now.pending is not None:
        why = "it was switched to, and has not proved healthy"
    elif now.active != "active" or not now.enabled:
        why = f"the service is {now.active or 'not installed'}"
        why += "" if now.enabled else ", and would not start with the board"
    elif news:
        why = f"{', '.join(news)}: the daemon reads that when it starts"
    else:
        return
    yield Activate(why=why, id=wish.release, old=now.current, restart=True)


def _prune(wish: Wish, now: Installed) -> Iterator[Step]:
    """One step, or none. Kept are the wished release, the one before it and the newest others, as
    many as ``paths.KEPT``, and what these are made of; of the files beside them what is wished."""
    kept = _kept(wish.release, now)
    gone = [paths.release(name) for name in now.releases if name not in kept]
    environments, models = {wish.environment}, {model.directory for model in wish.models}
    manifests = [now.manifests.get(name) for name in kept if name != wish.release]
    for manifest in manifests:
        if manifest is not None:
            environments.add(str(manifest.get("environment")))
            models |= _directories(manifest.get("models"))
    if None not in manifests:  # of what a release needs that says nothing, nothing may go
        gone += [f"{paths.ENVIRONMENTS}/{n}" for n in now.environments if n not in environments]
        gone += [f"{paths.MODELS}/{name}" for name in now.models if name not in models]
    gone += [f"{paths.WHEELS}/{name}" for name in now.wheels if name not in wish.bundle.wheels]
    gone += now.leftovers
    own = wish.mesh
    files = {file.path for file in (*wish.files, *(own.files if own else ()))}
    files |= {paths.MESH_KEY, paths.MESH_PUBLIC_KEY} if own else set()
    serve = wish.settings.serve  # certificates that somebody laid there by hand stay
    files |= {str(path) for path in (serve.certificate, serve.certificate_key, serve.authority)}
    shared = [path for path in paths.SHARED if path in now.files and path not in files]
    meshes = [paths.mesh_conf(name) for name in now.meshes if not own or name != own.interface]
    if gone or shared or meshes:  # a mesh that goes down needs its files
        why = "nothing that is wished or kept needs it"
        yield Prune(why=why, paths=(*sorted(gone), *meshes, *shared))


def _kept(wished: str, now: Installed) -> list[str]:
    """Releases that stay, the most important first."""
    before = now.current if now.current != wished else now.previous
    order = [wished, before, *reversed(now.releases)]
    there = (*now.releases, wished)
    return [name for name in dict.fromkeys(order) if name in there][: paths.KEPT]


def _directories(models: object) -> set[str]:
    paths_there = models.values() if isinstance(models, Mapping) else ()
    return {str(path).rpartition("/")[2] for path in paths_there}

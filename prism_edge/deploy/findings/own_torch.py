"""The board's own torch: whether it loads, has a GPU, and can talk to other boards."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from prism_edge.deploy.facts import TorchFacts
from prism_edge.deploy.findings.finding import Case, Finding, Severity
from prism_edge.deploy.target import transformers_for

WHEEL = re.compile(r"transformers-([^-]+)-")
LIBRARIES = {  # that a torch for Jetson loads and neither JetPack nor its wheel brings
    "libcusparseLt": "cuSPARSELt, which JetPack 6 lacks: install libcusparse-lt from NVIDIA's "
    "developer site, in the version that this torch was built for",
    "libnvpl": "NVPL, which this torch was built for (SBSA servers): install nvpl, or the torch "
    "for this JetPack instead",
    "libcudss": "cuDSS, which this torch was built for: install libcudss, or the torch for this "
    "JetPack instead",
    "libcudnn": "cuDNN in the version that this torch was built for: install the torch for this "
    "JetPack, or that cuDNN",
}


def findings(case: Case) -> Iterator[Finding]:
    torch = case.facts.torch
    version = torch.version or torch.pins.get("torch")
    own_only = re.match(r"torch is in (\S+) only", torch.error or "")
    if own_only is not None:
        yield _in_home(case, "torch", own_only[1])
        return
    if version is None:
        yield _missing(case, torch)
        return
    if torch.error is not None:
        yield _broken(torch, version, torch.error)
    else:
        yield from _distributed(case, torch, version)
        yield from _cuda(case, torch, version)
    if re.match(r"/home/|/root/", torch.location or ""):
        yield _in_home(case, f"torch {version}", torch.location or "")
    yield from _transformers(case, version)


def right_torch(case: Case) -> str:
    """Where to get the torch that fits this board."""
    jetpack = case.facts.identity.jetpack
    if not case.jetson:
        return "install a torch that was built with it (pip's are), or let deploy bring one"
    name = "this board's JetPack" if jetpack is None else f"JetPack {jetpack}"
    return (
        f"install the torch for {name} from the Jetson AI Lab community index, or build PyTorch "
        f"with USE_DISTRIBUTED=1 USE_GLOO=1"
    )


def _missing(case: Case, torch: TorchFacts) -> Finding:
    said = f": {torch.error}" if torch.error else ""
    if not case.jetson and not case.cuda:
        return Finding(
            code="torch-missing",
            severity="note",
            what=f"no torch of its own{said}",
            where="python3 -c 'import torch'",
            remedy="Nothing to do: a release brings one along.",
        )
    return Finding(
        code="torch-missing",
        severity="blocked" if case.cuda else "warning",
        what=f"no torch of its own{said}; one that a release brings computes on the CPU only",
        where="python3 -c 'import torch'",
        remedy=f"To compute on the GPU, {right_torch(case)}.",
    )


def _in_home(case: Case, torch: str, location: str) -> Finding:
    return Finding(
        code="torch-in-home",
        severity="warning" if case.board is None else "blocked",
        what=f"{torch} is in a home directory, where the service may not look",
        where=location,
        remedy="Install it for all users, from the wheel that it came from:\n"
        "$ sudo python3 -m pip install --no-deps torch-*.whl",
    )


def _broken(torch: TorchFacts, version: str, error: str) -> Finding:
    missing = next((words for name, words in LIBRARIES.items() if name in error), None)
    return Finding(
        code="torch-broken",
        severity="blocked",
        what=f"torch {version} is installed and does not work: {error}",
        where=torch.location or "python3 -c 'import torch'",
        remedy=f"It needs {missing}."
        if missing
        else "Make this work as any user, then check again:\n$ python3 -c 'import torch'",
    )


def _distributed(case: Case, torch: TorchFacts, version: str) -> Iterator[Finding]:
    where = torch.location or "torch"
    severity: Severity = "blocked" if case.several else "warning"
    if torch.distributed and torch.gloo is False and torch.gloo_error is not None:
        yield Finding(
            code="gloo-fails",
            severity=severity,
            what=f"a GLOO group of this board alone fails: {torch.gloo_error}",
            where=where,
            remedy="Boards cannot compute together before that works. Is the loopback interface "
            f"up, does a firewall drop what is on it? Or {right_torch(case)}.\n"
            "$ sudo ip link set lo up",
        )
    elif torch.distributed is False or torch.gloo is False:
        yield Finding(
            code="torch-no-distributed",
            severity=severity,
            what=f"distributed mode unavailable: this PyTorch ({version}) was built without "
            f"torch.distributed/GLOO; local mode only",
            where=where,
            remedy=f"Fix: {right_torch(case)}.",
        )


def _cuda(case: Case, torch: TorchFacts, version: str) -> Iterator[Finding]:
    if torch.cuda is None and (case.cuda or case.jetson):
        meant = "device = 'cuda'" if case.cuda else "a Jetson, whose GPU it cannot use"
        yield Finding(
            code="torch-cpu-only",
            severity="blocked" if case.cuda else "warning",
            what=f"torch {version} was built without CUDA, on {meant}"
            if not case.cuda
            else f"torch {version} was built without CUDA, and cluster.toml says {meant}",
            where=torch.location or "torch",
            remedy="pip has perhaps replaced the board's torch by the one of its index. Remove it "
            f"(sudo python3 -m pip uninstall torch), then {right_torch(case)}.",
        )
    elif torch.cuda is not None and torch.cuda_available is False and (case.cuda or case.jetson):
        yield Finding(
            code="torch-cuda-unusable",
            severity="blocked" if case.cuda else "warning",
            what=f"torch {version} was built for CUDA {torch.cuda} and finds no GPU it can use",
            where="torch.cuda.is_available()",
            remedy="Is the login in the groups video and render, and does this CUDA belong to the "
            "board's JetPack? A torch for servers (SBSA, CUDA 13) cannot talk to the driver of "
            "JetPack 5 and 6.",
        )


def _transformers(case: Case, torch_version: str) -> Iterator[Finding]:
    """Of the wheels that deploy has sent; tokenizers work either way."""
    found = (WHEEL.match(name) for name in case.facts.installed.wheels)
    try:
        sent = [Version(name[1]) for name in found if name]
        loads = transformers_for(torch_version)
    except InvalidVersion:
        return
    if loads and sent and min(sent) not in SpecifierSet(loads):
        yield Finding(
            code="transformers-floor",
            severity="note",
            what=f"transformers {min(sent)} does not load torch {torch_version}; only comparisons "
            f"with Hugging Face (bench engine) need that it does",
            where="the wheels of the release",
            remedy=f"Make the bundle with transformers{loads}.",
        )

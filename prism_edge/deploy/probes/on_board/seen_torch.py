"""What this Python's torch is: lines of JSON, each true when printed, should the next step crash.

torch is imported by name, so that nothing of ours seems to depend on it.
"""

from __future__ import annotations

import datetime
import importlib
import importlib.metadata
import json
import os
import site
from typing import Any

PINNED = ("torch", "torchvision", "torchaudio", "numpy")
PROOF_S = 5


def say(**facts: object) -> None:
    print("\nprism-edge " + json.dumps(facts), flush=True)


def why(error: BaseException) -> str:
    """The error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def pins() -> dict[str, str]:
    """Exact versions of what pip must not touch, as their metadata has them."""
    found = {}
    for name in PINNED:
        try:
            version = importlib.metadata.version(name)
        except Exception:  # not there, or its metadata is broken
            continue
        if isinstance(version, str):
            found[name] = version
    return found


def why_not(error: BaseException) -> str:
    """Why torch was not imported; an install for one user only is what people have most often."""
    own = os.path.join(site.getusersitepackages(), "torch")
    if isinstance(error, ModuleNotFoundError) and error.name == "torch" and os.path.isdir(own):
        return (
            f"torch is in {os.path.dirname(own)} only, which a service of another user cannot see"
        )
    return why(error)


def prove(distributed: Any, torch: Any) -> None:
    """A group of one rank is made, and adds up. Touches what builds without GLOO do not have."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group(
        "gloo",
        store=distributed.HashStore(),
        rank=0,
        world_size=1,
        timeout=datetime.timedelta(seconds=PROOF_S),
    )
    ones = torch.ones(3)
    distributed.all_reduce(ones)
    assert ones.tolist() == [1.0, 1.0, 1.0], ones.tolist()
    distributed.destroy_process_group()


def look() -> None:
    say(pins=pins())
    try:
        torch = importlib.import_module("torch")
    except BaseException as error:
        say(error=why_not(error))
        return
    home = os.path.dirname(os.path.dirname(os.path.abspath(torch.__file__ or "")))
    cuda = getattr(getattr(torch, "version", None), "cuda", None)
    say(version=str(torch.__version__), location=home, cuda=cuda)
    try:
        distributed = importlib.import_module("torch.distributed")
        available = bool(distributed.is_available())
    except Exception as error:
        say(distributed=False, gloo=False, gloo_error=why(error))
    else:
        built = available and bool(getattr(distributed, "is_gloo_available", lambda: True)())
        say(distributed=available)
        if not built:
            say(gloo=False)
        else:
            try:
                prove(distributed, torch)
                say(gloo=True)
            except Exception as error:
                say(gloo=False, gloo_error=why(error))
    try:
        say(cuda_available=bool(torch.cuda.is_available()))
    except Exception:  # a build without torch.cuda
        say(cuda_available=False)


look()
say(ended=True)

"""What a Python says of its torch: a stand-in without distributed, a broken one, and a real one.

The stand-ins are installed into interpreters of their own, as files, and asked as a board is.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_edge.deploy.facts import TorchFacts
from prism_edge.deploy.gather import torch_digest
from prism_edge.deploy.here import Here
from prism_edge.deploy.probes import on_board, python, torch
from prism_edge.deploy.probes.script import SILENCE, Answer
from prism_edge.errors import ClusterError

NVIDIA = "2.5.0a0+872d972e41.nv24.8"
HERE = Here(name="edge-1")
Install = Callable[..., None]


def ask(command: str, home: Path | None = None) -> Answer:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home or "/nowhere")}
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=env)
    return Answer(code=done.returncode, out=done.stdout)


@pytest.fixture
def interpreter(tmp_path: Path) -> Path:
    """An interpreter without any package."""
    argv = [sys.executable, "-m", "venv", "--without-pip", "board"]
    subprocess.run(argv, cwd=tmp_path, check=True)
    return tmp_path / "board" / "bin" / "python"


@pytest.fixture
def install(interpreter: Path) -> Install:
    """Puts a package of these files into the interpreter, as pip lays it out."""
    (site,) = (interpreter.parents[1] / "lib").glob("python*/site-packages")

    def put(name: str, version: str, /, **files: str) -> None:
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        record = [f"{info.name}/METADATA,,", f"{info.name}/RECORD,,", "../../../bin/tool,,"]
        (site / name).mkdir()
        for stem, source in files.items():
            (site / name / f"{stem}.py").write_text(source)
            record.append(f"{name}/{stem}.py,,")
        (info / "RECORD").write_text("\n".join(record))

    return put


def seen(interpreter: Path, home: Path | None = None) -> TorchFacts:
    return torch.facts(ask(torch.command(str(interpreter)), home))


def test_a_build_without_distributed(interpreter: Path, install: Install) -> None:
    install(
        "torch",
        NVIDIA,
        __init__=f"__version__ = '{NVIDIA}'\nimport torch.cuda, torch.version",
        version="cuda = '12.6'",
        cuda="is_available = lambda: True",
        distributed="is_available = lambda: False",  # and nothing else, as NVIDIA's for JetPack 5
    )
    install("numpy", "1.26.4", __init__="")
    found = seen(interpreter)
    (site,) = (interpreter.parents[1] / "lib").glob("python*/site-packages")
    assert found == TorchFacts(
        version=NVIDIA,
        location=str(site),
        cuda="12.6",
        cuda_available=True,
        distributed=False,
        gloo=False,
        pins={"torch": NVIDIA, "numpy": "1.26.4"},
    )


def test_a_group_that_cannot_be_made(interpreter: Path, install: Install) -> None:
    install(
        "torch",
        "2.5.0",
        __init__="__version__ = '2.5.0'",
        distributed="is_available = lambda: True\ndef HashStore(): raise RuntimeError('no lo')",
    )
    found = seen(interpreter)
    assert (found.distributed, found.gloo) == (True, False)
    assert found.gloo_error is not None
    assert (found.error, found.cuda, found.cuda_available) == (None, None, False)


def test_a_library_that_is_missing(interpreter: Path, install: Install) -> None:
    what = "libcusparseLt.so.0: cannot open shared object file"
    install("torch", NVIDIA, __init__=f"raise ImportError('{what}')")
    found = seen(interpreter)
    assert found.error == f"ImportError: {what}"
    assert (found.version, found.pins) == (None, {"torch": NVIDIA})


def test_no_torch(interpreter: Path) -> None:
    found = seen(interpreter)
    assert found == TorchFacts(error="ModuleNotFoundError: No module named 'torch'")


def test_a_torch_that_only_its_owner_sees(interpreter: Path, tmp_path: Path) -> None:
    command = [str(interpreter), "-c", "import site; print(site.getusersitepackages())"]
    done = subprocess.run(command, env={"HOME": str(tmp_path)}, capture_output=True, text=True)
    (Path(done.stdout.strip()) / "torch").mkdir(parents=True)
    error = seen(interpreter, tmp_path).error
    assert error == (
        f"torch is in {done.stdout.strip()} only, which a service of another user cannot see"
    )


@pytest.mark.parametrize(
    ("crash", "doing"),
    [
        ("import os; os.abort()", "importing it ended Python with signal 6"),
        ("import os; os._exit(7)", "importing it ended Python with code 7"),
    ],
)
def test_a_torch_that_crashes(interpreter: Path, install: Install, crash: str, doing: str) -> None:
    install("torch", "2.5.0", __init__=crash)
    found = seen(interpreter)
    assert (found.error, found.pins) == (doing, {"torch": "2.5.0"})


def test_a_group_that_crashes_leaves_what_was_seen_before(
    interpreter: Path, install: Install
) -> None:
    install(
        "torch",
        "2.5.0",
        __init__="__version__ = '2.5.0'",
        distributed="import os\nis_available = lambda: True\ninit_process_group = print\n"
        "HashStore = os.abort",
    )
    found = seen(interpreter)
    assert (found.version, found.distributed, found.gloo) == ("2.5.0", True, None)
    assert found.error == "testing it ended Python with signal 6"


def test_noise_is_not_taken_for_an_answer(interpreter: Path, install: Install) -> None:
    install("torch", "2.5.0", __init__="__version__ = '2.5.0'\nprint('hello', end='')")
    assert seen(interpreter).version == "2.5.0"


def test_how_a_torch_that_says_nothing_ended() -> None:
    assert torch.facts(Answer(code=127, out="")).error == "there is no such Python"
    assert torch.facts(Answer(code=124, out="")).error == "importing it took longer than 90 s"
    assert torch.facts(SILENCE).error is not None


@pytest.mark.gloo
def test_a_real_torch() -> None:
    found = seen(Path(sys.executable))
    assert (found.error, found.gloo_error) == (None, None)
    assert (found.distributed, found.gloo) == (True, True)
    assert found.version is not None
    assert found.version.startswith(found.pins["torch"].partition("+")[0])


def test_the_interpreter(interpreter: Path, install: Install) -> None:
    install("jetson_stats", "4.3.2", __init__="raise ImportError('it was imported')")
    said = ask(python.command(str(interpreter))).text
    found = python.facts(said)
    assert found is not None
    assert (found.executable, found.venv) == (str(interpreter), True)
    assert tuple(map(int, found.version.split(".")[:2])) == sys.version_info[:2]
    assert python.jetson_stats(said) == "4.3.2"


def test_no_interpreter() -> None:
    said = ask(python.command("/no/python"))
    assert python.facts(said.text) is None
    assert python.jetson_stats(said.text) is None


def test_every_byte_counts(interpreter: Path, install: Install) -> None:
    install("torch", NVIDIA, __init__="x = 1", ops="y = 1")
    (site,) = (interpreter.parents[1] / "lib").glob("python*/site-packages")
    digest = torch_digest(HERE, str(interpreter))
    assert digest is not None
    assert len(digest) == 64

    other = {
        "a file it lists": site / "torch" / "ops.py",
        "a file in its directory": site / "torch" / "lib" / "libc10.so",
        "a file beside it": site / "torch.libs" / "libgomp.so",
        "a file it lists elsewhere": interpreter.parent / "tool",
        "its metadata": site / f"torch-{NVIDIA}.dist-info" / "METADATA",
    }
    for what, path in other.items():
        path.parent.mkdir(exist_ok=True)
        before = path.read_bytes() if path.exists() else None
        path.write_bytes((before or b"") + b"#")
        assert torch_digest(HERE, str(interpreter)) != digest, what
        path.unlink() if before is None else path.write_bytes(before)
        assert torch_digest(HERE, str(interpreter)) == digest, what
    (site / "torch" / "ops.py").unlink()
    assert torch_digest(HERE, str(interpreter)) != digest


def test_what_python_rewrites_does_not_count(interpreter: Path, install: Install) -> None:
    install("torch", NVIDIA, __init__="")
    digest = torch_digest(HERE, str(interpreter))
    subprocess.run([str(interpreter), "-c", "import torch"], check=True, env={})
    (site,) = (interpreter.parents[1] / "lib").glob("python*/site-packages")
    assert (site / "torch" / "__pycache__").is_dir()
    assert torch_digest(HERE, str(interpreter)) == digest


def test_asking_writes_nothing(interpreter: Path, install: Install) -> None:
    install("torch", NVIDIA, __init__=f"__version__ = '{NVIDIA}'")
    before = sorted(interpreter.parents[1].rglob("*"))
    seen(interpreter)
    torch_digest(HERE, str(interpreter))
    assert sorted(interpreter.parents[1].rglob("*")) == before


def test_no_digest_of_nothing(interpreter: Path) -> None:
    assert torch_digest(HERE, str(interpreter)) is None


def test_a_digest_that_cannot_be_had_is_an_error() -> None:
    with pytest.raises(ClusterError, match="board edge-1: the files of its torch cannot be read"):
        torch_digest(HERE, "/no/python")


@pytest.mark.parametrize("digest", ["x", "", "0" * 63, 5])
def test_nonsense_is_no_digest(digest: object) -> None:
    assert torch.digest(f"{on_board.MARK}{{}}") is None
    assert torch.digest(f'{on_board.MARK}{{"digest": "{digest}"}}') is None


@settings(deadline=None)
@given(st.text(), st.integers(0, 255))
def test_any_text_is_read(text: str, code: int) -> None:
    for out in (text, on_board.MARK + text, on_board.MARK + '{"pins": ' + text + "}"):
        assert torch.facts(Answer(code=code, out=out)).location in (None, text)
        assert python.facts(out) is None
        assert torch.digest(out) is None

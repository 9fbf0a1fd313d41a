"""What tests of several examples read."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture(scope="session")
def data() -> ModuleType:
    """The digits and their split."""
    spec = importlib.util.spec_from_file_location("digits_data", EXAMPLE / "data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

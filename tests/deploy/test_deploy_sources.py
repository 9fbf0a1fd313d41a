"""The files for boards are found, in a checkout and in a wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from prism_edge.deploy.sources import CHECKOUT, folder, source
from prism_edge.errors import ClusterError

ROOT = Path(__file__).parents[2]


def test_a_checkout_has_them_in_its_deploy_folder() -> None:
    assert folder() == ROOT / "deploy" == CHECKOUT
    assert source("cluster.example.toml").read_text().startswith("# One file per cluster")


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ClusterError, match=r"deploy/no-such-file is missing; reinstall prism-edge"):
        source("no-such-file")

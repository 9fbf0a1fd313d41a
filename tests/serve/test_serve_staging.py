"""An engine is started with the staging that the cluster's profile found fastest for its board."""

from __future__ import annotations

from pathlib import Path

from prism_edge import tables
from prism_edge.serve.staging import measured_staging
from prism_edge.settings import BoardSettings, Settings

GPU = BoardSettings(name="a", address="10.0.0.1", device="cuda")
CPU = BoardSettings(name="b", address="10.0.0.2")


def settings(profiles: Path) -> Settings:
    return Settings(name="c", leader="a", profiles=profiles, boards=(GPU, CPU))


def profile(*paths: tuple[str, float]) -> tables.Profile:
    """Every path takes that long out and in, at two sizes."""
    return tables.Profile(
        created="now",
        version="0",
        cluster="c",
        kind="boards",
        boards=tuple(tables.BoardInfo(name=name, device="?") for name in "ab"),
        models=(),
        staging=tuple(
            tables.StagingRow(
                board="a", path=path, direction=way, bytes=size, repeat=0, latency_s=seconds
            )
            for path, seconds in paths
            for way in ("d2h", "h2d")
            for size in (4096, 8192)
        ),
    )


def test_the_fastest_path_of_the_profile_is_taken(tmp_path: Path) -> None:
    tables.write(tmp_path, profile(("gloo", 3.0), ("pinned", 2.0), ("mapped", 1.0)))
    assert measured_staging(settings(tmp_path), GPU) == "mapped"
    tables.write(tmp_path, profile(("gloo", 3.0), ("pinned", 2.0), ("mapped", 2.5)))
    assert measured_staging(settings(tmp_path), GPU) == "pinned"


def test_a_cpu_stages_nothing_whatever_was_measured(tmp_path: Path) -> None:
    tables.write(tmp_path, profile(("pinned", 2.0)))
    assert measured_staging(settings(tmp_path), CPU) == "auto"


def test_without_tables_the_engine_decides(tmp_path: Path) -> None:
    assert measured_staging(settings(tmp_path / "none"), GPU) == "auto"
    tables.write(tmp_path, profile(("copy", 1.0)))
    assert measured_staging(settings(tmp_path), GPU) == "auto"

"""Fixtures of the report: two runs with complete results, as an evaluation leaves them."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def beside(name: str) -> ModuleType:
    """A module that lies beside this file (tests are no package)."""
    specification = importlib.util.spec_from_file_location(f"report_{name}", Path(__file__).with_name(f"{name}.py"))
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def results() -> ModuleType:
    """The builder of synthetic results, ``results.py``."""
    return beside("results")


@pytest.fixture(scope="session")
def dissected() -> ModuleType:
    """The builder of what a dissection leaves behind, ``dissected.py``."""
    return beside("dissected")


@pytest.fixture
def runs(results: ModuleType, tmp_path: Path) -> tuple[Path, Path]:
    """The folders of a weak and a strong run."""
    natural = results.write_run(tmp_path / "natural", "demo-natural", seed=1, strength=0.9)
    madry = results.write_run(tmp_path / "madry", "demo-madry", seed=2, strength=0.4)
    return natural, madry

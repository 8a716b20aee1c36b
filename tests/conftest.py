"""What tests of several packages share: tiny trainings on ConceptShapes, without W&B."""

import os
from pathlib import Path

import pytest
import torch

import evaluate
import train

# The workers of the test runner share the cores.
torch.set_num_threads(1)
os.environ.setdefault("WANDB_MODE", "disabled")
os.environ.setdefault("WANDB_SILENT", "true")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

TINY_DATA = {"train": 96, "val": 40, "test": 50}
"""Images per split of the tiny data set; no split is a multiple of the batch sizes."""


@pytest.fixture(scope="session")
def shapes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which ConceptShapes may cache what it renders."""
    return tmp_path_factory.mktemp("concept_shapes")


@pytest.fixture(scope="session")
def tiny_arguments(shapes_root: Path) -> list[str]:
    """Return command line arguments that make any ConceptShapes config tiny."""
    return [
        f"--data.init_args.root={shapes_root}",
        *(f"--data.init_args.{split}={count}" for split, count in TINY_DATA.items()),
        "--data.init_args.batch_size=16",
        "--data.init_args.eval_batch_size=24",
        "--model.init_args.network=advscope.networks.CIFARResNet",
        "--model.init_args.network.init_args.depth=8",
        "--model.init_args.network.init_args.width=8",
        "--model.init_args.validation_attack_images=20",
        "--model.init_args.micro_batch=16",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
        "--wandb=off",
    ]


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, tiny_arguments: list[str]) -> Path:
    """Return the folder of a finished Madry training of two epochs."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    config = str(ROOT / "configs" / "concept_shapes_madry_demo.yaml")
    train.main(["--config", config, "--run", str(run), *tiny_arguments, "--trainer.max_epochs=2"])
    return run


@pytest.fixture(scope="session")
def tiny_results(tiny_run: Path) -> Path:
    """Return the results of the standard evaluation of the tiny run."""
    evaluate.main(["--run", str(tiny_run), "--wandb=off", "--trainer.enable_progress_bar=false"])
    return tiny_run / "results" / "standard"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real data and weights beside the project, where it is there."""
    if not (SHARED / "data").exists():
        pytest.skip("the real data and weights in ../shared are not there")
    return SHARED

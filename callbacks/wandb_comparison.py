"""A comparison of runs on W&B, in a run of its own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advscope.report import read_summary
from callbacks.wandb_run import Mode, wandb_logger


def log_comparison(page: Path, runs: Sequence[Path], evaluation: str, mode: Mode, project: str) -> str | None:
    """Log a comparison's page to W&B, byte by byte as it lies on disk.

    The run's ``job_type`` is ``compare``, its group the runs' names; its config names the runs with their folders,
    the checksums of their weights, and their own W&B runs; the page stands under ``comparison``. Its files go to
    ``wandb/`` beside the page.

    Args:
        page: The page's file.
        runs: Folders of the runs.
        evaluation: Name of the evaluation.
        mode: See :func:`~callbacks.wandb_run.resolved`.
        project: W&B project.

    Returns:
        The id of the W&B run, ``None`` if W&B is off.
    """
    described = [_described(run, evaluation) for run in runs]
    names = ", ".join(each["name"] for each in described)
    logger = wandb_logger(
        mode,
        project=project,
        name=f"{names}/{evaluation}",
        folder=page.parent,
        job_type="compare",
        # W&B takes 128 characters for a group.
        group=names[:128],
        config={"evaluation": evaluation, "page": page.name, "runs": described},
    )
    if logger is None:
        return None
    import wandb

    run = logger.experiment
    try:
        # Injecting W&B's styles would change the page.
        run.log({"comparison": wandb.Html(str(page), inject=False)})
    finally:
        run.finish()
    return str(run.id)


def _described(run: Path, evaluation: str) -> dict[str, Any]:
    """Return what identifies a run's results."""
    found = read_summary(run / "results" / evaluation / "summary.json")["run"]
    record = run / "run.json"
    return {
        "name": found["name"],
        "folder": run.as_posix(),
        "checkpoint": found.get("checkpoint"),
        "weights_sha256": found.get("weights_sha256"),
        # A network that was trained elsewhere has no record.
        "wandb": json.loads(record.read_text()).get("wandb") if record.is_file() else None,
    }

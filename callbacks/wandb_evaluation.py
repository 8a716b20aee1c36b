"""An evaluation's figures and tables on W&B."""

from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer

from advscope.intervals import Estimate

TABLE_ROWS = 1000
"""Rows of each table that go to W&B; the CSV files have all."""


def log_evaluation(
    trainer: Trainer, estimates: dict[str, Estimate], tables: dict[str, list[dict[str, Any]]], figures: list[Path]
) -> None:
    """Log an evaluation to the trainer's W&B run, if it has one.

    The summary gets every figure under its log key, with ``KEY/n``, ``KEY/low`` and ``KEY/high`` beside it; the figures
    stand under ``figures/NAME``, the first rows of each table under its name: ``images``, and where units were
    dissected or masked ``units``, ``significance`` and ``masking``.
    """
    from pytorch_lightning.loggers import WandbLogger

    for logger in trainer.loggers:
        if not isinstance(logger, WandbLogger):
            continue
        run = logger.experiment
        for key, estimate in estimates.items():
            run.summary.update(
                {key: estimate.value, f"{key}/low": estimate.low, f"{key}/high": estimate.high, f"{key}/n": estimate.n}
            )
        for figure in figures:
            logger.log_image(f"figures/{figure.stem}", [str(figure)])
        for name, rows in tables.items():
            if rows:
                columns = list(dict.fromkeys(column for row in rows for column in row))
                logger.log_table(name, columns, [[row.get(column) for column in columns] for row in rows[:TABLE_ROWS]])

"""Lightning's trainer with advscope's defaults."""

from typing import Any

import pytorch_lightning

from advscope.precision import automatic_precision


class Trainer(pytorch_lightning.Trainer):
    """Lightning's trainer with advscope's defaults.

    Args:
        *args: As for Lightning's trainer.
        accelerator: As for Lightning's trainer.
        precision: ``auto`` trains in bfloat16 where the device has the instructions, else in float32; or any of
            Lightning's. Validation and test run in float32 always.
        num_sanity_val_steps: Validation steps before training; none, since they cost attacks.
        use_distributed_sampler: Stays off: the datamodules share their data out themselves, without repeats.
        enable_model_summary: Off: the run's first line says what is trained.
        limit_train_batches: Train on so many batches of each epoch, or on that share of them (a number with a point).
        limit_val_batches: Likewise in validation.
        limit_test_batches: Likewise in an evaluation.
        **kwargs: As for Lightning's trainer.
    """

    def __init__(
        self,
        *args: Any,
        accelerator: str = "auto",
        precision: str | int | None = "auto",
        num_sanity_val_steps: int | None = 0,
        use_distributed_sampler: bool = False,
        enable_model_summary: bool | None = False,
        # Lightning's own annotation is Optional[Union[int, float]], and typing hands out whichever order of the two was
        # made first in the process: with float first, 1 would be read as 1.0, all batches.
        limit_train_batches: int | float | None = None,
        limit_val_batches: int | float | None = None,
        limit_test_batches: int | float | None = None,
        **kwargs: Any,
    ) -> None:
        if precision == "auto":
            import torch

            on_gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())
            precision = automatic_precision("cuda" if on_gpu else "cpu")
        super().__init__(
            *args,
            accelerator=accelerator,
            precision=precision,  # type: ignore[arg-type]
            num_sanity_val_steps=num_sanity_val_steps,
            use_distributed_sampler=use_distributed_sampler,
            enable_model_summary=enable_model_summary,
            limit_train_batches=limit_train_batches,
            limit_val_batches=limit_val_batches,
            limit_test_batches=limit_test_batches,
            **kwargs,
        )

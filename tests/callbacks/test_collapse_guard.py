"""The stop of a training that stays at chance."""

from types import SimpleNamespace

import pytest

from callbacks import CollapseGuard, TrainingCollapsedError


def run(guard, accuracies, *, warmup=0, batches=50, fast=False, every=1):
    for epoch, accuracy in enumerate(accuracies):
        trainer = SimpleNamespace(
            callback_metrics={"val/clean/accuracy": accuracy},
            num_training_batches=batches,
            fast_dev_run=fast,
            current_epoch=epoch,
            datamodule=SimpleNamespace(num_classes=10),
        )
        module = SimpleNamespace(eps_warmup_epochs=warmup)
        if epoch % every == every - 1:
            guard.on_validation_end(trainer, module)
        guard.on_train_epoch_end(trainer, module)


def test_stops_after_two_epochs_at_chance_with_what_to_change():
    with pytest.raises(TrainingCollapsedError, match=r"under 1.5 times chance \(0.100\) for 2 validations .*lower the"):
        run(CollapseGuard(), [0.10, 0.149])


def test_counts_validations_and_not_the_epochs_between_them():
    run(CollapseGuard(), [0.1] * 3, every=2)
    with pytest.raises(TrainingCollapsedError):
        run(CollapseGuard(), [0.1] * 4, every=2)


def test_does_not_stop_for_one_epoch_or_at_the_limit():
    run(CollapseGuard(), [0.1, 0.15, 0.1, 0.5])


def test_counts_after_the_warm_up_alone():
    run(CollapseGuard(), [0.1, 0.1, 0.1], warmup=2)
    with pytest.raises(TrainingCollapsedError):
        run(CollapseGuard(), [0.1, 0.1, 0.1, 0.1], warmup=2)


@pytest.mark.parametrize("setting", [{"batches": 49}, {"fast": True}])
def test_is_off_in_short_epochs_and_fast_runs(setting):
    run(CollapseGuard(), [0.1] * 5, **setting)


def test_is_off_without_patience():
    run(CollapseGuard(patience=0), [0.1] * 5)


def test_goes_on_counting_after_a_stop():
    guard = CollapseGuard()
    run(guard, [0.1])
    resumed = CollapseGuard()
    resumed.load_state_dict(guard.state_dict())
    with pytest.raises(TrainingCollapsedError):
        run(resumed, [0.1])


def test_settings_that_are_not_allowed_are_named():
    with pytest.raises(ValueError, match="patience must not be negative, got -1"):
        CollapseGuard(patience=-1)
    with pytest.raises(ValueError, match=r"factor must be at least 1, got 0\.5"):
        CollapseGuard(factor=0.5)

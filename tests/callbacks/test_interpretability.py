"""The monitor of IS: its names, further explainers, quantiles and controls, and how often the network runs."""

import math

import pytest
import torch
import yaml

import evaluate
from advscope.batch import AttackedBatch
from advscope.explainers import CAM, GradCAM, GradCAMPlusPlus
from advscope.frozen import MicroBatched
from advscope.measures import (
    interpretability_score,
    noise_control,
    shuffled_cells_control,
    shuffled_control,
)
from advscope.networks import CIFARResNet
from advscope.report import read_columns, read_summary
from callbacks import InterpretabilityMonitor


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return CIFARResNet(8, width=4).eval()


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(6, 3, 16, 16, generator=generator)
    adversarials = (images + torch.randn(images.shape, generator=generator) / 30).clamp(0, 1)
    labels = torch.arange(6)
    everyone = torch.ones(6, dtype=torch.bool)
    logits = torch.zeros(6, 10)
    return AttackedBatch(
        images, adversarials, labels + 40, labels, (labels + 3) % 10, logits, logits, everyone, everyone
    )


def monitor(**settings):
    return InterpretabilityMonitor(
        further={"grad_cam_pp": GradCAMPlusPlus(), "early": GradCAM("layer1")}, quantiles=[0.6, 0.8], **settings
    )


def test_values_are_those_of_the_measure_by_hand(network, batch):
    found = monitor(control_cell_size=5, seed=3).measure_batch(network, batch)
    explainers = {"": CAM(), "_grad_cam_pp": GradCAMPlusPlus(), "_early": GradCAM("layer1")}
    perturbations = batch.adversarials - batch.images
    controls = {
        "noise": noise_control(perturbations, batch.indices, 3),
        "shuffled": shuffled_control(perturbations, batch.indices, 3),
        "shuffled_cells": shuffled_cells_control(perturbations, batch.indices, 5, 3),
    }
    expected = {}
    for name, explainer in explainers.items():
        maps = {
            "clean": explainer(network, batch.images, batch.labels),
            "adversarial": explainer(network, batch.adversarials, batch.targets),
        }
        for at, quantile in {"": 0.7, "_at_60": 0.6, "_at_80": 0.8}.items():
            for pair, heatmaps in maps.items():
                for field, values in interpretability_score(perturbations, heatmaps, quantile)._asdict().items():
                    expected[f"{field}_{pair}{name}{at}"] = values
                for control, given in controls.items():
                    score = interpretability_score(given, heatmaps, quantile).score
                    expected[f"score_{pair}_{control}{name}{at}"] = score
    assert found.keys() == expected.keys()
    assert len(found) == 2 * 3 * 3 * (4 + 3)
    for name, values in expected.items():
        assert torch.equal(found[name], values), name
    assert not torch.equal(found["score_clean"], found["score_clean_early"])


def test_the_names_are_the_metrics_and_those_of_before(network, batch):
    plain = InterpretabilityMonitor(controls=False)
    assert list(plain.measure_batch(network, batch)) == list(plain.metric(network).quantities)
    assert plain.metric(network).quantities == tuple(
        f"{field}_{pair}" for pair in ("clean", "adversarial") for field in ("score", "chance", "excess", "mask_share")
    )
    full = monitor()
    assert set(full.measure_batch(network, batch)) == set(full.metric(network).quantities)
    assert set(InterpretabilityMonitor().metric(network).quantities) - set(plain.metric(network).quantities) == {
        f"score_{pair}_{control}" for pair in ("clean", "adversarial") for control in ("noise", "shuffled")
    }


def test_quantiles_and_controls_take_no_pass(network, batch):
    still = MicroBatched(network, 3)
    monitor().measure_batch(still, batch)
    assert still.forwards == 3 * 2 * 6  # three explainers, clean and adversarial, six images
    still.forwards = 0
    monitor().example_arrays(still, batch)
    assert still.forwards == 3 * 2 * 6  # both classes from one pass


def test_no_figure_depends_on_the_batch(network, batch):
    still, subject = MicroBatched(network, 3), monitor(control_cell_size=4)
    whole = subject.measure_batch(still, batch)
    order = torch.tensor([4, 1, 5])
    part = subject.measure_batch(still, AttackedBatch(*(field[order] for field in batch)))
    for name, values in whole.items():
        assert torch.equal(part[name], values[order]), name


def test_example_arrays_are_four_maps_of_each_explainer(network, batch):
    arrays = monitor().example_arrays(network, batch)
    assert set(arrays) == {
        f"{name}_{pair}_{kind}"
        for name in ("cam", "grad_cam_pp", "early")
        for pair in ("clean", "adversarial")
        for kind in ("label", "target")
    }
    expected = GradCAM("layer1")(network, batch.adversarials, batch.labels)
    torch.testing.assert_close(arrays["early_adversarial_label"], expected, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(arrays["cam_clean_target"], CAM()(network, batch.images, batch.targets))


def test_an_undefined_row_is_nan_in_every_quantity_that_needs_it(network, batch):
    unchanged = batch._replace(adversarials=torch.cat([batch.images[:1], batch.adversarials[1:]]))
    found = monitor().measure_batch(network, unchanged)
    for name, values in found.items():
        undefined = name.startswith(("score", "excess"))
        assert values.isnan().tolist() == [undefined] + [False] * 5, name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"quantile": 1.0}, r"quantile must be in \[0, 1\), got 1.0"),
        ({"quantiles": [0.6, -0.1]}, r"quantile must be in \[0, 1\), got -0.1"),
        ({"quantiles": [0.6, 0.702]}, r"must differ after rounding to percent, got \[70, 60, 70\]"),
        ({"further": {"Grad-CAM": GradCAM()}}, "lower case letters, digits and underscores .* got 'Grad-CAM'"),
        ({"further": {"": GradCAM()}}, "explainer's name must be .* got ''"),
        ({"further": {"late_at_60": GradCAM()}}, "not end in _at_NN.* got 'late_at_60'"),
        ({"further": {"noise": GradCAM()}}, "not begin with noise or shuffled, got 'noise'"),
        ({"further": {"shuffled_cam": GradCAM()}}, "not begin with noise or shuffled, got 'shuffled_cam'"),
        ({"further": {"cam": GradCAM()}}, "the name cam is that of the main explainer's example arrays"),
        ({"control_cell_size": 0}, "control_cell_size must be at least 1, or null for none, got 0"),
        ({"control_cell_size": 4, "controls": False}, "control_cell_size=4 needs controls"),
    ],
)
def test_refuses_settings_at_construction_in_one_line(settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        InterpretabilityMonitor(**settings)
    assert "\n" not in str(caught.value)


def test_an_unknown_layer_is_named_before_anything_is_attacked(network):
    with pytest.raises(ValueError, match="CIFARResNet has no layer 'layer9'; the nearest names are layer"):
        InterpretabilityMonitor(further={"late": GradCAM("layer9")}).metric(network)


def test_runs_from_a_config(tiny_run, tmp_path):
    settings = {
        "further": {
            "grad_cam_pp": {"class_path": "advscope.explainers.GradCAMPlusPlus"},
            "smooth_grad": {"class_path": "advscope.explainers.SmoothGrad", "init_args": {"samples": 2}},
        },
        "quantiles": [0.6],
        "control_cell_size": 4,
    }
    overlay = tmp_path / "explainers.yaml"
    attack = {"class_path": "advscope.attacks.FGSM", "init_args": {"eps": 0.2}}
    callback = {"class_path": "callbacks.InterpretabilityMonitor", "init_args": settings}
    overlay.write_text(
        yaml.safe_dump({"model": {"init_args": {"attacks": {"fgsm": attack}}}, "trainer": {"callbacks": [callback]}})
    )
    arguments = ["--run", str(tiny_run), "--config", str(overlay), "--wandb=off", "--name", "explainers"]
    evaluate.main([*arguments, "--trainer.enable_progress_bar=false"])
    folder = tiny_run / "results" / "explainers"
    figures, rows = read_summary(folder / "summary.json")["figures"], read_columns(folder / "images.csv")
    for name in ("score_clean", "excess_adversarial_smooth_grad_at_60", "score_clean_shuffled_cells_grad_cam_pp"):
        figure = figures[f"test/fgsm/is/{name}"]
        assert figure["n"] > 0
        column = torch.tensor(rows[f"is/{name}"], dtype=torch.float64)
        assert figure["value"] == pytest.approx(column[~column.isnan()].mean().item())
    noise = figures["test/fgsm/is/score_clean_noise"]
    assert abs(noise["value"] - figures["test/fgsm/is/chance_clean"]["value"]) < 4 * 0.02 / math.sqrt(noise["n"])

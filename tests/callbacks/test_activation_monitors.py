"""The noise control of the activation bias, and the activation maps of examples."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml

import evaluate
from advscope.batch import AttackedBatch
from advscope.frozen import MicroBatched
from advscope.layers import blocks
from advscope.measures import activation_bias, activation_maps, noise_control
from advscope.networks import CIFARResNet, load_weights
from advscope.report import load_examples, read_columns, read_summary
from callbacks import ActivationBiasMonitor, ActivationMapsMonitor

QUIET = ("--wandb=off", "--trainer.enable_progress_bar=false", "--data.init_args.test=50")
FGSM = {"class_path": "advscope.attacks.FGSM", "init_args": {"eps": 0.1}}


def evaluated(run: Path, folder: Path, name: str, callbacks: dict, *more: str) -> Path:
    listed = [{"class_path": f"callbacks.{kind}", "init_args": settings} for kind, settings in callbacks.items()]
    path = folder / f"{name}.yaml"
    path.write_text(
        yaml.safe_dump({"model": {"init_args": {"attacks": {"fgsm": FGSM}}}, "trainer": {"callbacks": listed}})
    )
    evaluate.main(["--run", str(run), "--config", str(path), *QUIET, *more])
    return run / "results" / name


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("activations") / "tiny"
    return Path(shutil.copytree(tiny_run, folder, ignore=shutil.ignore_patterns("results")))


@pytest.fixture(scope="module")
def network(run):
    network = CIFARResNet(8, width=8).eval().to(memory_format=torch.channels_last)
    load_weights(network, run / "checkpoints" / "last.ckpt")
    return MicroBatched(network, 16)


@pytest.fixture(scope="module")
def found(run, tmp_path_factory):
    """Return the results of an evaluation with the control and the maps."""
    callbacks = {"ActivationBiasMonitor": {"control": True, "seed": 5}, "ActivationMapsMonitor": {"examples": 3}}
    return evaluated(run, tmp_path_factory.mktemp("overlay"), "both", callbacks)


@pytest.fixture(scope="module")
def batch(network):
    images = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    adversarials = (images + 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    everyone, zeros = torch.ones(6, dtype=torch.bool), torch.zeros(6, dtype=torch.int64)
    return AttackedBatch(
        images,
        adversarials,
        torch.arange(6) + 40,
        zeros,
        zeros,
        torch.zeros(6, 10),
        torch.zeros(6, 10),
        everyone,
        everyone,
    )


def rows(batch, chosen):
    return AttackedBatch(*(field[chosen] for field in batch))


def test_the_control_is_noise_of_the_same_norm(network, batch):
    columns = ActivationBiasMonitor(["conv1", "layer3.0"], control=True, seed=5).measure_batch(network, batch)
    noise = noise_control(batch.adversarials - batch.images, batch.indices, 5)
    expected = activation_bias(network, batch.images, batch.images + noise, ["conv1", "layer3.0"])
    for layer, bias in expected.items():
        assert torch.equal(columns[f"{layer}/raw_noise"], bias.raw)
        assert torch.equal(columns[f"{layer}/relative_noise"], bias.relative)
    other = ActivationBiasMonitor(["conv1"], control=True).measure_batch(network, batch)
    assert not torch.equal(other["conv1/raw_noise"], columns["conv1/raw_noise"])
    assert torch.equal(other["conv1/raw"], columns["conv1/raw"])


def test_the_control_depends_on_no_batch_and_changes_no_other_figure(network, batch):
    monitor = ActivationBiasMonitor(control=True)
    whole = monitor.measure_batch(network, batch)
    order = torch.tensor([4, 1, 5, 0, 3, 2])
    turned = [monitor.measure_batch(network, rows(batch, part)) for part in order.split(4)]
    plain = ActivationBiasMonitor().measure_batch(network, batch)
    assert set(whole) - set(plain) == {
        f"{layer}/{kind}_noise" for layer in blocks(network) for kind in ("raw", "relative")
    }
    for name, values in whole.items():
        assert torch.equal(torch.cat([part[name] for part in turned]), values[order]), name
        assert name.endswith("_noise") or torch.equal(values, plain[name])


def test_the_control_of_an_evaluation(found, run, tmp_path):
    plain = evaluated(run, tmp_path, "plain", {"ActivationBiasMonitor": {}})
    figures, without = (read_summary(folder / "summary.json")["figures"] for folder in (found, plain))
    for key, figure in without.items():
        assert figures[key] == figure, key
    columns, n = read_columns(found / "images.csv"), figures["test/fgsm/bias/layer3.0/raw"]["n"]
    assert n > 0
    for kind in ("raw_noise", "relative_noise"):
        figure = figures[f"test/fgsm/bias/layer3.0/{kind}"]
        values = columns[f"bias/layer3.0/{kind}"][columns["attacked"].astype(bool)]
        assert (figure["n"], len(values)) == (n, n)
        assert figure["value"] == pytest.approx(values.mean(), rel=1e-7)
        assert figure["low"] < figure["value"] < figure["high"]
    # An attack moves the last block further than noise of its size does.
    assert figures["test/fgsm/bias/layer3.0/raw"]["value"] > figures["test/fgsm/bias/layer3.0/raw_noise"]["value"]


def test_maps_of_examples_are_those_of_the_measure(found, network):
    arrays = load_examples(found / "arrays.npz")
    kinds = {"clean": "images", "adversarial": "adversarials"}
    names = {f"fgsm/activations/{kind}/{layer}" for kind in kinds for layer in blocks(network)[:-1]}
    assert {name for name in arrays if "/activations/" in name} == names
    assert len(arrays["fgsm/images"]) == 3
    for kind, images in kinds.items():
        expected = activation_maps(network, torch.as_tensor(arrays[f"fgsm/{images}"]))
        for layer, maps in expected.items():
            assert torch.equal(torch.as_tensor(arrays[f"fgsm/activations/{kind}/{layer}"]), maps)


def test_maps_go_on_where_an_evaluation_was_stopped(found, run, tmp_path):
    callbacks = {"ActivationMapsMonitor": {"layers": ["conv1"], "examples": 3}}
    small = "--data.init_args.eval_batch_size=2"
    evaluated(run, tmp_path, "maps", callbacks, small, "--max_minutes=1e-9")
    stopped = evaluated(run, tmp_path, "maps", callbacks, small)
    one, other = (load_examples(folder / "arrays.npz") for folder in (stopped, found))
    assert one["fgsm/indices"].tolist() == other["fgsm/indices"].tolist()
    assert (one["fgsm/activations/adversarial/conv1"] == other["fgsm/activations/adversarial/conv1"]).all()
    assert "fgsm/activations/clean/layer1.0" not in one


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"examples": 0}, "examples must be at least 1, got 0"),
        ({"layers": ["conv9"]}, "has no layer 'conv9'; the nearest"),
    ],
)
def test_what_is_not_allowed_is_said_before_the_first_step(settings, message, run, tmp_path):
    with pytest.raises(SystemExit, match=message):
        evaluated(run, tmp_path, "no", {"ActivationMapsMonitor": settings})


def test_its_measure_in_names():
    assert ActivationMapsMonitor().measure == "activations"

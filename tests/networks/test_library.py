"""Tests of the networks of torchvision and timm."""

import sys
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import timm
import torch
import torchvision

from advscope.frozen import FoldedBatchNorm
from advscope.networks import Library, Preprocessing, load_weights
from advscope.networks import library as subject


def test_torchvision_takes_images_and_normalises_with_its_own_constants() -> None:
    network = Library("torchvision/resnet18", num_classes=5).eval()
    images = torch.rand(2, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    plain = torchvision.models.resnet18(num_classes=5).eval()
    plain.load_state_dict(network.network.state_dict())

    with torch.no_grad():
        expected = plain((images - mean.view(3, 1, 1)) / std.view(3, 1, 1))

        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)


def test_constants_come_from_the_library() -> None:
    # One was trained on images in [-1, 1], the other on images in [0, 1] as they are; most state ImageNet's constants.
    for name, mean, std in [("timm/mobilenetv4_conv_small_050", 0.5, 0.5), ("timm/mobilevitv2_050", 0.0, 1.0)]:
        network = Library(name, num_classes=2)
        assert network.normalize.mean.flatten().tolist() == [mean] * 3
        assert network.normalize.std.flatten().tolist() == [std] * 3
    # torchvision's weights of EfficientNetV2-L state 0.5; on the meta device it costs no memory.
    with torch.device("meta"):
        _, own = subject._from_torchvision("efficientnet_v2_l", 2, False, {})
    assert own == Preprocessing(480, 480, "bicubic", (0.5,) * 3, (0.5,) * 3)


def test_constants_can_be_given() -> None:
    network = Library("torchvision/squeezenet1_1", mean=[0.5, 0.5, 0.5], std=[0.1, 0.2, 0.3])

    assert network.normalize.mean.flatten().tolist() == [0.5, 0.5, 0.5]
    assert network.normalize.std.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert network.preprocessing == Preprocessing(224, 256, "bilinear", (0.5, 0.5, 0.5), (0.1, 0.2, 0.3))


def test_timm_by_name_and_by_name_with_tag() -> None:
    images = torch.rand(1, 3, 64, 64)

    for name in ("timm/resnet18", "timm/resnet18.a1_in1k"):
        assert Library(name, num_classes=4).eval()(images).shape == (1, 4)


def test_settings_reach_the_constructor() -> None:
    plain = Library("torchvision/resnet18", settings={"zero_init_residual": True})

    assert (plain.network.layer1[0].bn2.weight == 0).all()


def test_networks_with_auxiliary_heads_return_logits_while_they_train() -> None:
    network = Library("torchvision/googlenet", num_classes=6, settings={"init_weights": False}).train()

    assert network(torch.rand(2, 3, 96, 96)).shape == (2, 6)


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("torchvision/resnet101", Preprocessing(224, 232, "bilinear", *IMAGENET)),
        ("torchvision/resnet152", Preprocessing(224, 232, "bilinear", *IMAGENET)),
        ("torchvision/mobilenet_v2", Preprocessing(224, 232, "bilinear", *IMAGENET)),
        ("torchvision/inception_v3", Preprocessing(299, 342, "bilinear", *IMAGENET)),
        ("timm/inception_v3", Preprocessing(299, 341, "bicubic", *HALVES)),
        ("timm/resnetv2_101", Preprocessing(288, 288, "bicubic", *HALVES)),
        ("timm/resnetv2_101x1_bit.goog_in21k_ft_in1k", Preprocessing(448, 448, "bilinear", *HALVES)),
        ("timm/resnet18.a1_in1k", Preprocessing(288, 288, "bicubic", *IMAGENET)),
    ],
)
def test_the_papers_networks_say_what_images_they_were_made_for(name: str, expected: Preprocessing) -> None:
    with torch.device("meta"):  # costs no memory
        network = Library(name)

    assert network.preprocessing == expected
    library, _, plain = name.partition("/")
    if library == "timm":
        theirs = timm.data.resolve_model_data_config(network.network, use_test_size=True)
        assert expected.size == theirs["input_size"][1]
        assert expected.resize == int(expected.size / theirs["crop_pct"])
        assert (expected.interpolation, expected.mean, expected.std) == tuple(
            theirs[key] for key in ("interpolation", "mean", "std")
        )
    else:
        theirs = torchvision.models.get_model_weights(plain).DEFAULT.transforms()
        assert [expected.size] == theirs.crop_size
        assert [expected.resize] == theirs.resize_size


@pytest.mark.parametrize(
    "name", ["torchvision/resnet101", "torchvision/mobilenet_v2", "torchvision/inception_v3", "timm/resnetv2_101"]
)
def test_the_papers_networks_run_at_their_size_with_weights_from_a_file(name: str, tmp_path: Path) -> None:
    settings = {"init_weights": False} if name.endswith("inception_v3") else None
    source, network = (Library(name, num_classes=7, settings=settings).eval() for _ in range(2))
    torch.save(source.network.state_dict(), tmp_path / "weights.pth")
    load_weights(network, tmp_path / "weights.pth")
    side = network.preprocessing.size
    images = torch.rand(1, 3, side, side)

    with torch.no_grad():
        logits = network(images)

        assert logits.shape == (1, 7)
        assert torch.equal(logits, source(images))


@pytest.mark.parametrize("name", ["torchvision/inception_v3", "timm/inception_v3"])
def test_published_files_of_inception_fit_though_they_hold_a_head_for_training(name: str, tmp_path: Path) -> None:
    settings = {"init_weights": False} if name.startswith("torchvision") else {}
    published = Library(name, num_classes=3, settings=settings | {"aux_logits": True})
    torch.save(published.network.state_dict(), tmp_path / "published.pth")
    network = Library(name, num_classes=3, settings=settings).eval()
    assert network.unused_weights == ("AuxLogits.",)
    assert published.unused_weights == ()

    load_weights(network, tmp_path / "published.pth")

    torch.testing.assert_close(network.network.fc.weight, published.network.fc.weight)
    torch.save(published.network.state_dict() | {"other.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"unexpected other.weight$"):
        load_weights(network, tmp_path / "other.pth")


def test_torchvisions_inception_gets_the_images_that_its_weights_were_made_for() -> None:
    network = Library("torchvision/inception_v3", num_classes=3, settings={"init_weights": False}).eval()
    seen: list[torch.Tensor] = []
    network.network.Conv2d_1a_3x3.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    images = torch.rand(1, 3, 299, 299)

    with torch.no_grad():
        network(images)

    torch.testing.assert_close(seen[0], 2 * images - 1, rtol=1e-4, atol=1e-5)  # as TensorFlow trained it


@pytest.mark.parametrize("name", ["torchvision/resnet18", "timm/resnet18"])
def test_batch_norm_folds(name: str) -> None:
    network = Library(name, num_classes=5).double().eval()
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)

    folded = FoldedBatchNorm(network)

    assert len(folded.folded) == 20  # 1 + 8 blocks of 2 + 3 projections
    with torch.no_grad():
        torch.testing.assert_close(folded(images), network(images), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Library("resnet18"), 'must be "torchvision/NAME" or "timm/NAME", got \'resnet18\''),
        (lambda: Library("keras/resnet18"), "torchvision/NAME"),
        (
            lambda: Library("torchvision/resnet19"),
            "no classifier 'resnet19'; the nearest names are .*torchvision/resnet1",
        ),
        (lambda: Library("torchvision/fasterrcnn_resnet50_fpn"), "no classifier 'fasterrcnn_resnet50_fpn'"),
        (lambda: Library("timm/resnet19"), "no classifier 'resnet19'; the nearest names are .*timm/resnet1"),
        (lambda: Library("timm/resnet18.a1_in2k"), "nearest names are .*timm/resnet18.a1_in1k"),
        (lambda: Library("torchvision/resnet18", 10, pretrained=True), "pretrained weights have 1,000 classes"),
    ],
)
def test_refuses(make: Callable[[], Library], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_without_a_connection_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    def fail(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", fail)
    monkeypatch.setattr("torch.hub.urlopen", fail)

    with pytest.raises(ConnectionError, match=r"resnet18 cannot be downloaded .*load them from a file"):
        Library("torchvision/resnet18", pretrained=True)


def test_without_timm_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)

    with pytest.raises(ModuleNotFoundError, match=r'pip install "advscope\[timm\]"'):
        Library("timm/resnet18")


def test_published_mobilenet_classifies_real_photographs(shared) -> None:
    network = Library("torchvision/mobilenet_v2", mean=[0.5] * 3, std=[0.5] * 3)
    load_weights(network, shared / "models/imagenet/mobilenet_v2_dequantised_torchvision.pth")
    folder = torchvision.datasets.ImageFolder(
        str(shared / "imagenet/samples_256"),
        torchvision.transforms.Compose([torchvision.transforms.CenterCrop(224), torchvision.transforms.ToTensor()]),
    )
    samples = [folder[index] for index in range(0, 1000, 20)]  # 50 of 1,000 classes

    with torch.inference_mode():
        predictions = network.eval()(torch.stack([image for image, _ in samples])).argmax(1)

    # 77.1% on all 1,000; of 50, fewer than 60% would be 2.9 standard deviations off.
    assert (predictions == torch.tensor([label for _, label in samples])).double().mean() >= 0.6

"""Tests of the figure of layers' activations."""

from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from advscope.report.activation_figure import ActivationRun, activation_figure, activation_layers, shared_indices

NAMES = tuple(f"layer{number}" for number in range(1, 10))


@pytest.fixture
def arrays(results: ModuleType, dissected: ModuleType) -> dict[str, Any]:
    found = results.make_arrays(0, attacks=("pgd20",))
    return found | dissected.make_activations(found, 0, NAMES)


def pictures(axis: Any) -> np.ndarray:
    return np.asarray(axis.images[0].get_array())


def test_layers_stand_in_the_networks_order_as_far_as_it_is_known(arrays: dict[str, Any]) -> None:
    more = arrays | {f"pgd20/activations/clean/{name}": np.zeros((3, 2, 2)) for name in ("stem", "layer10")}
    assert activation_layers(more, "pgd20") == [*NAMES, "layer10", "stem"]
    order = ["index", "bias/stem/relative", "bias/stem/raw", "bias/layer1/relative", "layer2", "fc"]
    assert activation_layers(more, "pgd20", order) == ["stem", *NAMES, "layer10"]
    assert activation_layers(more, "fgsm") == []


def test_rows_are_clean_and_adversarial_at_one_scale_per_layer_and_run(
    arrays: dict[str, Any], dissected: ModuleType
) -> None:
    other = arrays | dissected.make_activations(arrays, 5, NAMES)
    runs = {"natural": ActivationRun(arrays, NAMES), "robust": ActivationRun(other, NAMES)}
    figure = activation_figure(runs, "pgd20", ["circle", "square", "triangle", "star", "ring"], layers=9)
    assert len(figure.subfigs) == 2  # nine layers, seven beside each other
    shown = []
    for block, layers in zip(figure.subfigs, (NAMES[:7], NAMES[7:]), strict=True):
        assert block.get_suptitle().startswith("image 3:  ")
        axes = np.array(block.axes).reshape(4, 8)
        assert [axis.get_ylabel() for axis in axes[:, 0]] == [
            "natural\nclean", "natural\nadversarial", "robust\nclean", "robust\nadversarial"
        ]  # fmt: skip
        for place, found in enumerate((arrays, other)):
            for column, layer in enumerate(layers, start=1):
                fields = [found[f"pgd20/activations/{kind}/{layer}"][0] for kind in ("clean", "adversarial")]
                pair = axes[2 * place : 2 * place + 2, column]
                for axis, field in zip(pair, fields, strict=True):
                    np.testing.assert_array_equal(pictures(axis), field)
                assert pair[0].images[0].get_clim() == pair[1].images[0].get_clim()
                assert pair[0].images[0].get_clim() == (
                    pytest.approx(min(field.min() for field in fields)),
                    pytest.approx(max(field.max() for field in fields)),
                )
                shown.append((place, layer))
        np.testing.assert_allclose(pictures(axes[3, 0]), arrays["pgd20/adversarials"][0].transpose(1, 2, 0))
    assert len(set(shown)) == 18


def test_runs_with_other_layers_have_blocks_of_their_own(arrays: dict[str, Any], dissected: ModuleType) -> None:
    plain = {name: array for name, array in arrays.items() if "activations" not in name}
    other = plain | dissected.make_activations(plain, 5, ("conv", "block"))
    runs = {"natural": ActivationRun(arrays), "other": ActivationRun(other, ("conv", "block"))}
    figure = activation_figure(runs, "pgd20", layers=7)
    assert [len(block.axes) for block in figure.subfigs] == [16, 16]
    assert figure.subfigs[1].axes[0].get_ylabel() == "other\nclean"
    assert [axis.get_title() for axis in figure.subfigs[1].axes[1:3]] == ["conv", "block"]


def test_long_names_of_runs_do_not_run_into_each_other(arrays: dict[str, Any]) -> None:
    runs = {f"cifar10_resnet20_{kind}_cpu": ActivationRun(arrays, NAMES) for kind in ("natural", "madry")}
    figure = activation_figure(runs, "pgd20")
    FigureCanvasAgg(figure).draw()
    labels = [axis.yaxis.label for axis in np.array(figure.subfigs[0].axes).reshape(4, 8)[:, 0]]
    assert labels[1].get_text() == "cifar10_\nresnet20_\nnatural_cpu\nadversarial"
    extents = [label.get_window_extent() for label in labels]
    assert all(below.y1 < above.y0 for above, below in pairwise(extents))
    assert all(extent.x0 >= 0 for extent in extents)


def test_the_difference_is_a_third_row(arrays: dict[str, Any]) -> None:
    figure = activation_figure({"run": ActivationRun(arrays)}, "pgd20", layers=2, difference=True)
    axes = np.array(figure.subfigs[0].axes).reshape(3, 8)
    clean, adversarial = (arrays[f"pgd20/activations/{kind}/layer2"][0] for kind in ("clean", "adversarial"))
    np.testing.assert_allclose(pictures(axes[2, 2]), np.abs(adversarial.astype(float) - clean))
    assert axes[2, 2].images[0].get_clim()[0] == 0
    assert axes[2, 0].get_ylabel() == "difference"


def test_only_images_that_are_the_same_in_every_run_are_shared(arrays: dict[str, Any]) -> None:
    shifted = arrays | {"pgd20/indices": np.array([6, 3, 12])}
    assert shared_indices([arrays, arrays], "pgd20") == [3, 6, 9]
    assert shared_indices([arrays, shifted], "pgd20") == []  # the numbers are there, with other pictures
    swapped = arrays | {
        "pgd20/indices": np.array([6, 3, 9]), "pgd20/images": arrays["pgd20/images"][[1, 0, 2]]
    }  # fmt: skip
    assert shared_indices([swapped, arrays], "pgd20") == [6, 3, 9]
    assert shared_indices([arrays, {}], "pgd20") == []
    with pytest.raises(ValueError, match="one, two kept no image of pgd20 in common"):
        activation_figure({"one": ActivationRun(arrays), "two": ActivationRun(shifted)}, "pgd20")


def test_a_run_without_activations_is_named(arrays: dict[str, Any]) -> None:
    plain = {name: array for name, array in arrays.items() if "activations" not in name}
    with pytest.raises(ValueError, match=r"two kept no activations of pgd20; add callbacks.ActivationMapsMonitor"):
        activation_figure({"one": ActivationRun(arrays), "two": ActivationRun(plain)}, "pgd20")

"""What dissect returns: a mapping of layers, tables of it, and memory that the number of images does not change."""

import gc
import math
import pickle
import sys
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from advscope.attacks import PGD
from advscope.batch import Batch
from advscope.frozen import MicroBatched
from advscope.measures import Dissection, DissectionSettings, dissect
from advscope.measures.dissection import dissect as dissect_module
from advscope.measures.dissection.dissected_layer import DissectedLayer
from advscope.measures.dissection.threshold_passes import ThresholdPasses
from advscope.tables import read_units
from advscope.tables.unit_rows import COLUMNS
from tests.measures.dissection.small import CONCEPTS, LAYERS, Small, annotated, attack, equal


@pytest.fixture(scope="module")
def found() -> Dissection:
    """Return a dissection of both layers under attack."""
    settings = DissectionSettings(quantile=0.2, draws=20)
    return dissect(Small().eval(), [annotated()], LAYERS, concepts=CONCEPTS, attack=attack(), settings=settings)


def test_it_is_a_mapping_of_the_layers_in_their_order(found: Dissection) -> None:
    assert isinstance(found, Mapping)
    assert list(found) == list(LAYERS)
    assert len(found) == 2
    assert [name for name, _ in found.items()] == list(LAYERS)
    assert all(isinstance(layer, DissectedLayer) for layer in found.values())
    assert "act1" in found
    assert "conv1" not in found
    assert found.get("conv1") is None
    with pytest.raises(KeyError, match="conv1"):
        found["conv1"]
    backwards = dissect(Small().eval(), [annotated()], LAYERS[::-1], concepts=CONCEPTS, quantile=0.2)
    assert list(backwards) == list(LAYERS[::-1])
    assert equal(found, pickle.loads(pickle.dumps(found)))


def test_what_holds_for_all_layers(found: Dissection) -> None:
    assert found.concepts == CONCEPTS
    assert found.mask_size == (4, 4)
    assert found.settings == DissectionSettings(quantile=0.2, draws=20)
    assert len(found.significance) == 2 * 2 * 6
    for layer in found.values():
        assert layer.figures["images_unlabelled"].value == found.unlabelled
        for name, figure in layer.figures.items():
            assert figure.n >= 0, name
            assert math.isnan(figure.low) == math.isnan(figure.high), name
            assert math.isnan(figure.low) or figure.low <= figure.value <= figure.high, name


def test_rows_say_what_the_tensors_say(found: Dissection) -> None:
    rows = found.rows()
    assert [(row["layer"], row["unit"]) for row in rows] == [("act1", unit) for unit in range(6)] + [
        ("act2", unit) for unit in range(8)
    ]
    for row in rows:
        layer, unit = found[row["layer"]], row["unit"]
        assert tuple(row) == COLUMNS
        assert row["threshold"] == float(layer.threshold[unit])
        assert row["detector"] == (row["iou"] > 0.04)
        column = CONCEPTS.index(layer.best[unit])
        assert int(layer.best_columns[unit]) == column
        assert row["iou"] == float(layer.iou[unit, column]) == float(layer.iou[unit].nan_to_num(-1).max())
        assert row["adversarial_iou"] == float(layer.adversarial_iou[unit, column])
        moved = layer.adversarial_iou[unit].nan_to_num(-1)
        assert row["adversarial_concept"] == CONCEPTS[int(moved.argmax())].name
        assert row["area"] == int(layer.areas[unit]) / (23 * 16)
        assert row["sensitivity_all"] == layer.sensitivity_all[unit].value


def test_frames_hold_rows_iou_and_significance(found: Dissection, tmp_path) -> None:
    frame = found.frame()
    assert list(frame.columns) == list(COLUMNS)
    assert frame.to_dict("records") == found.rows()
    assert found.frame("act2").to_dict("records") == found["act2"].rows("act2")
    iou = found.iou_frame("act1")
    assert iou.shape == (6, 6)
    assert iou.index.name == "unit"
    assert list(iou.columns.names) == ["category", "concept"]
    for place, concept in enumerate(CONCEPTS):
        values = iou[concept.category, concept.name].to_numpy()
        assert np.array_equal(values, found["act1"].iou[:, place].numpy(), equal_nan=True)
    assert iou["material", "never"].iloc[2:].eq(0).all()
    significance = found.significance_frame()
    assert len(significance) == len(found.significance)
    assert list(significance.columns) == list(found.significance[0])
    assert significance["layer"].tolist() == [row["layer"] for row in found.significance]
    found.save(tmp_path / "saved")
    saved = read_units(tmp_path / "saved" / "units.csv")
    assert frame["iou"].to_numpy() == pytest.approx(saved["iou"], rel=1e-8)
    for wrong in (found.frame, found.iou_frame):
        with pytest.raises(KeyError, match="conv9"):
            wrong("conv9")


def test_frames_without_pandas_say_how_to_install_it(found: Dissection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    for frame in (found.frame, lambda: found.iou_frame("act1"), found.significance_frame):
        with pytest.raises(
            ImportError, match=r"^data frames need pandas: install it with `pip install 'pandas>=2.2'`$"
        ):
            frame()
    assert found.rows()


@pytest.mark.parametrize(
    ("name", "value"), [("iou", "act1"), ("threshold", "act2"), ("top_images", "act1"), ("concept_areas", "act2")]
)
def test_tensors_are_plain_ones(found: Dissection, name: str, value: str) -> None:
    tensor: Tensor = getattr(found[value], name)
    assert not tensor.is_inference()
    assert not tensor.requires_grad


class Stream:
    """Images that are made anew in each pass, so that nobody holds them but who keeps them.

    At the end of each pass it notes how many bytes all tensors hold that are alive.
    """

    concepts = CONCEPTS

    def __init__(self, count: int, batch: int) -> None:
        self.count, self.batch = count, batch
        self.bytes: list[int] = []

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches."""
        for first in range(0, self.count, self.batch):
            generator = torch.Generator().manual_seed(first)
            images = torch.rand(self.batch, 3, 16, 16, generator=generator)
            concepts = torch.tensor([0, 3, 5])[torch.randint(3, (self.batch, 2, 4, 4), generator=generator)].short()
            yield Batch(images, torch.full((self.batch,), -1), torch.arange(first, first + self.batch), concepts)
        del images, concepts
        self.bytes.append(held())


def held() -> int:
    """Return how many bytes all tensors hold that are alive."""
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if type(thing) in (Tensor, torch.nn.Parameter)]
    return sum({each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}.values())


def test_memory_does_not_grow_with_the_number_of_images() -> None:
    network, settings = MicroBatched(Small().eval(), 20), DissectionSettings(draws=5, top_images=3)
    streams = []
    for count in (300, 900):  # more than the 256 whose annotations are kept for chance
        streams.append(Stream(count, 20))
        found = dissect(network, streams[-1], LAYERS, attack=PGD(0.1, 0.1, 1), settings=settings)
        assert found["act1"].figures["detectors_chance"].n == count
    further = 600 * 3 * 16 * 16 * 4
    few, many = (stream.bytes for stream in streams)
    assert len(few) == len(many) == 3
    for one, other in zip(few, many, strict=True):
        assert abs(other - one) < further / 20, (few, many)


def test_counts_of_the_first_passes_are_given_back_before_the_third(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    before = ThresholdPasses.result

    def result(self: ThresholdPasses) -> object:
        found = before(self)
        sizes.append(len(self.quantiles))
        return found

    monkeypatch.setattr(dissect_module.ThresholdPasses, "result", result)
    dissect(Small().eval(), [annotated()], LAYERS, concepts=CONCEPTS, quantile=0.2)
    assert sizes == [0]

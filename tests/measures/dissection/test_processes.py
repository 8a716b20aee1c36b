"""Two processes dissect as one does: every tensor, row and warning, whatever each of them is given."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing
from torch import distributed

from advscope.batch import Batch
from advscope.frozen import MicroBatched
from advscope.measures import Dissection, DissectionSettings, dissect
from tests.measures.dissection.small import CONCEPTS, LAYERS, annotated, attack, balanced, equal, split

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*bear no label")]

COUNT = 23


def carried() -> Batch:
    """Return images that carry adversarial ones, and of which some bear no label."""
    batch = annotated(COUNT)
    bare = torch.arange(COUNT) % 7 == 3
    batch.concepts[bare] = 0
    batch.image_concepts[bare] = 0
    noise = torch.rand(batch.images.shape, generator=torch.Generator().manual_seed(8))
    return batch._replace(adversarials=(batch.images + 0.8 * (noise - 0.5)).clamp(0, 1))


def of_attack() -> Batch:
    return carried()._replace(adversarials=None)


def wide(units: int = 24) -> torch.nn.Module:
    """Return a network with as many units as significance asks for."""
    torch.manual_seed(3)
    layers = (torch.nn.Conv2d(3, units, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(units, 4, 3, stride=2))
    return balanced(torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()))


# What is dissected, and how; by name.
CASES: dict[str, tuple[Any, Any, Any, dict[str, Any]]] = {
    "attack": (balanced, LAYERS, True, {}),
    "carried": (balanced, LAYERS, False, {}),
    "significance": (wide, None, True, {"draws": 300, "union": "category"}),
    "classes": (balanced, ["act2"], True, {"source": 3, "target": 0, "resolution": "input", "top_images": 0}),
    "no_chance": (balanced, ["act1"], False, {"chance": False, "strict": False, "align_corners": True}),
}


def dissected(case: str, batches: list[Batch]) -> Dissection:
    made, layers, attacks, settings = CASES[case]
    given = DissectionSettings(**({"quantile": 0.2, "draws": 20} | settings))
    network = MicroBatched(made(), 4)
    return dissect(network, batches, layers, concepts=CONCEPTS, attack=attack() if attacks else None, settings=given)


def shares(case: str) -> list[tuple[list[Batch], list[Batch]]]:
    """Return what each of two processes is given: uneven shares, and all of it to one."""
    batch = of_attack() if CASES[case][2] else carried()
    rows = torch.arange(COUNT)
    even, odd = rows[::2], rows[1::2]
    uneven = split(batch, [5, 5, len(even) - 10], even), split(batch, [8, len(odd) - 8], odd.flip(0))
    return [uneven, ([], split(batch, [20, 3])), (split(batch, [COUNT]), [])]


def refused() -> list[tuple[list[Batch], list[Batch]]]:
    """Return what two processes cannot be given together."""
    small = of_attack()
    cut = small._replace(concepts=small.concepts[..., :3])
    return [([small], [cut]), ([small], [carried()])]


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for case in CASES:
        for place, given in enumerate(shares(case)):
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                found = dissected(case, given[rank])
            torch.save((found, [str(one.message) for one in said]), f"{folder}/{case}.{place}.{rank}.pt")
    errors = []
    for given in refused():
        try:
            dissected("carried", given[rank])
        except ValueError as error:
            errors.append(str(error))
    torch.save(errors, f"{folder}/errors.{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of what two processes found."""
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(work, (str(folder),), nprocs=2)
    torch.set_num_threads(1)
    return folder


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("case", CASES)
def test_two_processes_give_the_bits_of_one(folder: Path, case: str, place: int) -> None:
    batch = of_attack() if CASES[case][2] else carried()
    alone = dissected(case, [batch])
    for rank in (0, 1):
        found, _ = torch.load(folder / f"{case}.{place}.{rank}.pt", weights_only=False)
        assert list(found) == list(alone)
        assert equal(alone, found)
        assert found.attacked == alone.attacked
        assert (found.mask_size, found.unlabelled) == (alone.mask_size, alone.unlabelled)
    layer = next(iter(alone.values()))
    assert layer.counts["attacked"] > 0
    if case == "significance":
        given = [
            row["p"] for row in alone.significance if (row["layer"], row["regular"]) == ("0", 0) and row["top"] < 24
        ]
        assert len(given) == 2
        assert all(0 < p <= 1 for p in given)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_images_without_a_label_are_counted_once_and_told_by_one_process(folder: Path, place: int) -> None:
    bare = int((~(carried().concepts.flatten(1).any(1) | carried().image_concepts.any(1))).sum())
    assert bare > 1
    told = [torch.load(folder / f"attack.{place}.{rank}.pt", weights_only=False)[1] for rank in (0, 1)]
    assert [one for one in told[0] if "no label" in one] == [
        f"{bare} of {COUNT} images bear no label: they count for thresholds and areas; leave them out of the data if "
        "they are not annotated"
    ]
    assert not any("no label" in one for one in told[1])


def test_shares_that_contradict_each_other_are_refused_by_both(folder: Path) -> None:
    for rank in (0, 1):
        sizes, some = torch.load(folder / f"errors.{rank}.pt")
        assert sizes == "annotations must be of one size, in all processes, got (4, 3) and (4, 4): scale them alike"
        assert some == "some batches carry adversarial images and others do not: give them in all, or in none"

"""Tests of the page's cards of units."""

import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from advscope.report import to_html
from advscope.report.page.pictures import Pictures
from advscope.report.page.unit_cards import outside_path, shown_units, unit_cards
from advscope.report.run_results import read_all
from advscope.report.unit_examples import UnitExamples, write_unit_examples


def filled(path: str, shape: tuple[int, int]) -> np.ndarray:
    """What a path covers, and how often."""
    covered = np.zeros(shape, dtype=int)
    for found in re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)h-(\d+)z", path):
        left, top, width, height, back = map(int, found)
        assert width == back
        covered[top : top + height, left : left + width] += 1
    return covered


@pytest.mark.parametrize("seed", range(5))
def test_a_path_covers_what_is_outside_once(seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = np.repeat(random.random((5, 7)) < (0.2 * seed), random.integers(1, 4, 5), axis=0)
    np.testing.assert_array_equal(filled(outside_path(mask), mask.shape), ~mask)


def test_units_with_a_role_come_first_and_all_keep_their_order() -> None:
    roles = ["detector"] * 5 + ["promoted"] * 3 + ["suppressed"]
    assert shown_units(roles) == [0, 1, 2, 5, 6, 8]
    assert shown_units(["detector", "promoted"]) == [0, 1]


def test_a_card_holds_pairs_units_and_masks(runs: tuple[Path, Path], dissected: ModuleType) -> None:
    found: UnitExamples = dissected.make_examples(pairs=3)
    write_unit_examples(runs[1] / "results/standard/unit_examples.npz", found)
    pictures = Pictures()
    (card,) = unit_cards(read_all(runs, "standard"), pictures)
    assert card["run"] == 1
    assert card["size"] == [32, 32]
    assert [pair["index"] for pair in card["pairs"]] == [3, 6]
    assert len(pictures.addresses) == 4
    places = shown_units(found.roles.tolist())
    for unit, place in zip(card["units"], places, strict=True):
        assert unit["name"] == f"{found.layers[place]} {found.units[place]}"
        assert unit["role"] == found.roles[place]
        for pair in range(2):
            for kind, masks in (("clean", found.masks), ("adversarial", found.adversarial_masks)):
                path, share = unit[kind][pair]
                np.testing.assert_array_equal(filled(path, (32, 32)), ~masks[pair, place])
                assert share == f"{100 * masks[pair, place].mean():.1f}%"


def test_cards_at_224_px_keep_the_page_small(runs: tuple[Path, Path], dissected: ModuleType) -> None:
    before = len(to_html(runs[:1]))
    write_unit_examples(runs[0] / "results/standard/unit_examples.npz", dissected.make_examples(size=224))
    # Two pairs of pictures of 224 px, of which noise is most, and the paths of twenty-four masks.
    assert len(to_html(runs[:1])) - before < 6e5


def test_a_damaged_file_is_named(runs: tuple[Path, Path]) -> None:
    (runs[0] / "results/standard/unit_examples.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"unit_examples\.npz cannot be read"):
        to_html(runs)

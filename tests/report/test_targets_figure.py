"""Tests of the figure of one picture against several targets."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from advscope.report.targets_figure import common_picture, targeted_attacks, targets_figure

ATTACKS = ("cw@ring", "cw@square", "ead@ring")


def make_arrays(results: ModuleType, attacks: tuple[str, ...] = ATTACKS) -> dict[str, Any]:
    """Arrays of which two attacks share image 12, and all of them image 9."""
    arrays: dict[str, Any] = results.make_arrays(seed=0, examples=3, attacks=attacks)
    for place, attack in enumerate(attacks):
        arrays[f"{attack}/indices"] = np.array([9, 12, 15] if place < 2 else [3, 4, 9])
        arrays[f"{attack}/targets"] = np.full(3, results.CLASSES.index(attack.split("@")[1]))
    return arrays


def test_the_picture_is_the_first_that_the_most_attacks_succeeded_on(results: ModuleType) -> None:
    arrays = make_arrays(results)
    assert common_picture(arrays, ATTACKS) == {"cw@ring": 0, "cw@square": 0, "ead@ring": 2}
    assert common_picture(arrays, ATTACKS[:2]) == {"cw@ring": 0, "cw@square": 0}
    arrays["ead@ring/indices"] = np.array([3, 12, 5])
    assert common_picture(arrays, ATTACKS) == {"cw@ring": 1, "cw@square": 1, "ead@ring": 1}
    assert common_picture({}, []) == {}


def test_an_attack_with_one_target_is_no_family() -> None:
    assert targeted_attacks(["@dog", "cw@", "pgd@a@b", "pgd@a@c"]) == {"pgd@a": ["pgd@a@b", "pgd@a@c"]}


def test_each_row_is_a_target(results: ModuleType) -> None:
    arrays = make_arrays(results, ("cw@ring", "cw@square", "cw@star"))

    figure = targets_figure(arrays, results.CLASSES)

    assert "image 9" in figure.get_suptitle()
    axes = np.array([axis for axis in figure.axes if axis.get_label() != "<colorbar>"]).reshape(4, 4)
    for row, attack, place in zip(axes[1:], ("cw@ring", "cw@square", "cw@star"), (0, 0, 2), strict=True):
        target = attack.split("@")[1]
        assert [axis.get_title() for axis in row] == [
            f"cw: {target}", "x' \N{MINUS SIGN} x, \N{PLUS-MINUS SIGN}8/255", f"F(x', {target})", "PSR over it"
        ]  # fmt: skip
        adversarial = arrays[f"{attack}/adversarials"][place]
        np.testing.assert_array_equal(row[0].images[0].get_array(), adversarial.transpose(1, 2, 0))
        for axis in row[2:]:
            found = arrays[f"{attack}/is/cam_adversarial_target"][place]
            np.testing.assert_array_equal(axis.images[0].get_array(), found)
        boxes = sum(len(drawn.get_paths()) for drawn in row[3].collections)
        assert boxes == arrays[f"{attack}/psr/significant"][place].sum()
    assert len({axis.images[0].get_clim() for axis in [axes[0, 2], *axes[1:, 2:].flat]}) == 1
    np.testing.assert_array_equal(axes[0, 2].images[0].get_array(), arrays["cw@ring/is/cam_clean_label"][0])
    assert any("promotion" in text.get_text() for text in figure.legends[0].texts)


def test_what_was_not_measured_is_left_out(results: ModuleType) -> None:
    arrays = {name: array for name, array in make_arrays(results).items() if "psr/" not in name and "/is/" not in name}
    figure = targets_figure(arrays)
    # Attacks that have one target alone are no family: cw's two rows, x, and no colour bar.
    assert len(figure.axes) == 12
    assert sum(len(axis.images) for axis in figure.axes) == 5
    assert not figure.legends


def test_more_rows_than_are_read_are_named(results: ModuleType) -> None:
    results_attacks = tuple(f"cw{number:02d}@{target}" for number in range(7) for target in ("ring", "star"))
    arrays = results.make_arrays(seed=0, examples=1, attacks=results_attacks)
    arrays = {name: array for name, array in arrays.items() if "psr/" not in name and "/is/" not in name}
    assert "against 12 targets (the first 12 of 14)" in targets_figure(arrays).get_suptitle()


def test_refuses_pictures_with_one_target_each(results: ModuleType) -> None:
    arrays = make_arrays(results) | {"cw@square/indices": np.array([1, 2, 4])}
    with pytest.raises(ValueError, match="no picture is an example of two attacks NAME@TARGET"):
        targets_figure(arrays)

"""Tests of image by image."""

import base64
import io
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from advscope.report import load_examples, save_examples
from advscope.report.page.image_panels import MAPS, examples_of, image_panels
from advscope.report.page.pictures import Pictures
from advscope.report.run_results import read_all


@pytest.fixture
def drawn(runs: tuple[Path, Path]) -> tuple[dict[str, Any], list[dict[str, Any]], Pictures, Any]:
    """Two runs of which the second has another image in place of the first's last."""
    path = runs[1] / "results" / "standard" / "arrays.npz"
    arrays = load_examples(path)
    arrays["pgd20/indices"] = np.array([3, 6, 12])
    arrays["pgd20/psr/ratio"][0, 0] = np.inf
    arrays["pgd20/psr/significant"][0, :] = np.arange(len(arrays["psr/cells"])) < 5
    # Twice the perturbation of the other run.
    arrays["pgd20/adversarials"] = arrays["pgd20/images"] + 2 * np.float32(8 / 255)
    save_examples(path, arrays)
    read = read_all(runs, "standard")
    examples, pictures = examples_of(read), Pictures()
    return image_panels(read, examples, "pgd20", pictures), examples, pictures, read


def pixels(pictures: Pictures, number: int) -> np.ndarray:
    body = pictures.addresses[number].partition(",")[2]
    return np.array(Image.open(io.BytesIO(base64.b64decode(body))))


def test_images_are_the_union_and_say_which_run_lacks_one(drawn: Any) -> None:
    found, *_ = drawn
    shown = {image["index"]: [fate["shown"] is not None for fate in image["runs"]] for image in found["images"]}
    assert shown == {3: [True, True], 6: [True, True], 9: [True, False], 12: [False, True]}


def test_values_are_those_of_the_rows(drawn: Any) -> None:
    found, _, _, read = drawn
    for image in found["images"]:
        for run, fate in zip(read, image["runs"], strict=True):
            columns = run.attacks["pgd20"]
            (place,) = np.flatnonzero(columns["index"] == image["index"])
            assert fate["prediction"] == columns["prediction"][place]
            assert fate["attacked"] == columns["attacked"][place]
            for name, value in zip(found["measures"], fate["values"], strict=True):
                expected = columns[name][place]
                assert value is None if np.isnan(expected) else value == pytest.approx(expected, abs=1e-6)
    main = dict(zip(found["measures"], found["main"], strict=True))
    assert main["psr/suppression_share"]
    assert main["bias/fc/relative"]
    assert not main["bias/fc/raw"]


def test_perturbations_of_the_runs_have_one_scale(drawn: Any) -> None:
    found, examples, pictures, _ = drawn
    image = found["images"][0]
    assert image["scale"] == pytest.approx(16 / 255, abs=1e-6)
    for arrays, fate in zip(examples, image["runs"], strict=True):
        change = arrays["pgd20/adversarials"][0] - arrays["pgd20/images"][0]
        expected = (0.5 + change / (2 * 16 / 255)).transpose(1, 2, 0) * 255
        assert np.abs(pixels(pictures, fate["shown"]["perturbation"]) - expected).max() < 0.51


def test_maps_come_back_at_their_common_scale(drawn: Any) -> None:
    found, examples, pictures, _ = drawn
    maps = found["images"][0]["runs"][0]["shown"]["maps"]
    expected = np.stack([examples[0][f"pgd20/is/{name}"][0] for name in MAPS])
    assert (maps["low"], maps["high"]) == pytest.approx((expected.min(), expected.max()), abs=1e-4)
    for number, field in zip(maps["pictures"], expected, strict=True):
        back = maps["low"] + pixels(pictures, number)[..., 0] / 255 * (maps["high"] - maps["low"])
        assert np.abs(back - field).max() < (maps["high"] - maps["low"]) / 500


def test_cells_are_the_significant_ones_with_their_class(drawn: Any) -> None:
    found, examples, *_ = drawn
    for run, fate in enumerate(found["images"][0]["runs"]):
        ratios, significant = (examples[run][f"pgd20/psr/{name}"][0] for name in ("ratio", "significant"))
        expected = {}
        for cell, ratio, counts in zip(examples[run]["psr/cells"].tolist(), ratios, significant, strict=True):
            if counts:
                expected[tuple(cell)] = 0 if ratio < -1 else 1 if ratio > 1 else 2
        assert {tuple(cell[:4]): cell[4] for cell in fate["shown"]["cells"]} == expected
    infinite = [cell for cell in found["images"][0]["runs"][1]["shown"]["cells"] if cell[:2] == [0, 0]]
    assert infinite[0][4:] == [1, "\N{INFINITY}"]


def test_a_run_without_the_attack_or_the_measures(results: ModuleType, tmp_path: Path) -> None:
    results.write_run(tmp_path / "one", "one", seed=1, attacks=("fgsm",))
    results.write_run(tmp_path / "two", "two", seed=2)
    path = tmp_path / "two" / "results" / "standard" / "arrays.npz"
    kept = ("images", "adversarials", "indices", "labels", "targets")
    arrays = {name: array for name, array in load_examples(path).items() if name.rsplit("/", 1)[-1] in kept}
    save_examples(path, arrays)
    read = read_all([tmp_path / "one", tmp_path / "two"], "standard")

    found = image_panels(read, examples_of(read), "pgd20", Pictures())

    assert [image["runs"][0] for image in found["images"]] == [None] * 3
    assert found["images"][0]["runs"][1]["shown"]["maps"] is None
    assert found["images"][0]["runs"][1]["shown"]["cells"] is None
    (tmp_path / "two" / "results" / "standard" / "arrays.npz").unlink()
    assert image_panels(read, examples_of(read), "pgd20", Pictures())["images"] == []

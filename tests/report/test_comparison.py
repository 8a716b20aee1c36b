"""Tests of the comparison of runs."""

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from advscope.report import compare, read_rows, read_summary, write_rows, write_summary
from advscope.report.comparison import Line, _place, is_main


def line(lines: tuple[Line, ...], key: str) -> Line:
    (found,) = (found for found in lines if found.key == key)
    return found


def looped(first: list[float], other: list[float]) -> tuple[float, float, float, int]:
    """Mean difference and its interval, number by number."""
    differences = [b - a for a, b in zip(first, other, strict=True)]
    n = len(differences)
    centre = sum(differences) / n
    variance = sum((difference - centre) ** 2 for difference in differences) / (n - 1)
    half = 1.959963984540054 * math.sqrt(variance / n)
    return centre, centre - half, centre + half, n


def write(folder: Path, name: str, rows: list[dict[str, Any]], results: ModuleType, sha256: str = "a" * 64) -> Path:
    write_summary(folder / "results/standard/summary.json", results.make_summary(name, rows, sha256))
    write_rows(folder / "results/standard/images.csv", rows)
    return folder


def image(index: int, adversarial_prediction: int, score: float | None, attack: str = "pgd") -> dict[str, Any]:
    attacked = adversarial_prediction != 0
    row = {"index": index, "attack": attack, "label": 0, "prediction": 0, "target": adversarial_prediction}
    row |= {"adversarial_prediction": adversarial_prediction, "eligible": True, "attacked": attacked}
    return row | {"is/score": score}


def small_run(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    summary = {"name": "standard", "run": {"name": name}, "settings": {}, "versions": {}, "passes": {}, "counts": {}}
    data = {"name": "ConceptShapes", "split": "test", "n": len(rows), "sha256": "a"}
    write_summary(folder / "results/standard/summary.json", summary | {"data": data, "figures": {}})
    write_rows(folder / "results/standard/images.csv", rows)
    return folder


def test_by_hand(tmp_path: Path) -> None:
    # Image 1 is attacked in the first run alone, 2 and 4 in both, 3 in the second alone: scores pair for 2 and 4.
    one = small_run(tmp_path / "a", "a", [image(1, 1, 0.9), image(2, 1, 0.5), image(3, 0, None), image(4, 1, 0.25)])
    two = small_run(tmp_path / "b", "b", [image(1, 0, None), image(2, 1, 0.75), image(3, 2, 0.1), image(4, 2, 1.0)])

    lines = compare([one, two]).lines

    # Differences 0.25 and 0.75: mean 0.5, s = sqrt(2 * 0.25^2 / 1) = 0.35355, half = 1.96 s / sqrt(2) = 0.49.
    (score,) = line(lines, "test/pgd/is/score").differences
    assert score is not None
    assert score[:4] == pytest.approx((0.5, 0.01, 0.99, 2), abs=2e-5)
    # Correctness (0, 0, 1, 0) and (1, 0, 0, 0): differences 1, 0, -1, 0; s^2 = 2/3;
    # half = 1.96 sqrt(2/3 / 4) = 0.80017 (0.80016 with 1.959964).
    (robust,) = line(lines, "test/pgd/robust_accuracy").differences
    assert robust is not None
    assert robust[:4] == pytest.approx((0.0, -0.80017, 0.80017, 4), abs=2e-5)


def test_every_difference_equals_a_plain_loop(runs: tuple[Path, Path], results: ModuleType) -> None:
    comparison = compare(runs)

    first, other = (
        {(row["attack"], row["index"]): row for row in read_rows(run / "results/standard/images.csv")} for run in runs
    )
    for attack in results.ATTACKS:
        pairs = [(row, other[key]) for key, row in first.items() if key[0] == attack]
        robust = looped(
            *(
                [float(row["adversarial_prediction"] == row["label"]) for row in rows]
                for rows in zip(*pairs, strict=True)
            )
        )
        assert line(comparison.lines, f"test/{attack}/robust_accuracy").differences[0][:4] == pytest.approx(
            robust, rel=1e-4
        )
        for measure in results.MEASURES:
            both = [
                (a[measure], b[measure])
                for a, b in pairs
                if a["attacked"] and b["attacked"] and a[measure] == a[measure] and b[measure] == b[measure]
            ]
            expected = looped(*map(list, zip(*both, strict=True)))
            (found,) = line(comparison.lines, f"test/{attack}/{measure}").differences
            assert found[:4] == pytest.approx(expected, rel=1e-4, abs=1e-7)
    # An image withstands all attacks together if it withstands each.
    indices = [index for attack, index in first if attack == "fgsm"]
    withstood = []
    for run in (first, other):
        fates = [[run[attack, index] for attack in results.ATTACKS] for index in indices]
        withstood.append([float(all(row["adversarial_prediction"] == row["label"] for row in rows)) for rows in fates])
    (found,) = line(comparison.lines, "test/all/robust_accuracy").differences
    assert found[:4] == pytest.approx(looped(*withstood), rel=1e-4)


def test_differences_of_accuracies_are_those_of_the_runs_own_figures(runs: tuple[Path, Path]) -> None:
    # The same images in both runs: then the mean of differences is the difference of means.
    for found in compare(runs).lines[:4]:
        one, other = found.figures
        assert found.key.endswith("accuracy")
        assert found.differences[0].value == pytest.approx(other.value - one.value, abs=1e-9)


def test_own_figures_are_those_of_the_summaries(runs: tuple[Path, Path]) -> None:
    comparison = compare(runs)
    for place, run in enumerate(runs):
        for key, fields in read_summary(run / "results/standard/summary.json")["figures"].items():
            assert line(comparison.lines, key).figures[place]._asdict() == pytest.approx(fields, nan_ok=True)


def test_exchanging_the_runs_changes_the_sign(runs: tuple[Path, Path]) -> None:
    there, back = compare(runs), compare(runs[::-1])
    for one, other in zip(there.lines, back.lines, strict=True):
        assert one.key == other.key
        assert one.differences[0].value == pytest.approx(-other.differences[0].value, abs=1e-12)
        assert one.differences[0].low == pytest.approx(-other.differences[0].high, abs=1e-12)


def test_order_is_accuracies_then_measures_with_layers_from_input_to_output(runs: tuple[Path, Path]) -> None:
    keys = [found.key.removeprefix("test/") for found in compare(runs).lines if found.main]
    relative = [f"bias/{layer}/relative" for layer in ("stem", "layer2", "layer10", "fc")]
    measures = [["psr/suppression_share"], ["is/score_clean", "is/chance_clean"], relative]
    assert keys == [
        "clean/accuracy", "fgsm/robust_accuracy", "pgd20/robust_accuracy", "all/robust_accuracy",
        *(f"{attack}/{name}" for names in measures for attack in ("fgsm", "pgd20") for name in names),
    ]  # fmt: skip
    assert any(key.key == "test/fgsm/bias/stem/raw" and not key.main for key in compare(runs).lines)


def test_accuracies_of_masked_networks_stand_behind_the_dissection_and_not_in_the_short_table() -> None:
    masked = [f"test/pgd/masking/conv1/random/{n}/robust_accuracy" for n in (0, 8, 16)]
    expected = [
        "test/pgd/robust_accuracy",
        "test/pgd/dissection/conv1/detectors",
        *masked,
        "test/pgd/cost/forward_passes",
    ]
    assert sorted(set(expected), key=lambda key: _place(key, [])) == expected
    assert [is_main(key) for key in expected] == [True, True, False, False, False, False]


def test_a_third_run_narrows_the_images_to_those_attacked_in_all(
    runs: tuple[Path, Path], results: ModuleType, tmp_path: Path
) -> None:
    third = results.write_run(tmp_path / "third", "third", seed=5, strength=0.3)

    two, three = compare(runs), compare([*runs, third])

    key = "test/fgsm/psr/suppression_share"
    assert len(line(three.lines, key).differences) == 2
    rows = [read_rows(run / "results/standard/images.csv") for run in (*runs, third)]
    sets = [{row["index"] for row in each if row["attacked"] and row["attack"] == "fgsm"} for each in rows]
    assert line(two.lines, key).differences[0].n == len(sets[0] & sets[1])
    assert [found.n for found in line(three.lines, key).differences] == [len(set.intersection(*sets))] * 2
    assert len(set.intersection(*sets)) < len(sets[0] & sets[1])


def test_one_run_alone_has_no_differences(runs: tuple[Path, Path]) -> None:
    comparison = compare(runs[:1])
    assert comparison.runs == ("demo-natural",)
    assert all(found.differences == () for found in comparison.lines)


def test_attacks_that_not_every_run_has_are_noted(results: ModuleType, tmp_path: Path) -> None:
    one = results.write_run(tmp_path / "a", "a", seed=1)
    two = results.write_run(tmp_path / "b", "b", seed=2, attacks=("pgd20",))

    comparison = compare([one, two])

    assert "fgsm was not run on b" in comparison.notes
    assert line(comparison.lines, "test/fgsm/robust_accuracy").differences == (None,)
    assert line(comparison.lines, "test/pgd20/robust_accuracy").differences[0].n == 60
    # To withstand two attacks and to withstand one of them are different things.
    assert line(comparison.lines, "test/all/robust_accuracy").differences == (None,)


def test_other_settings_of_an_attack_are_noted(runs: tuple[Path, Path]) -> None:
    path = runs[1] / "results/standard/summary.json"
    summary = read_summary(path)
    summary["settings"]["model"]["init_args"]["attacks"]["pgd20"]["eps"] = 4 / 255
    write_summary(path, summary)

    notes = compare(runs).notes

    assert any(note.startswith("pgd20 has other settings") for note in notes)
    assert not any(note.startswith("fgsm has other settings") for note in notes)


def test_other_settings_of_a_monitor_and_the_images_of_a_dissection_are_noted(runs: tuple[Path, Path]) -> None:
    for run, quantile, attacked in ((runs[0], 0.05, 30), (runs[1], 0.005, 4)):
        path = run / "results/standard/summary.json"
        summary = read_summary(path)
        summary["settings"]["trainer"] = {
            "callbacks": [
                {"class_path": "callbacks.DissectionMonitor", "init_args": {"quantile": quantile}},
                {
                    "class_path": "callbacks.ActivationBiasMonitor",
                    "init_args": {"layers": None, "chunk_size": attacked},
                },
                {"class_path": "callbacks.InterpretabilityMonitor"},
            ]
        }
        summary["counts"]["pgd/dissection"] = {"attacked": attacked, "failed": 40 - attacked, "ineligible": 0}
        write_summary(path, summary)

    notes = compare(runs).notes

    other = [note for note in notes if "Monitor" in note]
    assert other == ["DissectionMonitor has other settings in some runs: its figures may differ for that reason too"]
    (images,) = (note for note in notes if note.startswith("pgd/dissection"))
    assert images.endswith("attacked: demo-natural 30 of 40, demo-madry 4 of 40")


def test_is_undefined_where_no_image_is_attacked_in_both(tmp_path: Path) -> None:
    one = small_run(tmp_path / "a", "a", [image(1, 1, 0.9), image(2, 0, None)])
    two = small_run(tmp_path / "b", "b", [image(1, 0, None), image(2, 1, 0.2)])

    comparison = compare([one, two])

    (score,) = line(comparison.lines, "test/pgd/is/score").differences
    assert score is not None
    assert math.isnan(score.value)
    assert score.n == 0
    assert "pgd: 0 images are attacked in every run" in comparison.notes


def test_refuses_other_data(results: ModuleType, tmp_path: Path) -> None:
    one = write(tmp_path / "a", "a", results.make_rows(1), results)
    two = write(tmp_path / "b", "b", results.make_rows(2), results, sha256="b" * 64)
    with pytest.raises(ValueError, match=r"checksum aaaaaaaaaaaa\), .*checksum bbbbbbbbbbbb\).*on the same data"):
        compare([one, two])


def test_refuses_runs_without_a_common_image(tmp_path: Path) -> None:
    one = small_run(tmp_path / "a", "a", [image(1, 1, 0.9)])
    two = small_run(tmp_path / "b", "b", [image(2, 1, 0.9)])
    with pytest.raises(ValueError, match=r"have no image in common in images.csv; evaluate them on the same images"):
        compare([one, two])


def test_refuses_a_run_without_results_and_names_those_that_it_has(runs: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"holds no summary.json; make it with `python evaluate.py --run .*nowhere`"
    ):
        compare([runs[0], tmp_path / "nowhere"])
    with pytest.raises(FileNotFoundError, match="it has standard"):
        compare(runs, "strong")


def test_refuses_none_and_one_twice(runs: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="at least one run"):
        compare([])
    with pytest.raises(ValueError, match="a run is given twice"):
        compare([runs[0], runs[0].parent / "madry" / ".." / "natural"])


def test_runs_of_one_name_are_told_apart_by_their_folders(results: ModuleType, tmp_path: Path) -> None:
    folders = [results.write_run(tmp_path / name, "demo", seed=seed) for seed, name in enumerate("ab")]
    assert compare(folders).runs == tuple(f"demo ({folder})" for folder in folders)


def test_gives_the_same_comparison_every_time(runs: tuple[Path, Path]) -> None:
    one, other = compare(runs), compare(runs)
    np.testing.assert_equal([found.differences for found in one.lines], [found.differences for found in other.lines])


def test_an_image_without_a_class_counts_for_no_accuracy(tmp_path, results):
    folders = []
    for name, seed in (("one", 1), ("two", 2)):
        rows = [row | ({"label": -1} if row["index"] == 6 else {}) for row in results.make_rows(seed, n=20)]
        folders.append(write(tmp_path / name, name, rows, results))
    lines = compare(folders).lines
    for key in ("test/clean/accuracy", "test/pgd20/robust_accuracy", "test/all/robust_accuracy"):
        assert line(lines, key).differences[0].n == 19


def test_other_images_are_said(tmp_path, results):
    rows = results.make_rows(1, n=20)
    part = [row for row in rows if row["index"] <= 30]
    folders = [write(tmp_path / "all", "all", rows, results), write(tmp_path / "part", "part", part, results)]
    assert any("were evaluated on different images" in note for note in compare(folders).notes)
    same = write(tmp_path / "same", "same", rows, results)
    assert not any("different images" in note for note in compare([folders[0], same]).notes)

"""Tests of NetDissect's own table format."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from advscope.tables.netdissect_table import read_netdissect_table, write_netdissect_table

GOLDEN = "data/broden/netdissect_results/caffe_reference_imagenet.csv"
ORDER = ("object", "color", "material", "scene", "texture", "part")


def counts_of(columns: dict[str, NDArray[Any]], order: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the counts that a table holds: those of each unit's best concept of each category, 0 elsewhere."""
    units = len(columns["unit"])
    keys = sorted({(category, label) for category in order for label in columns[f"{category}-label"].tolist()})
    met, sizes = np.zeros((units, len(keys)), np.int64), np.zeros(len(keys), np.int64)
    active = np.zeros((units, len(order)), np.int64)
    for row, unit in enumerate(columns["unit"].tolist()):
        for number, category in enumerate(order):
            concept = keys.index((category, columns[f"{category}-label"][row]))
            met[unit - 1, concept] = columns[f"{category}-intersect"][row]
            active[unit - 1, number] = columns[f"{category}-activation"][row]
            sizes[concept] = columns[f"{category}-truth"][row]
    return met, active, sizes, [label for _, label in keys], [category for category, _ in keys], order


def test_netdissects_own_file_comes_out_byte_by_byte(shared: Path, tmp_path: Path) -> None:
    columns = read_netdissect_table(shared / GOLDEN)
    assert len(columns["unit"]) == 256
    assert (columns["score"] > 0.04).sum() == 97
    assert len(set(columns["label"][columns["score"] > 0.04])) == 50
    write_netdissect_table(tmp_path / "conv5-result.csv", *counts_of(columns, ORDER))
    assert (tmp_path / "conv5-result.csv").read_bytes() == (shared / GOLDEN).read_bytes()


def example() -> tuple[Any, ...]:
    met = np.array([[10, 0, 4, 1], [0, 0, 0, 0], [3, 30, 6, 60]])
    active = np.array([[12, 20], [0, 0], [60, 50]])
    sizes = np.array([30, 40, 8, 60])
    return (
        met,
        active,
        sizes,
        ["sky", "a, b", "red-c", "all-c"],
        ["object", "object", "color", "color"],
        ("color", "object"),
    )


def test_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "layer-result.csv"
    write_netdissect_table(path, *example())
    assert path.read_bytes().decode() == (
        "unit,category,label,score,color-label,color-truth,color-activation,color-intersect,color-iou,"
        "object-label,object-truth,object-activation,object-intersect,object-iou\r\n"
        '3,color,all-c,1.0,all-c,60,60.0,60,1.0,"a, b",40,50.0,30,0.5\r\n'
        "1,color,red-c,0.25,red-c,8,12.0,4,0.25,sky,30,20.0,10,0.25\r\n"
        "2,color,red-c,0.0,red-c,8,0.0,0,0.0,sky,30,0.0,0,0.0\r\n"
    )


def test_equals_a_plain_loop_and_comes_back(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    order = ("scene", "object", "color")
    categories = [order[number] for number in random.integers(0, 3, 17)] + list(order)
    names = [f"name {number}" for number in range(20)]
    sizes, active = random.integers(100, 10**9, 20), random.integers(100, 10**9, (12, 3))
    own = np.array([order.index(category) for category in categories])
    met = (np.minimum(sizes, active[:, own]) * random.random((12, 20))).astype(np.int64)
    path = tmp_path / "layer-result.csv"
    write_netdissect_table(path, met, active, sizes, names, categories, order)
    rows = list(csv.DictReader(path.open(newline="")))
    assert sorted(int(row["unit"]) for row in rows) == list(range(1, 13))
    assert [float(row["score"]) for row in rows] == sorted((float(row["score"]) for row in rows), reverse=True)
    for row in rows:
        unit, found = int(row["unit"]) - 1, {}
        for concept, name in enumerate(names):
            shared = int(met[unit, concept])
            value = shared / (int(active[unit, own[concept]]) + int(sizes[concept]) - shared)
            found[value] = (name, categories[concept])
        assert (row["label"], row["category"]) == found[float(row["score"])] == found[max(found)]
        for category in order:
            best = max(value for value, (_, its) in found.items() if its == category)
            assert (float(row[f"{category}-iou"]), row[f"{category}-label"]) == (best, found[best][0])
    # What is written is all that a second table needs.
    write_netdissect_table(tmp_path / "again.csv", *counts_of(read_netdissect_table(path), order))
    assert (tmp_path / "again.csv").read_bytes() == path.read_bytes()


def test_columns_are_found_by_name_and_typed(tmp_path: Path) -> None:
    path = tmp_path / "layer-result.csv"
    write_netdissect_table(path, *example())
    found = read_netdissect_table(path)
    assert found["unit"].tolist() == [3, 1, 2]
    assert found["object-activation"].dtype == np.int64
    assert found["score"].tolist() == [1.0, 0.25, 0.0]
    rows = list(csv.reader(path.open(newline="")))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(row[::-1] for row in rows)
    assert all(np.array_equal(found[name], column) for name, column in read_netdissect_table(path).items())


def test_no_units_come_back_as_no_units(tmp_path: Path) -> None:
    _, _, *rest = example()
    write_netdissect_table(tmp_path / "none.csv", np.zeros((0, 4), int), np.zeros((0, 2), int), *rest)
    assert len(read_netdissect_table(tmp_path / "none.csv")["unit"]) == 0


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, np.zeros((3, 5), int), r"for 4 names, intersections must be \(K, 4\), .* got \(3, 5\)"),
        (1, np.zeros((2, 2), int), r"category_areas must be \(3, 2\), got \(2, 2\)"),
        (2, np.zeros(4), "counts must be integers, got int64, int64 and float64"),
        (0, np.full((3, 4), 70), "share more pixels than either has"),
        (4, ["object"] * 4, r"order must hold each category of the concepts once \(object\), got color, object"),
        (5, ("object", "part"), r"order must hold each category of the concepts once \(color, object\)"),
    ],
)
def test_refuses_and_writes_nothing(place: int, value: Any, message: str, tmp_path: Path) -> None:
    arguments = list(example())
    arguments[place] = value
    with pytest.raises(ValueError, match=message) as caught:
        write_netdissect_table(tmp_path / "layer-result.csv", *arguments)
    assert "layer-result.csv" in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"color-truth", b"color-size", "has no column color-truth"),
        (b"-iou", b"-IoU", "has no column CATEGORY-iou"),
        (b"score", b"points", "has no column score"),
        (b"50.0", b"50.5", "line 2, column object-activation: must be a count, got '50.5'"),
        (b"0.25,sky", b"much,sky", "line 3, column color-iou: must be a number, got 'much'"),
        (b"all-c,1.0", b"all-c,1.5", r"line 2, column score: must be in \[0, 1\], got '1.5'"),
    ],
)
def test_refuses_damaged_files(old: bytes, new: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "layer-result.csv"
    write_netdissect_table(path, *example())
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(ValueError, match=message) as caught:
        read_netdissect_table(path)
    assert str(path) in str(caught.value)
    assert "LAYER-result.csv" in str(caught.value)


def test_a_missing_file_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.csv does not exist; give a LAYER-result\.csv"):
        read_netdissect_table(tmp_path / "none.csv")

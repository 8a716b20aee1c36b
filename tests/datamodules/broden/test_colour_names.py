"""The table of colour names: CIE L*C*h against published values, names that nobody doubts, and foreign tables."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.broden.colour_names import (
    COLOURS,
    agreement,
    at_mask_size,
    colour_places,
    colour_table,
    lightness_chroma_hue,
    read_colour_table,
)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        # Published values of sRGB's corners under D65.
        ((1, 1, 1), (100, 0, None)),
        ((0, 0, 0), (0, 0, None)),
        ((1, 0, 0), (53.24, 104.55, 40.00)),
        ((0, 1, 0), (87.73, 119.78, 136.01)),
        ((0, 0, 1), (32.30, 133.81, 306.28)),
        ((1, 1, 0), (97.14, 96.91, 102.85)),
        ((0, 1, 1), (91.11, 50.12, 196.38)),
        ((1, 0, 1), (60.32, 115.55, 328.23)),
        ((0.02, 0.02, 0.02), (1.3983, 0, None)),  # on the linear part of both curves: 0.02 / 12.92 x 24389 / 27
    ],
)
def test_lightness_chroma_and_hue_are_the_published_ones(
    rgb: tuple[float, ...], expected: tuple[float, float, float | None]
) -> None:
    lightness, chroma, hue = (float(value) for value in lightness_chroma_hue(np.array(rgb)))
    assert lightness == pytest.approx(expected[0], abs=0.02)
    assert chroma == pytest.approx(expected[1], abs=0.02)
    if expected[2] is not None:
        assert hue == pytest.approx(expected[2], abs=0.02)


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("black", "000000 101014"),
        ("blue", "0000ff 4169e1 000080 87ceeb"),
        ("brown", "8b4513 a0522d 654321 d2b48c"),
        ("grey", "808080 696969 a0a0a0"),
        ("green", "008000 00ff00 228b22 006400"),
        ("orange", "ffa500 ff8c00 ff4500"),
        ("pink", "ffc0cb ff69b4 fa8072"),
        ("purple", "800080 4b0082 8a2be2"),
        ("red", "ff0000 dc143c 8b0000 b22222"),
        ("white", "ffffff f5f5dc fffff0 e6e6fa"),
        ("yellow", "ffff00 ffd700 f0e68c"),
    ],
)
def test_colours_have_the_names_that_they_are_known_by(name: str, codes: str) -> None:
    pixels = np.array([[bytearray.fromhex(code) for code in codes.split()]], np.uint8)
    assert [COLOURS[place] for place in colour_places(pixels, colour_table())[0]] == [name] * pixels.shape[1]


def test_every_cell_has_a_name_and_greys_have_but_three() -> None:
    table = colour_table()
    assert (table.shape, table.dtype) == ((32, 32, 32), np.uint8)
    assert set(np.unique(table).tolist()) == set(range(11))
    greys = [COLOURS[table[level, level, level]] for level in range(32)]
    assert sorted(set(greys), key=greys.index) == ["black", "grey", "white"]
    assert greys == sorted(greys, key=["black", "grey", "white"].index)
    with pytest.raises(ValueError, match="read-only"):
        table[0, 0, 0] = 1


def test_pixels_are_looked_up_one_by_one() -> None:
    generator = np.random.default_rng(3)
    table = generator.integers(0, 11, (32, 32, 32), dtype=np.uint8)
    pixels = generator.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    expected = [[table[r // 8, g // 8, b // 8] for r, g, b in row.tolist()] for row in pixels]
    assert np.array_equal(colour_places(pixels, table), expected)


def test_pixels_at_half_size_are_means_of_four() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    expected = pixels.reshape(4, 2, 6, 2, 3).astype(float).mean((1, 3))
    assert np.abs(at_mask_size(Image.fromarray(pixels), 4, 6) - expected).max() <= 1  # rounded once along each side


def test_tables_of_three_forms_say_the_same(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    table = generator.integers(0, 11, (32, 32, 32), dtype=np.uint8)
    # van de Weijer's order: red runs fastest.
    flat = np.array([table[n % 32, n // 32 % 32, n // 1024] for n in range(32**3)], np.int64)
    scores = generator.random((32**3, 11))
    scores[np.arange(32**3), flat] += 1
    for number, content in enumerate((table, flat, scores, scores.astype(np.float32))):
        path = tmp_path / f"{number}.npy"
        np.save(path, content)
        assert np.array_equal(read_colour_table(path), table)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((32, 32)), "must hold places (32, 32, 32) or (32768,), or scores (32768, 11), got (32, 32): replace"),
        (np.full((32, 32, 32), 11), "places from 0 to 10, got int64 11 ... 11"),
        (np.full(32768, -1), "places from 0 to 10, got int64 -1 ... -1"),
        (np.zeros((32, 32, 32)), "places from 0 to 10, got float64"),
        (np.full((32768, 11), np.nan), "that are finite numbers"),
        (np.full((32768, 11), "a"), "that are finite numbers"),
        (b"no array", "is no readable .npy file"),
        (None, "is missing: name a colour table"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, content: np.ndarray | bytes | None, message: str) -> None:
    path = tmp_path / "table.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(message)) as raised:
        read_colour_table(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_agreement_counts_cells_and_pixels(tmp_path: Path) -> None:
    ours = colour_table()
    other = ours.copy()
    other[31] = (other[31] + 1) % 11
    assert agreement(ours, None).value == 1
    assert agreement(other, None)[::3] == (31 / 32, 32**3)
    # One image of which a quarter is as red as can be, one of which nothing is.
    pixels = np.zeros((8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "0.png")
    pixels[:4, :4] = 255
    Image.fromarray(pixels).save(tmp_path / "1.png")
    found = agreement(other, [tmp_path / "0.png", tmp_path / "1.png"])
    assert (found.value, found.n) == (0.875, 2)
    assert found.high - found.value == pytest.approx(1.96 * np.std([1, 0.75], ddof=1) / 2**0.5, rel=1e-4)


def test_netdissects_table_agrees_as_far_as_the_documentation_says(shared: Path) -> None:
    folder = shared / "data" / "broden"
    if not (folder / "w2color.npy").exists():
        pytest.skip("needs shared/data/broden/w2color.npy, NetDissect's table")
    table = read_colour_table(folder / "w2color.npy")
    cells = agreement(table, None)
    pixels = agreement(table, sorted((folder / "broden_mini_224" / "images").rglob("*.jpg")))
    stated = (Path(__file__).parents[3] / "docs" / "broden.md").read_text()
    assert pixels.n == 96
    assert f"{cells.value:.1%} of the 32,768 cells" in stated
    assert f"{pixels.value:.1%} [{pixels.low:.1%}, {pixels.high:.1%}] of the pixels" in stated

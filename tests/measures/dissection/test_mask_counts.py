"""Counts of masks' pixels: those of the whole masks, whatever the tiles and the images that are counted together."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from advscope.measures import mask_counter, unit_masks
from advscope.measures.dissection import compiled, mask_counters, tiled_mask_counter
from advscope.measures.dissection.compiled_mask_counter import CompiledMaskCounter
from advscope.measures.dissection.tiled_mask_counter import TiledMaskCounter


def given(units: int, source: tuple[int, int], images: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Return clean and moved maps, and thresholds that a tenth of the clean values exceed."""
    generator = torch.Generator().manual_seed(units)
    clean = avg_pool2d(torch.randn(images, units, *source, generator=generator), 3, 1, 1).relu()
    moved = (clean + 0.1 * torch.randn(clean.shape, generator=generator)).relu()
    thresholds = clean.transpose(0, 1).flatten(1).quantile(0.9, 1)
    thresholds[0], thresholds[1] = 0, clean[:, 1].max()  # active wherever it is not 0; never above
    return clean, moved, thresholds


def sets(size: tuple[int, int], images: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(9)
    return [(torch.rand(number, *size, generator=generator) < 0.2).float() for number in range(images)]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(
    ("source", "size"),
    [
        ((7, 7), (56, 56)),
        ((5, 9), (33, 20)),
        ((16, 16), (16, 16)),
        ((12, 12), (5, 8)),
        ((1, 1), (9, 9)),
        ((9, 9), (70, 130)),
    ],
)
def test_counts_are_those_of_whole_masks(source, size, align_corners: bool, strict: bool, monkeypatch) -> None:
    clean, moved, thresholds = given(11, source)
    chosen = sets(size)
    whole = [unit_masks(maps, thresholds, size, strict, align_corners).flatten(2) for maps in (clean, moved)]
    flips = (whole[0] ^ whole[1]).sum(2)
    monkeypatch.setattr(tiled_mask_counter, "_SMALLEST", 8)
    counters = [CompiledMaskCounter(source, size, strict, align_corners)]
    for tile, at_once in ((1 << 26, 1 << 30), (11 * 64, 1), (11 * 100, 11 * 300)):
        monkeypatch.setattr(tiled_mask_counter, "_TILE", {"cpu": tile})
        monkeypatch.setattr(tiled_mask_counter, "_AT_ONCE", {"cpu": at_once})
        counters.append(TiledMaskCounter(11, source, size, strict, align_corners))
    for counter in counters:
        for pair, of_pair in (([clean, moved], True), ([moved], False)):
            found = list(counter.count(pair, thresholds, chosen))
            assert len(found) == 5
            for image, counts in enumerate(found):
                for masks, each in zip(whole if of_pair else whole[1:], counts.masks, strict=True):
                    assert torch.equal(each.areas, masks[image].sum(1))
                    assert torch.equal(each.met, (masks[image].float() @ chosen[image].flatten(1).T).long())
                assert (counts.flips is not None) == of_pair
                assert counts.flips is None or torch.equal(counts.flips, flips[image])


def test_tiles_cover_the_masks_once(monkeypatch) -> None:
    monkeypatch.setattr(tiled_mask_counter, "_TILE", {"cpu": 100})
    monkeypatch.setattr(tiled_mask_counter, "_SMALLEST", 8)
    counter = TiledMaskCounter(1, (4, 6), (27, 31))
    covered = torch.zeros(27, 31)
    for line in counter.tiles:
        for tile in line:
            covered[tile.pixels] += 1
    assert len(counter.tiles) > 1
    assert (covered == 1).all()


def test_autocast_rounds_no_count() -> None:
    maps = torch.ones(1, 1, 32, 32)
    maps[0, 0, 0, 0] = 0
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = TiledMaskCounter(1, (32, 32), (32, 32)).count([maps], torch.tensor([0.5]), [torch.ones(1, 32, 32)])
    assert int(found.masks[0].met) == int(found.masks[0].areas) == 1023


def test_more_pixels_than_float32_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="must have fewer than 16777216 pixels, got 4096 x 4096: scale them down"):
        TiledMaskCounter(1, (4, 4), (4096, 4096))


def test_threads_change_no_count() -> None:
    clean, moved, thresholds = given(11, (7, 7))
    counter = CompiledMaskCounter((7, 7), (56, 56))
    wanted = list(counter.count([clean, moved], thresholds, sets((56, 56))))
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found = list(counter.count([clean, moved], thresholds, sets((56, 56))))
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(wanted, found, strict=True):
        assert torch.equal(one.flips, other.flips)
        assert all(torch.equal(a, b) for a, b in zip(sum(one.masks, ()), sum(other.masks, ()), strict=True))


def test_compiled_loops_count_where_they_can(monkeypatch) -> None:
    assert isinstance(mask_counter(4, (7, 7), (56, 56)), CompiledMaskCounter)
    monkeypatch.setattr(mask_counters, "AVAILABLE", False)
    assert isinstance(mask_counter(4, (7, 7), (56, 56)), TiledMaskCounter)


def test_sets_are_packed_bit_by_bit() -> None:
    (chosen,) = sets((5, 70), 2)[1:]
    bits = compiled.packed(chosen.numpy())
    assert bits.shape == (5 * 2, 1)
    for row in range(5):
        for column in range(128):
            bit = int(bits[2 * row + column // 64, 0]) >> (column % 64) & 1
            assert bit == (int(chosen[0, row, column]) if column < 70 else 0)

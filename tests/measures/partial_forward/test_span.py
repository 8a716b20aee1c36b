"""Windows along one side, against the taps of the operations themselves."""

import itertools

import pytest
import torch

from advscope.measures.partial_forward.span import POINT, Slide, joined, read_positions, span, through


def starts(size, cell):
    first = torch.arange(0, size, cell)
    return first, (first + cell).clamp(max=size)


@pytest.mark.parametrize(
    ("slide", "size"),
    [
        (Slide(*settings), size)
        for settings in itertools.product((1, 2, 3, 5), (1, 2, 3), (0, 1, 2), (1, 2))
        for size in (11, 12)
        if settings[2] <= (settings[0] - 1) * settings[3]
    ],
    ids=str,
)
def test_what_changes_is_what_a_tap_reaches(slide, size):
    out_size = (size + 2 * slide.padding - slide.reach - 1) // slide.stride + 1
    first, end = starts(size, 3)
    found = through(span(first, end, size), slide, out_size)
    for cell, (begin, stop) in enumerate(zip(first.tolist(), end.tolist(), strict=True)):
        reached = [
            out
            for out in range(out_size)
            for tap in range(slide.kernel)
            if begin <= out * slide.stride - slide.padding + tap * slide.dilation < stop
        ]
        changed = range(int(found.first[cell]), int(found.end[cell]))
        assert set(reached) <= set(changed)
        if slide.dilation == 1 and slide.stride <= slide.kernel:
            assert set(reached) == set(changed)  # no more than needed; else there are holes
        window = range(int(found.start[cell]), int(found.start[cell]) + found.length)
        assert set(changed) <= set(window) <= set(range(out_size))
        # The positions that the window reads hold every tap of every position in it.
        read = read_positions(found, slide)[cell].tolist()
        for out in window:
            taps = [out * slide.stride - slide.padding + tap * slide.dilation for tap in range(slide.kernel)]
            assert set(taps) <= set(read)


def test_windows_are_of_one_length_and_stay_inside():
    found = span(torch.tensor([0, 4, 8]), torch.tensor([4, 8, 9]), 9)
    assert found.length == 4
    assert found.start.tolist() == [0, 4, 5]
    assert not found.whole
    assert found.widened().whole
    assert found.widened().start.tolist() == [0, 0, 0]


def test_a_cell_between_the_taps_changes_nothing_and_keeps_a_window():
    # Every fourth position is read: cells of two positions that hold none of them change nothing.
    found = through(span(torch.tensor([0, 2]), torch.tensor([2, 4]), 8), Slide(stride=4), 2)
    assert (found.end - found.first).tolist() == [1, 0]
    assert found.length == 1


def test_joined_windows_hold_both():
    parts = [span(torch.tensor([1, 5]), torch.tensor([3, 6]), 9), span(torch.tensor([2, 4]), torch.tensor([5, 5]), 9)]
    found = joined(parts)
    assert found.first.tolist() == [1, 4]
    assert found.end.tolist() == [5, 6]
    assert found.length == 4
    assert read_positions(found, POINT).tolist() == [[1, 2, 3, 4], [4, 5, 6, 7]]

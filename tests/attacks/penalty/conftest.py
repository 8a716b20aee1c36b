"""How the tests of the solvers drive them."""

import pytest
import torch

from advscope.attacks.penalty.box import Box


@pytest.fixture
def walk():
    """Return a function that drives a solver with made-up slopes, rows at paces of their own, against a twin.

    The twin is called with (image, low, high, slopes of each step) of one image in nested lists, and returns the points
    after each step. Rows start anew at different times, and some leave.
    """

    def drive(make, twin, shape=(2, 3, 3), steps=12, scale=0.6, tolerance=1e-12):
        generator = torch.Generator().manual_seed(5)
        images = torch.rand(6, *shape, generator=generator, dtype=torch.float64)
        images[0, 0, 0, 0], images[1, 0, 0, 1] = 0, 1
        mask = torch.rand(6, 1, *shape[1:], generator=generator) < 0.9
        box = Box.around(images, 0.35, mask)
        solver, names = make(box, steps), torch.arange(6)
        taken = torch.zeros(6, dtype=torch.float64)
        history = {name: [[]] for name in range(6)}
        for _ in range(40):
            slopes = scale * torch.randn(len(names), *shape, generator=generator, dtype=torch.float64)
            slopes = slopes + images[names] - 0.5
            solver.advance(slopes, taken)
            for row, name in enumerate(names.tolist()):
                history[name][-1].append((slopes[row], solver.points[row].clone()))
            taken = taken + 1
            fresh = (taken >= steps) | (torch.rand(len(names), generator=generator) < 0.05)
            taken = torch.where(fresh, 0, taken)
            solver.restart(fresh)
            assert torch.equal(solver.points[fresh], images[names][fresh])
            for row in fresh.nonzero().flatten().tolist():
                history[int(names[row])].append([])
            if len(names) > 3 and torch.rand(1, generator=generator) < 0.15:
                rest = torch.randperm(len(names), generator=generator)[:-1]
                solver.keep(rest)
                names, taken = names[rest], taken[rest]
        runs = lengths = 0
        for name, parts in history.items():
            for part in filter(None, parts):
                slopes, points = [slope for slope, _ in part], [point for _, point in part]
                expected = twin(images[name], box.lower[name], box.upper[name], slopes, steps)
                for found, wanted in zip(points, expected, strict=True):
                    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance)
                    assert (found >= box.lower[name]).all()
                    assert (found <= box.upper[name]).all()
                runs, lengths = runs + 1, max(lengths, len(part))
        assert runs > 12
        assert lengths == steps
        assert len(names) < 6

    return drive


@pytest.fixture
def alike():
    """Return a function that checks that a solver in float32 does not depend on the batch, bit by bit."""

    def check(make, count=201, shape=(1, 3, 3), steps=400):
        generator = torch.Generator().manual_seed(6)
        images = torch.rand(count, *shape, generator=generator)
        slopes = torch.randn(8, count, *shape, generator=generator)
        taken = torch.randint(0, steps - 8, (count,), generator=generator).float()

        def run(rows):
            rows = torch.tensor(rows)
            solver = make(Box.around(images[rows]), steps)
            solver.restart(torch.ones(len(rows), dtype=torch.bool))
            for step in range(8):
                solver.advance(slopes[step][rows], taken[rows] + step)
            return solver.points

        whole = run(list(range(count)))
        assert (whole != images).any()
        # Kernels treat the last few values of a tensor otherwise than the others: all rows come to be among the last.
        assert torch.equal(torch.cat([run([row, row + 1, row + 2]) for row in range(0, count, 3)]), whole)
        assert torch.equal(run(list(range(count))[::-1]), whole.flip(0))
        assert torch.equal(run([30, 2, 17]), whole[[30, 2, 17]])

    return check

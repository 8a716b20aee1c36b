"""Two gloo processes with uneven batches give the figures of one."""

import torch
import torch.multiprocessing
from torch import distributed

from advscope.measures import AttackCost, ImageMeans, RobustAccuracy


def rows():
    generator = torch.Generator().manual_seed(0)
    columns = {
        "first": torch.randn(23, generator=generator, dtype=torch.float64) * 100,
        "second": torch.rand(23, generator=generator).where(torch.arange(23) % 4 > 0, torch.nan),
    }
    eligible = torch.rand(23, generator=generator) < 0.9
    labels, clean, pgd = (torch.randint(-1, 2, (23,), generator=generator) for _ in range(3))
    return columns, eligible, eligible & (torch.arange(23) % 3 > 0), labels, clean, pgd


def measured(chosen_batches):
    columns, eligible, attacked, labels, clean, pgd = rows()
    means, accuracy, cost = ImageMeans(list(columns)), RobustAccuracy(["pgd"]), AttackCost(["pgd"])
    for chosen in chosen_batches:
        part = {name: column[chosen] for name, column in columns.items()}
        means.update(part, eligible[chosen], attacked[chosen])
        accuracy.update(labels[chosen], clean[chosen], {"pgd": pgd[chosen]})
        cost.update("pgd", len(chosen), int(chosen.sum()), int(chosen.square().sum()))
    # Called twice: the states of a process must be its own again after the first.
    means.compute()
    return means.compute() | accuracy.compute() | cost.compute(), means.counts(), means.images.tolist()


def work(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    # The first process sees 14 images in batches of 5, 5 and 4, the second 9 in batches of 6 and 3.
    batches = (torch.arange(14).split(5), torch.arange(14, 23).split(6))[rank]
    torch.save(measured(batches), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_give_the_figures_of_one(tmp_path):
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    figures, counts, own = measured([torch.arange(23)])
    locals_ = []
    for rank in (0, 1):
        their_figures, their_counts, their_own = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        locals_.append(torch.tensor(their_own))
        assert their_counts == counts
        assert their_figures.keys() == figures.keys()
        for key, estimate in figures.items():
            theirs = torch.tensor(their_figures[key], dtype=torch.float64)
            assert torch.allclose(theirs, torch.tensor(estimate, dtype=torch.float64), rtol=1e-9, equal_nan=True), key
    assert sum(locals_).tolist() == own
    assert not torch.equal(locals_[0], locals_[1])

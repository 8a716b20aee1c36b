"""A dissection by two processes of one thread each beside one process: seconds, and whether the tables are equal."""

import math
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.multiprocessing
from torch import Tensor, distributed

from advscope.frozen import MicroBatched
from advscope.measures import Dissection, dissect
from benchmarks.dissection_inputs import photographs, rendered
from benchmarks.turns import take_turns

BATCH = 16
"""Images in a batch and in a micro-batch."""


def work(rank: int, processes: int, images: int, folder: str) -> None:
    """Dissect this process's share of the images, and leave the seconds and the table in a folder."""
    torch.set_num_threads(1)
    given = photographs(images) or rendered(images)
    # The test data have 96 images: beyond them they come again, as others.
    batch = given.batch.part(torch.arange(images) % len(given.batch.images))._replace(indices=torch.arange(images))
    share = given._replace(batch=batch.part(slice(rank, None, processes)))
    if processes > 1:
        meeting = f"file://{folder}/meeting"
        distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=processes)
        distributed.barrier()
    start = time.perf_counter()
    network = MicroBatched(given.network, BATCH)
    found = dissect(network, share.batches(BATCH), given.layers[-1:], concepts=given.concepts)
    seconds = time.perf_counter() - start
    torch.save((seconds, found), f"{folder}/{rank}.pt")
    if processes > 1:
        distributed.destroy_process_group()


def dissected(processes: int, images: int) -> list[tuple[float, Dissection]]:
    """Return the seconds of each process, without its start, and the table that it has at the end."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(work, (processes, images, folder), nprocs=processes)
        # Written by this very call.
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in range(processes)]


def equal(first: Any, second: Any) -> bool:
    """Whether two results are the same, bit for bit, nan like nan."""
    if isinstance(first, Tensor):
        if first.dtype != second.dtype or first.shape != second.shape:
            return False
        return bool(((first == second) | ((first != first) & (second != second))).all())
    if isinstance(first, float):
        return first == second or (math.isnan(first) and math.isnan(second))
    if isinstance(first, tuple | list):
        return len(first) == len(second) and all(map(equal, first, second))
    if hasattr(first, "keys"):
        return list(first) == list(second) and all(equal(first[key], second[key]) for key in first)
    return bool(first == second)


def scaling(images: int, rounds: int) -> dict[str, Any]:
    """Return how much faster two processes are than one, in turns, and whether every round gave the same tables."""
    tables: list[Dissection] = []
    slowest: dict[int, list[float]] = {1: [], 2: []}

    def turn(processes: int) -> None:
        found = dissected(processes, images)
        slowest[processes].append(max(seconds for seconds, _ in found))
        tables.extend(table for _, table in found)

    take_turns({str(processes): lambda processes=processes: turn(processes) for processes in slowest}, rounds, False)
    seconds = {processes: median(times) for processes, times in slowest.items()}
    return {
        "images": images,
        "seconds": {processes: round(value, 2) for processes, value in seconds.items()},
        "images_per_second": {processes: round(images / value, 2) for processes, value in seconds.items()},
        "times_as_fast": round(seconds[1] / seconds[2], 2),
        "tables": len(tables),
        "tables_equal": all(equal(tables[0], table) for table in tables),
    }

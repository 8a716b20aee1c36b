"""Peak memory of a dissection of 2,048 units, in a process of its own.

    python -m benchmarks.dissection_memory dissection --images 16

Started by ``python -m benchmarks.dissection --part memory``, which compares cases.
"""

import argparse
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from advscope.attacks import PGD
from advscope.frozen import MicroBatched, frozen
from advscope.measures import dissect
from advscope.networks import Library
from benchmarks.dissection_inputs import Generated

BATCH = 8
"""Images in a batch and in a micro-batch."""

LAYER = "network.layer4"
"""2,048 units of 7 x 7."""

CASES = ("forward", "dissection", "attack", "attacked_dissection")
"""Forward passes alone, a dissection, one step of an attack alone, a dissection with it."""


def one_step() -> PGD:
    """Return an attack of one step."""
    return PGD(4 / 255, 4 / 255, 1)


def run(case: str, images: int, network: nn.Module, layer: str) -> None:
    """Do what a case says with generated images.

    Raises:
        ValueError: If there is no such case.
    """
    if case not in CASES:
        raise ValueError(f"case must be one of {', '.join(CASES)}, got {case!r}")
    batched, batches = MicroBatched(network, BATCH), Generated(images, BATCH)
    if case in ("dissection", "attacked_dissection"):
        dissect(batched, batches, [layer], attack=one_step() if case == "attacked_dissection" else None)
        return
    with frozen(batched):
        for batch in batches:
            with torch.no_grad():
                batched(batch.images)
            if case == "attack":
                one_step()(batched, batch.images, batch.labels, indices=batch.indices)


def peak() -> float:
    """Return this process's peak memory so far, in MiB.

    Linux's own account of the address space: ``ru_maxrss`` starts with the peak of the process that started this one.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return (found[0] if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024


def growth(images: int) -> dict[str, Any]:
    """Return the peak memory of each case for n and for 4 n images, and how far dissections exceed what they run."""
    peaks: dict[str, dict[int, float]] = {}
    for case in CASES:
        for count in (images, 4 * images):
            command = [sys.executable, "-m", "benchmarks.dissection_memory", case, "--images", str(count)]
            said = subprocess.run(command, capture_output=True, text=True)
            if said.returncode:
                raise SystemExit(f"{' '.join(command[1:])} failed: {said.stderr[-2000:]}")
            peaks.setdefault(case, {})[count] = round(float(said.stdout))
    pairs = [("dissection", "forward"), ("attacked_dissection", "forward"), ("attacked_dissection", "attack")]
    return {
        "network": "ResNet-50, random weights, layer4, batches of 8",
        "peak_mib_by_images": peaks,
        "mib_above": {
            f"{case} above {beside}": {count: peaks[case][count] - peaks[beside][count] for count in peaks[case]}
            for case, beside in pairs
        },
    }


def main() -> None:
    """Run one case and print its peak in MiB."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--images", type=int, default=16)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    run(given.case, given.images, Library("torchvision/resnet50").eval(), LAYER)
    print(peak())


if __name__ == "__main__":
    main()

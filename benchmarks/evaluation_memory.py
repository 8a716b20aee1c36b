"""Peak memory of an evaluation of n and of 4 n images.

    python -m benchmarks.evaluation_memory --images 50 -- --run runs/demo/natural --config configs/evaluation/demo.yaml

One question: does what an evaluation keeps in memory grow with the images that it evaluates? Each number of images is a
process of its own, whose peak is what the system counted for it. What stands behind ``--`` is for ``evaluate.py``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.turns import machine, show

ROOT = Path(__file__).resolve().parent.parent


def peak(arguments: list[str], images: int) -> float:
    """Return the peak memory of an evaluation of so many images, in MiB."""
    command = [sys.executable, "evaluate.py", *arguments, f"--max_images={images}", "--name=evaluation_memory"]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen([*command, "--wandb=off"], cwd=ROOT, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        if os.waitstatus_to_exitcode(status):
            said.seek(0)
            raise SystemExit(f"evaluate.py failed: {said.read()[-2000:]}")
    return usage.ru_maxrss / 1024


def main() -> None:
    """Run the benchmark and print its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50, help="n")
    parser.add_argument("arguments", nargs="+", metavar="-- ARGUMENT", help="arguments of evaluate.py")
    given = parser.parse_args()
    peaks = {count: round(peak(given.arguments, count)) for count in (given.images, 4 * given.images)}
    show({"machine": machine(), "arguments": given.arguments, "peak_memory_mib_by_images": peaks})


if __name__ == "__main__":
    main()

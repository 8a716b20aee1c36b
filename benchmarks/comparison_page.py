"""The comparison page: seconds and size for ten runs.

    python -m benchmarks.comparison_page runs/demo/natural runs/demo/madry --evaluation demo [--runs 10] [--rounds 3]

One question: how long does the page of ten runs take, and how large is it? The runs named are copied under names of
their own until there are ten, so that what is compared is real; seconds are the median over the rounds.
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

from advscope.report import to_html
from benchmarks.turns import machine, show, take_turns


def main() -> None:
    """Run the benchmark and print its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", type=Path, metavar="RUN", help="folders of runs that are evaluated")
    parser.add_argument("--evaluation", default="standard", help="which results of each")
    parser.add_argument("--runs", type=int, default=10, help="runs on the page")
    parser.add_argument("--rounds", type=int, default=3, help="pages made")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(folder) / f"run {number}" for number in range(arguments.runs)]
        for number, copy in enumerate(copies):
            source = arguments.sources[number % len(arguments.sources)]
            left_out = shutil.ignore_patterns("wandb", "checkpoints", "figures")
            shutil.copytree(source, copy, ignore=left_out)
        size = len(to_html(copies, arguments.evaluation).encode())
        seconds = take_turns({"page": lambda: to_html(copies, arguments.evaluation)}, arguments.rounds)["page"]
    show({"machine": machine(), "runs": arguments.runs, "seconds": round(statistics.median(seconds), 2),
          "megabytes": round(size / 1e6, 2)})  # fmt: skip


if __name__ == "__main__":
    main()

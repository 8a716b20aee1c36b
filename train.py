"""Train a network: ``python train.py --config configs/concept_shapes_madry_demo.yaml``.

The run is written to runs/NAME (NAME is the config's; --run names another folder): config.yaml, run.json, metrics.jsonl
and checkpoints/{last,best_clean,best_robust}.ckpt. ``--resume=true`` continues from the last checkpoint.
"""

import sys

from cli import TrainCLI, one_line_errors


def main(args: list[str] | None = None) -> None:
    """Train as the arguments say."""
    with one_line_errors():
        TrainCLI(sys.argv[1:] if args is None else args).fit()


if __name__ == "__main__":
    main()

"""Evaluate a run: ``python evaluate.py --run runs/NAME [--config overlay.yaml]``.

Attacks the test images once per named attack, measures the adversarial examples, and writes
runs/NAME/results/OVERLAY/{summary.json, timing.json, images.csv, arrays.npz, figures/},
units.csv where units were dissected, masking.csv where they were masked, and table1.md, table2.md,
tableA1.md where the attacks are those of Xu et al. 2019 (configs/paper/). One that is stopped goes on where it was
when it is started again.
A network trained elsewhere: ``python evaluate.py --config configs/NAME.yaml --weights FILE``.
"""

import sys

import compare
from advscope.report import read_summary
from cli import EvaluateCLI, one_line_errors


def main(args: list[str] | None = None) -> None:
    """Evaluate as the arguments say."""
    with one_line_errors():
        cli = EvaluateCLI(sys.argv[1:] if args is None else args)
        cli.test()
    if cli.trainer.is_global_zero and not cli.trainer.fast_dev_run:
        compare.main([str(cli.run), "--evaluation", cli.evaluation])
        data = read_summary(cli.folder / "summary.json")["data"]
        if not data.get("complete", True):
            wanted = len(cli.datamodule.tested_places())
            print(f"Time was up after {data['n']} of {wanted} images: the same command goes on.", flush=True)
        units = "".join(f"{name}, " for name in ("units.csv", "masking.csv") if (cli.folder / name).exists())
        tables = "".join(f"{path.name}, " for path in sorted(cli.folder.glob("table*.md")))
        print(f"Written to {cli.folder}: summary.json, images.csv, arrays.npz, {units}{tables}figures/", flush=True)


if __name__ == "__main__":
    main()

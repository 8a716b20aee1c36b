"""Redraw the figures of finished evaluations: ``python -m advscope.report RUN/results/NAME``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from advscope.report.evaluation_figures import draw_figures
from advscope.report.figure_style import FORMATS
from advscope.report.run_figures import draw_run_figures

_MORE = """\
examples:
  python -m advscope.report runs/demo/natural/results/standard
  python -m advscope.report runs/demo/natural/results/standard --only is '*_examples' --examples 6
  python -m advscope.report runs/demo/natural/results/standard --only correlations --format svg
  python -m advscope.report runs/demo/natural/results/standard runs/demo/madry/results/standard --output figures

The figures are those that the results allow; docs/figures.md says what each shows and which monitor it needs.
Nothing is evaluated again, and no other file is changed.
"""


def check_results(folder: Path) -> None:
    """Refuse a folder that is no evaluation's; where it is a run's, the message names the evaluations it holds.

    Raises:
        FileNotFoundError: If there is no summary.json in it.
    """
    if (folder / "summary.json").exists():
        return
    finished = sorted(str(path.parent) for path in folder.glob("results/*/summary.json"))
    if finished:
        raise FileNotFoundError(f"{folder} is a run, not an evaluation: name one of {', '.join(finished)}")
    if (folder / "shards").is_dir():
        raise FileNotFoundError(f"{folder} is not finished: the same evaluate.py command goes on where it was stopped")
    raise FileNotFoundError(
        f"{folder} holds no summary.json: name the folder RUN/results/NAME that evaluate.py says it has written"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status: 0, or 1 after an error, which is one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m advscope.report",
        description="Draw the figures of a finished evaluation again, into RESULTS/figures/, without evaluating; of "
        "several evaluations those that show the runs together.",
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "results", nargs="+", metavar="RESULTS", help="folder of an evaluation: RUN/results/NAME; several to compare"
    )
    parser.add_argument(
        "--output", metavar="FOLDER", help="where to write (default: RESULTS/figures); needed with several RESULTS"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help="figures to draw, by name or pattern, as '*_examples'; all of them without",
    )
    parser.add_argument(
        "--examples",
        type=int,
        metavar="N",
        help="images in figures of examples, at most (default: 4; with several RESULTS 1)",
    )
    parser.add_argument(
        "--format",
        nargs="+",
        choices=FORMATS,
        default=list(FORMATS),
        dest="formats",
        help="file formats (default: both)",
    )
    chosen = parser.parse_args(arguments)
    formats = list(dict.fromkeys(chosen.formats))
    several = len(chosen.results) > 1
    try:
        for folder in chosen.results:
            check_results(Path(folder))
        if several and chosen.output is None:
            raise ValueError("several RESULTS need a folder of their own for their figures: add --output FOLDER")
        if several:
            examples = 1 if chosen.examples is None else chosen.examples
            paths = draw_run_figures(chosen.results, chosen.output, chosen.only, examples, formats)
        else:
            examples = 4 if chosen.examples is None else chosen.examples
            paths = draw_figures(chosen.results[0], chosen.only, examples, formats, chosen.output)
    except (FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path in paths:
        print(path.with_suffix("." + formats[0] if len(formats) == 1 else f".{{{','.join(formats)}}}"))
    if not paths:
        shared = "no figure of several runs" if several else "no figure"
        listed = ", ".join(chosen.results)
        print(f"error: {listed} allow{'' if several else 's'} {shared}; evaluate with monitors", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

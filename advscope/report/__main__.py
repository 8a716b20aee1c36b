"""Redraw the figures of a finished evaluation: ``python -m advscope.report RUN/results/NAME``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from advscope.report.evaluation_figures import draw_figures
from advscope.report.figure_style import FORMATS

_MORE = """\
examples:
  python -m advscope.report runs/demo/natural/results/standard
  python -m advscope.report runs/demo/natural/results/standard --only is '*_examples' --examples 6
  python -m advscope.report runs/demo/natural/results/standard --only correlations --format svg

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
        description="Draw the figures of a finished evaluation again, into RESULTS/figures/, without evaluating.",
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", metavar="RESULTS", help="folder of an evaluation: RUN/results/NAME")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help="figures to draw, by name or pattern, as '*_examples'; all of them without",
    )
    parser.add_argument(
        "--examples", type=int, default=4, metavar="N", help="images in figures of examples, at most (default: 4)"
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
    try:
        check_results(Path(chosen.results))
        paths = draw_figures(chosen.results, chosen.only, chosen.examples, formats)
    except (FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path in paths:
        print(path.with_suffix("." + formats[0] if len(formats) == 1 else f".{{{','.join(formats)}}}"))
    if not paths:
        print(f"error: {chosen.results} allows no figure; evaluate with monitors", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

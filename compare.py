"""Compare runs by their evaluations: each run's figures, paired differences over common images, and a page of both."""

import argparse
from pathlib import Path

from rich.console import Console

from advscope.report import to_csv, to_markdown, to_rich
from advscope.report.comparison import compare_results
from advscope.report.page import results_to_html
from advscope.report.run_results import read_all
from advscope.tables.atomic_file import write_atomically

SUFFIXES = (".html", ".csv", ".md")


def main(args: list[str] | None = None) -> None:
    """Print the comparison, and write it where it is asked for.

    Args:
        args: Words of the command line; None for the process's own.
    """
    parser = argparse.ArgumentParser(
        prog="compare.py",
        description="Compare runs by their evaluations: each run's figures with 95% intervals, and paired differences"
        " to the first run over the images that count in every run.",
        epilog="example: python compare.py runs/demo/natural runs/demo/madry --evaluation demo --out compare.html",
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="folder of a training; the first is compared with"
    )
    parser.add_argument(
        "--evaluation", default="standard", metavar="NAME", help="which results of each run (default: %(default)s)"
    )
    parser.add_argument(
        "--out", action="append", default=[], type=Path, metavar="FILE",
        help="write the comparison there, as its suffix says: .html, a page with plots and images that opens without"
        " network; .csv, all figures, one row per figure and run; .md, the table; several --out are allowed",
    )  # fmt: skip
    parser.add_argument("--csv", type=Path, metavar="FILE", help="as --out, whatever the suffix")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="as --out, whatever the suffix")
    parser.add_argument(
        "--all", action="store_true", help="show all figures, and not the main ones alone (a page has both)"
    )
    parser.add_argument(
        "--wandb", choices=("auto", "online", "offline", "off"), default="auto",
        help="log the page to W&B as a run of its own: auto is online where you are logged in, else offline",
    )  # fmt: skip
    arguments = parser.parse_args(args)
    unknown = [path for path in arguments.out if path.suffix not in SUFFIXES]
    if unknown:
        raise SystemExit(f"error: --out {unknown[0]} must end in one of {', '.join(SUFFIXES)}; name it so")
    try:
        read = read_all(arguments.runs, arguments.evaluation)
        comparison = compare_results(read)
        texts = {}
        for path, form in outputs(arguments):
            if form == ".html":
                texts[path] = results_to_html(read, comparison)
            else:
                texts[path] = to_csv(comparison) if form == ".csv" else to_markdown(comparison, arguments.all)
        for path, text in texts.items():
            write_atomically(path, text.encode())
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {' '.join(str(error).split())}") from None
    Console().print(to_rich(comparison, arguments.all))
    for path in texts:
        print(f"wrote {path}")
    pages = [path for path in arguments.out if path.suffix == ".html"]
    if pages and arguments.wandb != "off":
        # Lightning loads for seconds: only where something is logged.
        from callbacks.wandb_comparison import log_comparison
        from cli import PROJECT

        log_comparison(pages[0], arguments.runs, arguments.evaluation, arguments.wandb, PROJECT)


def outputs(arguments: argparse.Namespace) -> list[tuple[Path, str]]:
    """Return the files to write, each with the suffix of its form."""
    named = [(path, path.suffix) for path in arguments.out]
    return named + [(path, form) for path, form in ((arguments.csv, ".csv"), (arguments.markdown, ".md")) if path]


if __name__ == "__main__":
    main()

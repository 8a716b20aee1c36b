"""Compare runs by their evaluations: each run's figures, and paired differences over common images."""

import argparse
from pathlib import Path

from rich.console import Console

from advscope.report import compare, to_csv, to_markdown, to_rich
from advscope.report.atomic_file import write_atomically


def main(args: list[str] | None = None) -> None:
    """Print the comparison, and write it where it is asked for.

    Args:
        args: Words of the command line; None for the process's own.
    """
    parser = argparse.ArgumentParser(
        prog="compare.py",
        description="Compare runs by their evaluations: each run's figures with 95% intervals, and paired differences"
        " to the first run over the images that count in every run.",
        epilog="example: python compare.py runs/demo/natural runs/demo/madry --evaluation demo --csv all.csv",
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="folder of a training; the first is compared with"
    )
    parser.add_argument(
        "--evaluation", default="standard", metavar="NAME", help="which results of each run (default: %(default)s)"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write all figures there, one row per figure and run")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there")
    parser.add_argument("--all", action="store_true", help="show all figures, and not the main ones alone")
    arguments = parser.parse_args(args)
    try:
        comparison = compare(arguments.runs, arguments.evaluation)
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from None
    Console().print(to_rich(comparison, arguments.all))
    if arguments.csv:
        write_atomically(arguments.csv, to_csv(comparison).encode())
    if arguments.markdown:
        write_atomically(arguments.markdown, to_markdown(comparison, arguments.all).encode())


if __name__ == "__main__":
    main()

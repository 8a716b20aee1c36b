"""Do attacks differ in a measure, image by image? A table of an evaluation's attacks, and their paired differences.

    python -m benchmarks.attack_orderings RUN/results/NAME [--quantities size/l0 is/score_adversarial]
        [--order str ead cw ifgsm] [--against cw:cw_s1]

One question: which of the orderings that the paper reports (Str-attack above EAD above C&W above IFGSM, refined attacks
against their originals) hold for this network? Means are over the images that an attack succeeded on, differences over
those that both succeeded on; 95% intervals, n in parentheses. Reads the evaluation's images.csv, runs no network.
"""

import argparse
import csv
import math
from itertools import pairwise
from pathlib import Path

from advscope.intervals import Estimate, mean

QUANTITIES = (
    *(f"size/{name}" for name in ("l0", "l1", "l2", "linf")),
    *(f"is/score_{pair}" for pair in ("clean", "adversarial")),
    *(f"psr/pearson_{effect}_l2" for effect in ("suppression", "promotion", "score")),
    "psr/kendall_score_l2",
)
"""What is shown, where the evaluation has it."""


def estimate(values: list[float]) -> Estimate:
    """Return the mean of the values that are defined."""
    known = [value for value in values if not math.isnan(value)]
    return mean(sum(known), sum(value**2 for value in known), len(known), len(values) - len(known))


def written(figure: Estimate, signed: bool = False) -> str:
    """Return a figure with its interval and n."""
    places = 0 if abs(figure.value) >= 100 else 2 if abs(figure.value) >= 10 else 3
    value, low, high = (f"{part:{'+' if signed else ''}.{places}f}" for part in (figure.value, figure.low, figure.high))
    return f"{value} [{low}, {high}] ({figure.n})"


def successes(path: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Return the rows of the images that each attack succeeded on, by attack and image."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            images = found.setdefault(row["attack"], {})
            if row["attacked"] == "1":
                images[row["index"]] = row
    return found


def difference(first: dict[str, dict[str, str]], second: dict[str, dict[str, str]], quantity: str) -> Estimate:
    """Return the mean of first minus second over the images that both hold."""
    both = sorted(first.keys() & second.keys())
    return estimate([float(first[image][quantity]) - float(second[image][quantity]) for image in both])


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of an evaluation, with images.csv")
    parser.add_argument("--quantities", nargs="+", default=None, help="columns of images.csv")
    parser.add_argument("--order", nargs="+", default=["str", "ead", "cw", "ifgsm"], help="neighbours are compared")
    parser.add_argument("--against", nargs="+", default=[], metavar="A:B", help="further pairs, B minus A")
    settings = parser.parse_args(arguments)
    path = settings.results / "images.csv"
    if not path.is_file():
        parser.error(f"{path} does not exist: name the folder of an evaluation, RUN/results/NAME")
    found = successes(path)
    pairs = [*pairwise(settings.order), *(tuple(reversed(pair.split(":"))) for pair in settings.against)]
    unknown = {name for pair in pairs for name in pair} - set(found)
    if unknown:
        parser.error(f"no attack {', '.join(sorted(unknown))} in {path}; there are {', '.join(sorted(found))}")
    columns = next((row for images in found.values() for row in images.values()), {})
    quantities = settings.quantities or [name for name in QUANTITIES if name in columns]
    missing = [name for name in quantities if name not in columns]
    if missing:
        parser.error(f"no column {', '.join(missing)} in {path}, or no attack succeeded on any image")
    rows = [
        [name, *(written(estimate([float(row[quantity]) for row in images.values()])) for quantity in quantities)]
        for name, images in found.items()
    ]
    differences = [
        [f"{first} - {second}", *(written(difference(found[first], found[second], name), True) for name in quantities)]
        for first, second in pairs
    ]
    for title, lines in (("attack", rows), ("difference", differences)):
        print(
            "\n".join(
                "| " + " | ".join(line) + " |" for line in [[title, *quantities], ["---"] * len(lines[0]), *lines]
            )
        )
        print()


if __name__ == "__main__":
    main()

"""The command line of ConceptShapes: ``python -m datamodules.concept_shapes --broden FOLDER``."""

import argparse

from rich.console import Console
from rich.progress import Progress

from datamodules.concept_shapes.broden_export import export_broden


def main(args: list[str] | None = None) -> None:
    """Write ConceptShapes in Broden's layout.

    Args:
        args: Words of the command line; None for the process's own.
    """
    parser = argparse.ArgumentParser(
        prog="python -m datamodules.concept_shapes",
        description="Write pictures of ConceptShapes' test split, with all their concepts, into a folder in Broden's"
        " layout: images and label masks (PNG) under images/, and the tables index.csv, category.csv, label.csv and"
        " c_*.csv.",
        epilog="example: python -m datamodules.concept_shapes --broden data/concept_shapes_broden --images 500;"
        " datamodules.Broden(root='data/concept_shapes_broden', size=32) reads it. docs/broden.md tells more.",
    )
    parser.add_argument(
        "--broden", required=True, metavar="FOLDER", help="where to write; must not exist, or be an empty folder"
    )
    parser.add_argument("--images", type=int, default=2_000, metavar="N", help="number of pictures (default: 2000)")
    parser.add_argument(
        "--size", type=int, default=32, metavar="S", help="side of a picture in pixels, at least 16 (default: 32)"
    )
    parser.add_argument(
        "--pattern-strength",
        type=float,
        default=4.0,
        metavar="P",
        help="amplitude of each class's planted pattern in 1/255, 0 for none (default: 4)",
    )
    parser.add_argument("--render-seed", type=int, default=0, metavar="SEED", help="seed of the pictures (default: 0)")
    arguments = parser.parse_args(args)
    try:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("rendering", total=arguments.images)
            export_broden(
                arguments.broden,
                arguments.images,
                arguments.size,
                arguments.pattern_strength,
                arguments.render_seed,
                progress=lambda done: bar.update(task, completed=done),
            )
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from None
    print(f"wrote {arguments.images:,} pictures of {arguments.size} x {arguments.size} pixels to {arguments.broden}")


if __name__ == "__main__":
    main()

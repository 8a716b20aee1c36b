"""The command lines of Broden: ``python -m datamodules.broden`` with ``check``, ``download``, ``make``, ``colours``."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from datamodules.broden.check import check
from datamodules.broden.colour_names import agreement, read_colour_table
from datamodules.broden.download import download, unpack
from datamodules.broden.make import Progress as Told
from datamodules.broden.make import make
from datamodules.broden.record import recall


def main(args: list[str] | None = None) -> None:
    """Check, download or make data in Broden's layout, or compare tables of colour names.

    Args:
        args: Words of the command line; None for the process's own.
    """
    arguments = _parser().parse_args(args)
    try:
        commands = {"check": _check, "download": _download, "make": _make, "colours": _colours}
        commands[arguments.command](arguments)
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m datamodules.broden",
        description="Images with pixel-level concepts, in Broden's layout. docs/broden.md tells more.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser(
        "check",
        help="read a folder through once",
        description="Decode every image and mask of FOLDER, stop at the first fault (exit status 1), and tell what it"
        " holds. A check that finds none is remembered, so that no training or evaluation looks at all files again.",
        epilog="example: python -m datamodules.broden check data/broden1_224 --workers 4",
    )
    checking.add_argument("folder", metavar="FOLDER", help="folder in Broden's layout")
    checking.add_argument("--workers", type=int, default=0, metavar="N", help="processes that decode (default: none)")
    checking.add_argument("--again", action="store_true", help="decode even what was found good and has not changed")

    loading = commands.add_parser(
        "download",
        help="download Broden",
        description="Download a release of Broden and unpack it to FOLDER. What broke off is gone on with.",
        epilog="example: python -m datamodules.broden download data/broden1_224",
    )
    loading.add_argument("folder", metavar="FOLDER", help="where to unpack to; must not exist, or be an empty folder")
    loading.add_argument(
        "--release", choices=("224", "227", "384"), default="224", help="side of the images in pixels (default: 224)"
    )
    origin = loading.add_mutually_exclusive_group()
    origin.add_argument("--url", metavar="URL", help="where else to take the archive from (default: NetDissect's site)")
    origin.add_argument("--archive", metavar="FILE", help="unpack this archive, which was downloaded before")

    making = commands.add_parser(
        "make",
        help="turn images and masks of one's own into Broden's layout",
        description="Write a folder in Broden's layout from images and PNG masks of label numbers, one folder of masks"
        " per category: MASKS/object/x.png, or x_1.png and x_2.png, belong to IMAGES/x.jpg.",
        epilog="example: python -m datamodules.broden make --images photos --masks masks --labels labels.csv data/mine",
    )
    making.add_argument("output", metavar="OUTPUT", help="where to write; must not exist, or be an empty folder")
    making.add_argument("--images", required=True, metavar="FOLDER", help="the images, at any depth")
    making.add_argument("--masks", metavar="FOLDER", help="a folder of masks per category")
    making.add_argument("--labels", metavar="FILE", help="CSV with number, name, category (default: named by numbers)")
    making.add_argument("--image-labels", metavar="FILE", help="CSV with image, category, label, of whole images")
    making.add_argument(
        "--colours", default="ours", metavar="TABLE", help="ours, none, or a .npy table of colour names (default: ours)"
    )
    making.add_argument("--size", type=int, default=224, metavar="S", help="side of the images (default: 224)")
    making.add_argument("--mask-size", type=int, metavar="S", help="side of the masks (default: half of the images')")
    making.add_argument("--source", metavar="NAME", help="folder for them under images/ (default: that of IMAGES)")
    making.add_argument(
        "--ignore", type=int, action="append", default=[], metavar="N", help="a number of unlabelled pixels, besides 0"
    )
    making.add_argument("--keep-unlabelled", action="store_true", help="keep images without a label")

    naming = commands.add_parser(
        "colours",
        help="compare a table of colour names with ours",
        description="Tell for which share of the 32,768 cells of RGB, and of the pixels of images, a table of colour"
        " names agrees with ours.",
        epilog="example: python -m datamodules.broden colours w2color.npy --images data/broden1_224/images",
    )
    naming.add_argument("table", metavar="TABLE", help="a .npy file, as for make --colours")
    naming.add_argument("--images", metavar="FOLDER", help="compare the pixels of its .jpg files, too, halved as masks")
    return parser


def _check(arguments: argparse.Namespace) -> None:
    root = Path(arguments.folder)
    known = None if arguments.again else recall(root)
    if known is not None:
        print(
            "\n".join([*known, f"{root} was found good before and has not changed (--again decodes it all the same)"])
        )
        return
    with _bar() as told:
        checked, record = check(root, arguments.workers, lambda done, count: told("decoding", done, count))
    kept = f"remembered in {record}" if record else "which could not be remembered: no place can be written to"
    print("\n".join([*checked.lines(), f"{root} is good; {kept}"]))


def _download(arguments: argparse.Namespace) -> None:
    folder = Path(arguments.folder)
    with _bar() as told:
        if arguments.archive:
            unpack(Path(arguments.archive), folder, told)
        else:
            download(folder, arguments.release, arguments.url, told)
    print(f"unpacked to {folder}; now read it through once: python -m datamodules.broden check {folder}")


def _make(arguments: argparse.Namespace) -> None:
    words = {name: value for name, value in vars(arguments).items() if name != "command"}
    with _bar() as told:
        made = make(**words, progress=told)
    labels = ", ".join(f"{count:,} in {category}" for category, count in made.labels.items())
    print(f"wrote {made.images:,} images to {arguments.output}; labels: {labels}")
    if made.unlabelled:
        print(f"{made.unlabelled:,} images have no label but their colours'")


def _colours(arguments: argparse.Namespace) -> None:
    table = read_colour_table(Path(arguments.table))
    print(f"cells of RGB // 8: {agreement(table, None).value:.4f} of {table.size:,}")
    if arguments.images:
        paths = sorted(Path(arguments.images).rglob("*.jpg"))
        value, low, high, images, _ = agreement(table, paths)
        print(f"pixels: {value:.4f} [{low:.4f}, {high:.4f}], mean over {images:,} images")


@contextmanager
def _bar() -> Iterator[Told]:
    """Show what is told in a progress bar."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def tell(doing: str, done: int, count: int) -> None:
            bar.update(task, description=doing, completed=done, total=count or None)

        yield tell


if __name__ == "__main__":
    main()

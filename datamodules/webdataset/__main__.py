"""The command lines of shards: ``python -m datamodules.webdataset pack ROOT OUT`` and ``... index SHARDS``."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from datamodules.imagenet import ImageNet
from datamodules.webdataset.pack import pack
from datamodules.webdataset.shard_index import shard_index
from datamodules.webdataset.sharded_images import expand


def main(args: list[str] | None = None) -> None:
    """Write or index shards.

    Args:
        args: Words of the command line; None for the process's own.
    """
    parser = argparse.ArgumentParser(
        prog="python -m datamodules.webdataset",
        description="Shards in the WebDataset format, for sets too large for folders. docs/imagenet.md tells more.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser(
        "pack",
        help="write class folders as shards",
        description="Write the images of ROOT (train/ and val/ with class folders, or class folders alone) as shards.",
        epilog="example: python -m datamodules.webdataset pack data/imagenet data/imagenet_shards --per_shard 1000",
    )
    packing.add_argument("root", metavar="ROOT", help="folder of the images, as of datamodules.ImageNet")
    packing.add_argument("out", metavar="OUT", help="where to write; must not exist, or be an empty folder")
    packing.add_argument("--per_shard", type=int, default=1000, metavar="N", help="images in a shard (default: 1000)")
    packing.add_argument("--labels", metavar="FILE", help="classes of a val/ without class folders, as of ImageNet")
    packing.add_argument("--classes", metavar="FILE", help="file that numbers the classes, as of ImageNet")
    indexing = commands.add_parser(
        "index",
        help="index shards before their first use",
        description="Read shards through once and keep beside each where its images are. The first use does it, too.",
        epilog="example: python -m datamodules.webdataset index 'data/imagenet_shards/train-{000000..001281}.tar'",
    )
    indexing.add_argument(
        "shards", nargs="+", metavar="SHARDS", help=".tar files, patterns with braces, or folders of .tar files"
    )
    arguments = parser.parse_args(args)
    try:
        if arguments.command == "pack":
            _pack(arguments)
        else:
            _index(arguments.shards)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        raise SystemExit(f"error: {error}") from None


def _pack(arguments: argparse.Namespace) -> None:
    data = ImageNet(arguments.root, labels=arguments.labels, classes=arguments.classes)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("writing", total=None)
        shards = pack(
            data, Path(arguments.out), arguments.per_shard, lambda written: bar.update(task, completed=written)
        )
    print(f"wrote {len(shards):,} shards to {arguments.out}")


def _index(given: list[str]) -> None:
    patterns: list[str] = []
    for name in given:
        found = sorted(str(path) for path in Path(name).glob("*.tar")) if Path(name).is_dir() else [name]
        if not found:
            raise FileNotFoundError(f"{name} holds no .tar files: name a folder of shards, or shards")
        patterns += found
    shards = expand(patterns)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        count = sum(len(shard_index(Path(shard)).keys) for shard in bar.track(shards, description="reading"))
    print(f"indexed {count:,} samples in {len(shards):,} shards")


if __name__ == "__main__":
    main()

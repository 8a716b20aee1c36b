"""What an evaluation has finished so far, batch by batch: ``RUN/results/NAME/shards/``."""

import io
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from advscope.tables.atomic_file import write_atomically

ASIDE = "shards_set_aside"
"""Folder to which the shards of another evaluation of the same name go."""


class Shards:
    """The finished batches of one process of an evaluation, each a file that is there whole or not at all.

    An evaluation that is killed goes on after its last shard. Shards belong to one identity, a mapping of texts (the
    checksums of settings, weights, data, code): those of another one are set aside, and the evaluation starts over.

    Args:
        folder: Folder of the evaluation.
        rank: Number of this process.
        world_size: Number of processes.
    """

    def __init__(self, folder: Path, rank: int = 0, world_size: int = 1) -> None:
        self.root = folder / "shards"
        self.aside = folder / ASIDE
        self.own = self.root / f"process_{rank}_of_{world_size}"

    def claim(self, identity: Mapping[str, str]) -> list[str]:
        """Take the folder for an evaluation; the first process does it, before any reads.

        Args:
            identity: What the results depend on, by name.

        Returns:
            The names in which shards that were there differ; these shards are set aside. Empty where there were none,
            or they are of this evaluation.
        """
        path = self.root / "identity.json"
        differing: list[str] = []
        if self.root.exists():
            try:
                found = json.loads(path.read_text())
            except (OSError, ValueError):  # killed before the first shard
                found = {}
            differing = sorted(name for name in {*identity, *found} if identity.get(name) != found.get(name))
            if differing:
                has_shards = any(self.root.rglob("*.pt"))
                shutil.rmtree(self.aside, ignore_errors=True)
                self.root.rename(self.aside)
                differing = differing if has_shards else []
                if not has_shards:
                    shutil.rmtree(self.aside)
        write_atomically(path, (json.dumps(dict(identity), indent=1, sort_keys=True) + "\n").encode())
        return differing

    def write(self, number: int, content: Mapping[str, Any]) -> None:
        """Write what one batch gave: tensors, numbers, texts, and lists and mappings of them."""
        buffer = io.BytesIO()
        torch.save(dict(content), buffer)
        write_atomically(self._path(number), buffer.getvalue())

    def read(self, number: int) -> dict[str, Any]:
        """Return what a batch gave.

        Raises:
            FileNotFoundError: If the batch has no shard.
        """
        content: dict[str, Any] = torch.load(self._path(number), map_location="cpu", weights_only=True)
        return content

    def count(self) -> int:
        """Return how many batches from the first on have a shard."""
        number = 0
        while self._path(number).is_file():
            number += 1
        return number

    def contents(self) -> Iterator[dict[str, Any]]:
        """Yield what each batch gave, from the first on."""
        for number in range(self.count()):
            yield self.read(number)

    def write_part(self, name: str, content: Mapping[str, Any]) -> None:
        """Write what was finished beside the batches: work of its own, which would be lost where it is killed.

        Args:
            name: Name of the part: letters, digits and underscores.
            content: As for :meth:`write`.
        """
        buffer = io.BytesIO()
        torch.save(dict(content), buffer)
        write_atomically(self.own / "parts" / f"{name}.pt", buffer.getvalue())

    def parts(self) -> Iterator[dict[str, Any]]:
        """Yield what :meth:`write_part` wrote, by name."""
        for path in sorted((self.own / "parts").glob("*.pt")):
            yield torch.load(path, map_location="cpu", weights_only=True)

    def set_aside_from(self, number: int) -> int:
        """Set the shards of this batch and of those after it aside, and return how many they are."""
        later = range(number, self.count())
        for each in later:
            place = self.aside / self.own.name / self._path(each).name
            place.parent.mkdir(parents=True, exist_ok=True)
            self._path(each).replace(place)
        return len(later)

    def clear(self) -> None:
        """Remove this process's shards, and the folder where it was the last one."""
        shutil.rmtree(self.own, ignore_errors=True)
        try:
            others = [path for path in self.root.iterdir() if path.name.startswith("process_")]
        except OSError:  # another process was the last one meanwhile
            return
        if not others:
            shutil.rmtree(self.root, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.own / f"{number:06d}.pt"

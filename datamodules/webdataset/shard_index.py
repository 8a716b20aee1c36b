"""Where in a shard each sample's image lies, kept beside the shard so that it is read through once."""

import json
import os
import re
import tarfile
import tempfile
import warnings
from pathlib import Path
from typing import IO, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

IMAGES = ("jpg", "jpeg", "png")
_VERSION = 1
# A name's key ends at the first dot after the last slash; the rest says what the member is.
_NAME = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)$", re.DOTALL)
_END = 1024


class ShardIndex(NamedTuple):
    """The samples of one shard, in its order."""

    keys: NDArray[np.bytes_]
    """What the members of a sample are called up to the first dot, UTF-8."""
    offsets: NDArray[np.int64]
    """Where each image's bytes begin in the shard."""
    sizes: NDArray[np.int64]
    """How many bytes each image has."""
    labels: NDArray[np.int64]
    """Class of each sample; -1 where neither ``cls`` nor ``json`` states one."""


def index_file(shard: Path) -> Path:
    """Return where the index of a shard is kept: beside it."""
    return shard.with_name(f"{shard.name}.index.npz")


def shard_index(shard: Path) -> ShardIndex:
    """Return the index of a shard: the one that is kept beside it, else one made by reading the shard once.

    A kept index holds for a shard of the very size and time of change that it was made of. A new one is put in place
    in one step, so that processes may make it at the same time. Where the folder cannot be written to, it is made anew
    by every process, with a warning.

    Raises:
        FileNotFoundError: If the shard is missing.
        ValueError: If the shard is damaged or not in this format; names it and the sample in one line.
    """
    if not shard.is_file():
        raise FileNotFoundError(
            f"{shard} is missing: name local .tar files, as a pattern (train-{{000..146}}.tar) or list"
        )
    state = shard.stat()
    version = np.array([_VERSION, state.st_size, state.st_mtime_ns])
    kept = _read(index_file(shard), version)
    if kept is not None:
        return kept
    index = scan_shard(shard)
    try:
        _write(index_file(shard), version, index)
    except OSError as error:
        warnings.warn(
            f"{index_file(shard)} cannot be written ({error.strerror}): the shard is read through each time",
            stacklevel=2,
        )
    return index


def scan_shard(shard: Path) -> ShardIndex:
    """Read a shard once and return its index.

    Members that follow each other under one key are a sample. Its image is ``jpg``, ``jpeg`` or ``png``; its class the
    number in ``cls``, else the number in ``json`` or under ``label``, ``cls`` or ``class`` there.

    Raises:
        ValueError: If the shard is damaged or compressed, or a sample has no image, several, or a class that is no
            number; names it in one line.
    """
    keys: list[str] = []
    samples: list[dict[str, tuple[int, int]]] = []
    labels: list[int] = []
    with shard.open("rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    match = _NAME.fullmatch(member.name)
                    if not member.isreg() or match is None:
                        continue
                    key, kind = match[1], match[2].lower()
                    if not keys or keys[-1] != key:
                        keys.append(key)
                        samples.append({})
                    if kind in samples[-1]:
                        raise ValueError(f"{shard}: sample {key} has two members {kind}; give each sample its own key")
                    samples[-1][kind] = member.offset_data, member.size
        except (tarfile.TarError, EOFError, OSError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"{shard} is no readable tar file ({reason}): shards must be whole and not compressed"
            ) from error
        if not keys:
            raise ValueError(f"{shard} holds no samples: members must be named KEY.jpg, KEY.cls")
        _require_end(shard, file)
        for key, members in zip(keys, samples, strict=True):
            if sum(kind in members for kind in IMAGES) != 1:
                raise ValueError(
                    f"{shard}: sample {key} holds {' '.join(members)}, but must hold one image ({', '.join(IMAGES)})"
                )
            labels.append(_label(shard, file, key, members))
    if len(set(keys)) != len(keys):
        repeated = next(key for place, key in enumerate(keys) if key in keys[:place])
        raise ValueError(f"{shard}: the key {repeated} comes back after other samples; members of one must be adjacent")
    images = [next(members[kind] for kind in IMAGES if kind in members) for members in samples]
    return ShardIndex(
        np.array([key.encode("utf-8", "surrogateescape") for key in keys]),
        np.array([offset for offset, _ in images]),
        np.array([size for _, size in images]),
        np.array(labels),
    )


def _require_end(shard: Path, file: IO[bytes]) -> None:
    """Refuse a shard that was cut off between two members: all that shows it is the missing end mark."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END))
    if file.read() != b"\0" * _END:
        raise ValueError(f"{shard} is cut off (no end mark): copy or write it again")


def _label(shard: Path, file: IO[bytes], key: str, members: dict[str, tuple[int, int]]) -> int:
    """Return the class that a sample states, -1 where it states none."""
    kind = next((kind for kind in ("cls", "json") if kind in members), None)
    if kind is None:
        return -1
    offset, size = members[kind]
    file.seek(offset)
    text = file.read(size)
    try:
        found = json.loads(text)
        if kind == "json" and isinstance(found, dict):
            found = next((found[name] for name in ("label", "cls", "class") if name in found), None)
            if found is None:
                return -1
        if isinstance(found, bool) or not isinstance(found, int) or found < 0:
            raise ValueError(f"{found!r}")
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{shard}: {key}.{kind} states no class number, 0 or more ({reason})") from error
    return found


def _read(path: Path, version: NDArray[np.int64]) -> ShardIndex | None:
    """Return a kept index, None where there is none that holds."""
    try:
        with np.load(path, allow_pickle=False) as content:
            if not np.array_equal(content["version"], version):
                return None
            return ShardIndex(*(content[name] for name in ShardIndex._fields))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _write(path: Path, version: NDArray[np.int64], index: ShardIndex) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, version=version, **index._asdict())
        # Readable by whoever may read the shard, not by its maker alone.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise

"""What is remembered of a full check: that these tables and files, by name and size, were all found good."""

import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

_NAME = ".checked.json"


def fingerprint(root: Path) -> str:
    """Return the sha256 over a folder's tables, and over name and size of every file under ``images``.

    Files are not opened, which is what makes it quick. One that is changed without a change of its size goes unnoticed
    here; what is wrong with it is then said when it is decoded.

    Raises:
        OSError: If a table or a folder cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted(root.glob("*.csv")):
        content = path.read_bytes()
        digest.update(repr((path.name, len(content))).encode() + content)
    for name, size in _files(root / "images", b""):
        digest.update(repr((name, size)).encode())
    return digest.hexdigest()


def remember(root: Path, fingerprint: str, summary: list[str]) -> Path:
    """Keep that a folder was found good, beside the data or, where they cannot be written to, in the user's cache.

    Args:
        root: Folder of the data.
        fingerprint: What :func:`fingerprint` gave before the check.
        summary: What the check told, in lines.

    Returns:
        The file that was written.

    Raises:
        OSError: If neither can be written.
    """
    content = json.dumps({"fingerprint": fingerprint, "summary": summary}, indent=1) + "\n"
    try:
        path = _written(root / _NAME, content)
    except OSError:
        return _written(_in_cache(root), content)
    _in_cache(root).unlink(missing_ok=True)
    return path


def forget(root: Path) -> None:
    """Remove what is remembered, since the data were found broken."""
    _in_cache(root).unlink(missing_ok=True)
    try:
        (root / _NAME).unlink(missing_ok=True)
    except OSError:
        # Data that cannot be written to bring a record that cannot be removed: an empty one in the cache hides it.
        _written(_in_cache(root), "{}\n")


def recall(root: Path) -> list[str] | None:
    """Return what the check told that found these tables and files good; None where none is known."""
    # The cache counts first: it is written to where the record beside the data could not be.
    for path in (_in_cache(root), root / _NAME):
        record = _read(path)
        if record is not None:
            break
    else:
        return None
    summary = record.get("summary")
    try:
        # Sizes of all files are asked for only where there is a record to compare them with.
        if "fingerprint" not in record or not isinstance(summary, list) or record["fingerprint"] != fingerprint(root):
            return None
    except OSError:
        return None
    return [str(line) for line in summary]


def is_checked(root: Path) -> bool:
    """Whether a full check found these tables and files good, by their names and sizes."""
    return recall(root) is not None


def _files(folder: Path, relative: bytes) -> list[tuple[bytes, int]]:
    """Return path and size of each file below a folder, by path; links are followed, as they are in reading."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = relative + os.fsencode(entry.name)
            if entry.is_dir():
                found += _files(Path(entry.path), name + b"/")
            else:
                found.append((name, entry.stat().st_size))
    return sorted(found)


def _in_cache(root: Path) -> Path:
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:  # a user without a home has no cache either
        base = root
    place = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]
    return base / "advscope" / "broden" / f"{place}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _written(path: Path, content: str) -> Path:
    """Write a file whole or not at all: two checks may end at once."""
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.write_text(content, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path

"""Writing a file whole or not at all."""

import os
from pathlib import Path


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file through a temporary neighbour, so that a reader never sees half of it.

    Args:
        path: File to write; its folder is made where it is missing.
        content: The whole content.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

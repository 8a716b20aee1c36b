"""Broden downloaded: the archive of a release, gone on with where it broke off, and unpacked whole or not at all."""

import http.client
import shutil
import urllib.error
import urllib.request
import uuid
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Literal

Release = Literal["224", "227", "384"]
URL = "http://netdissect.csail.mit.edu/data/broden1_{release}.zip"
"""Where NetDissect publishes its releases; they are named after the side of the images in pixels."""

Progress = Callable[[str, int, int], object]
"""Told of (what is done, how much of it, of how much); 0 where that is not known."""

_BLOCK = 2**20
_TIMEOUT = 60


def download(
    folder: str | Path, release: Release = "224", url: str | None = None, progress: Progress | None = None
) -> None:
    """Download a release and unpack it; the folder is there when all of it is, and not before.

    The archive is kept beside the folder, as ``FOLDER.zip.partial``, until it is unpacked. Where it broke off, the next
    call goes on, if the site says that it is still the same file; else from the beginning.

    Args:
        folder: Where to unpack to; must not exist, or be empty.
        release: Which one.
        url: Where else to take the archive from, as a mirror.
        progress: Told how far it is.

    Raises:
        FileExistsError: If the folder holds something.
        ValueError: If the address is none of the web, or what came is no such archive.
        OSError: If the site is not reached, the connection breaks off, or the disk is full.
    """
    folder, url = Path(folder), URL.format(release=release) if url is None else url
    _refuse_filled(folder)
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"url must begin with http:// or https://, got {url!r}; unpack an archive with --archive")
    archive = _beside(folder, ".zip.partial")
    archive.parent.mkdir(parents=True, exist_ok=True)
    _fetch(url, archive, folder, progress)
    try:
        unpack(archive, folder, progress)
    except ValueError as error:
        # What came whole and is broken nevertheless would be found again at each call.
        archive.unlink()
        raise ValueError(f"{url}: {error}; it is deleted") from error
    archive.unlink()
    _version(archive).unlink(missing_ok=True)


def unpack(archive: Path, folder: Path, progress: Progress | None = None) -> None:
    """Unpack an archive of Broden, whose files may lie in one folder inside.

    Raises:
        FileExistsError: If the folder holds something.
        ValueError: If it is no archive, is damaged, or holds no index.csv.
        OSError: If it cannot be read, or the files cannot be written.
    """
    _refuse_filled(folder)
    if not archive.is_file():
        raise FileNotFoundError(f"{archive} is missing: name the .zip file of a release")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(folder, f".{uuid.uuid4().hex}.partial")
    try:
        with zipfile.ZipFile(archive) as opened:
            top = _top(archive, opened)
            members = [member for member in opened.infolist() if not member.is_dir()]
            partial.mkdir()
            for count, member in enumerate(members, start=1):
                path = PurePosixPath(member.filename)
                if not path.is_relative_to(top):
                    continue
                if ".." in path.parts or path.is_absolute():
                    raise ValueError(f"{archive} is no archive of Broden: {member.filename} lies outside of it")
                target = partial / path.relative_to(top)
                target.parent.mkdir(parents=True, exist_ok=True)
                # Each file's checksum is compared as it is read.
                with opened.open(member) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
                if progress is not None:
                    progress("unpacking", count, len(members))
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{archive} is no whole .zip file ({reason}): download it again") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _refuse_filled(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already, and not an empty folder: name another one, or remove it")


def _beside(folder: Path, ending: str) -> Path:
    return folder.resolve().with_name(folder.resolve().name + ending)


def _version(archive: Path) -> Path:
    return archive.with_name(archive.name + ".version")


def _top(archive: Path, opened: zipfile.ZipFile) -> PurePosixPath:
    """Return the folder inside the archive that holds index.csv: its uppermost."""
    found = [PurePosixPath(name).parent for name in opened.namelist() if PurePosixPath(name).name == "index.csv"]
    if not found:
        raise ValueError(f"{archive} is no archive of Broden: it holds no index.csv")
    return min(found, key=lambda path: (len(path.parts), str(path)))


def _fetch(url: str, archive: Path, folder: Path, progress: Progress | None) -> None:
    """Write what is at an address into a file, from where the file ends if it is the same."""
    try:
        start = archive.stat().st_size if archive.exists() else 0
        version = _version(archive).read_text(encoding="utf-8") if start and _version(archive).exists() else ""
        try:
            response = _open(url, start if version else 0, version)
        except urllib.error.HTTPError as error:
            # Nothing is left to send where the file was complete already: to be told so, or to begin anew.
            if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            if error.headers.get("Content-Range", "") == f"bytes */{start}":
                return
            response = _open(url, 0, "")
        with response:
            _receive(response, archive, url, progress)
    except urllib.error.HTTPError as error:
        raise OSError(f"{url} was refused ({error.code} {error.reason}): {_otherwise(folder)}") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        reason = " ".join(str(getattr(error, "reason", error) or type(error).__name__).split())
        raise OSError(f"{url} was not reached ({reason}): {_otherwise(folder)}") from error


def _open(url: str, start: int, version: str) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "advscope"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        # The rest of another file would be worse than none: whoever changed it sends all of it.
        request.add_header("If-Range", version)
    response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)
    return response


def _receive(response: http.client.HTTPResponse, archive: Path, url: str, progress: Progress | None) -> None:
    """Write what is sent; a part of a file goes to its place, a whole one replaces what is there."""
    length = int(response.headers.get("Content-Length") or 0)
    done = 0
    if response.status == http.client.PARTIAL_CONTENT:
        stated = response.headers.get("Content-Range", "")
        done = archive.stat().st_size
        if not stated.startswith(f"bytes {done}-"):
            raise OSError(f"{url} sent {stated!r} where bytes from {done} were asked for: remove {archive}, try again")
    total = done + length if length else 0
    version = response.headers.get("ETag") or ""
    if not version or version.startswith("W/"):  # a weak tag does not promise the same bytes
        version = response.headers.get("Last-Modified") or ""
    _version(archive).write_text(version, encoding="utf-8")
    broken = False
    with archive.open("ab" if done else "wb") as file:
        while True:
            try:
                block = response.read(_BLOCK)
            except (OSError, http.client.HTTPException):
                block, broken = b"", True
            if not block:
                break
            file.write(block)
            done += len(block)
            if progress is not None:
                progress("downloading", done, total)
    if broken or (total and done != total):
        of = f" of {total:,}" if total else ""
        raise OSError(f"{url} broke off after {done:,}{of} bytes: run the same again, it goes on from there if it can")


def _otherwise(folder: Path) -> str:
    return (
        f"try again later, download the archive elsewhere and name it with --archive, or make data of your own for"
        f" {folder} (docs/broden.md)"
    )

"""The download against a web server of this machine, with a miniature archive: whole, resumed, changed, broken."""

import re
import shutil
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from datamodules import Broden
from datamodules.broden import __main__ as command_line
from datamodules.broden import download as downloading
from datamodules.broden.download import URL, download, unpack


class Site(ThreadingHTTPServer):
    """A site with one file, whose behaviour a test sets."""

    content = b""
    etag = '"1"'
    ranges = True
    length = True
    """Whether it says how long the file is."""
    breaks_after: int | None = None
    status: int | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/broden1_224.zip"


class Answer(BaseHTTPRequestHandler):
    """Answers as the site is told to behave."""

    protocol_version = "HTTP/1.1"

    server: Site

    def do_GET(self) -> None:
        site, asked = self.server, self.headers.get("Range")
        site.asked.append(asked)
        if site.status is not None:
            self.send_error(site.status)
            return
        start = 0
        if asked is not None and site.ranges and self.headers.get("If-Range", site.etag) == site.etag:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(site.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(site.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        if site.length:
            self.send_header("Content-Length", str(len(site.content) - start))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.send_header("ETag", site.etag)
        self.end_headers()
        end = len(site.content) if site.breaks_after is None else start + site.breaks_after
        if not site.length:
            self.wfile.write(f"{len(site.content) - start:x}\r\n".encode())
        self.wfile.write(site.content[start:end])
        if not site.length and site.breaks_after is None:
            self.wfile.write(b"\r\n0\r\n\r\n")
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Write nothing."""


def zipped(root: Path, top: str = "broden1_224/") -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/junk", "junk")
        for path in sorted(root.rglob("*")):
            if path.is_file():
                archive.write(path, top + path.relative_to(root).as_posix())
    return buffer.getvalue()


@pytest.fixture
def site(root: Path) -> Iterator[Site]:
    site = Site()
    site.content = zipped(root)
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    site.shutdown()
    thread.join()
    site.server_close()


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_archive_comes_and_is_unpacked(site: Site, root: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    target = tmp_path / "data" / "broden1_224"
    download(target, url=site.url, progress=lambda *step: told.append(step))

    assert files(target) == files(root)
    assert [path.name for path in target.parent.iterdir()] == ["broden1_224"]
    Broden(str(target)).setup("test")
    assert told[0] == ("downloading", len(site.content), len(site.content))
    count = len(files(root)) + 1
    assert told[-1] == ("unpacking", count, count)
    assert site.asked == [None]


def test_what_broke_off_is_gone_on_with(site: Site, root: Path, tmp_path: Path) -> None:
    target, total = tmp_path / "out", len(site.content)
    site.breaks_after = 100
    for done in (100, 200):
        with pytest.raises(OSError, match=f"broke off after {done} of {total:,} bytes: run the same again") as raised:
            download(target, url=site.url)
        assert "\n" not in str(raised.value)
        assert not target.exists()
    site.breaks_after = None
    download(target, url=site.url)
    assert files(target) == files(root)
    assert site.asked == [None, "bytes=100-", "bytes=200-"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broden", "out"]


def test_a_site_that_does_not_say_the_length_is_not_believed_when_it_breaks_off(
    site: Site, root: Path, tmp_path: Path
) -> None:
    site.length, site.breaks_after = False, 120
    with pytest.raises(OSError, match=r"broke off after \d+ bytes: run the same again"):
        download(tmp_path / "out", url=site.url)
    site.breaks_after = None
    told: list[tuple[str, int, int]] = []
    download(tmp_path / "out", url=site.url, progress=lambda *step: told.append(step))
    assert files(tmp_path / "out") == files(root)
    assert all(total == 0 for doing, _, total in told if doing == "downloading")


@pytest.mark.parametrize("change", ["file", "ranges", "tag"])
def test_where_the_rest_might_be_of_another_file_it_begins_anew(
    site: Site, root: Path, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    # Programs pass over what stands before an archive, so that the bytes must be compared.
    archives: list[bytes] = []
    monkeypatch.setattr(
        downloading, "unpack", lambda archive, *rest: (archives.append(archive.read_bytes()), unpack(archive, *rest))
    )
    if change == "tag":
        site.etag = 'W/"1"'  # which promises no equal bytes, and so no range is asked for
    site.breaks_after = 150
    with pytest.raises(OSError, match="broke off after 150"):
        download(target, url=site.url)
    site.breaks_after = None
    if change == "file":
        site.content, site.etag = zipped(root, "another/"), '"2"'
    site.ranges = change != "ranges"
    download(target, url=site.url)
    assert archives == [site.content]
    assert files(target) == files(root)
    assert site.asked[1] == (None if change == "tag" else "bytes=150-")


def test_an_archive_that_is_whole_already_is_unpacked(site: Site, root: Path, tmp_path: Path) -> None:
    (tmp_path / "out.zip.partial").write_bytes(site.content)
    (tmp_path / "out.zip.partial.version").write_text(site.etag)
    download(tmp_path / "out", url=site.url)
    assert files(tmp_path / "out") == files(root)
    assert site.asked == [f"bytes={len(site.content)}-"]
    # One that is longer than the site's is none of it.
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out.zip.partial").write_bytes(site.content + b"more")
    (tmp_path / "out.zip.partial.version").write_text(site.etag)
    download(tmp_path / "out", url=site.url)
    assert files(tmp_path / "out") == files(root)


def flipped(content: bytes) -> bytes:
    """Return an archive with one byte of a file's content changed."""
    place = content.index(b"images/a/0.png") + 40
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda root: b"<html>gone</html>", "is no whole .zip file (File is not a zip file): download it again"),
        (lambda root: zipped(root)[:-30], "is no whole .zip file"),
        (lambda root: flipped(zipped(root)), "is no whole .zip file"),
        (lambda root: zipped(root / "images"), "is no archive of Broden: it holds no index.csv"),
        (lambda root: zipped(root, "../"), "lies outside of it"),
    ],
)
def test_what_is_no_such_archive_is_refused_and_deleted(
    site: Site, root: Path, tmp_path: Path, content: Any, message: str
) -> None:
    site.content = content(root)
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        download(tmp_path / "out", url=site.url)
    assert str(raised.value).startswith(f"{site.url}: ")
    assert str(raised.value).endswith("; it is deleted")
    assert "\n" not in str(raised.value)
    assert {path.name for path in tmp_path.iterdir()} <= {"broden", "out.zip.partial.version"}


def test_a_site_that_is_not_there_or_refuses_is_named_in_one_line(site: Site, tmp_path: Path) -> None:
    site.status = 404
    with pytest.raises(SystemExit, match=r"^error: http://.*/broden1_224.zip was refused \(404 Not Found\): try again"):
        command_line.main(["download", str(tmp_path / "out"), "--url", site.url])
    with pytest.raises(
        SystemExit, match=r"^error: http://127.0.0.1:1/a.zip was not reached \(.*refused\): try"
    ) as ended:
        command_line.main(["download", str(tmp_path / "out"), "--url", "http://127.0.0.1:1/a.zip"])
    assert "download the archive elsewhere and name it with --archive" in str(ended.value)
    assert "\n" not in str(ended.value)
    with pytest.raises(ValueError, match="url must begin with http:// or https://, got 'file:///etc/passwd'"):
        download(tmp_path / "out", url="file:///etc/passwd")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(site: Site, root: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="is there already, and not an empty folder"):
        download(root, url=site.url)
    assert site.asked == []
    (tmp_path / "empty").mkdir()
    download(tmp_path / "empty", url=site.url)
    assert files(tmp_path / "empty") == files(root)


def test_releases_are_asked_for_where_netdissect_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(url: str, *_: object) -> None:
        asked.append(url)
        raise OSError("no network")

    monkeypatch.setattr(downloading, "_fetch", refuse)
    for release in ("224", "227", "384"):
        with pytest.raises(SystemExit, match="error: no network"):
            command_line.main(["download", str(tmp_path / "out"), "--release", release])
    assert asked == [f"http://netdissect.csail.mit.edu/data/broden1_{side}.zip" for side in (224, 227, 384)]
    assert asked[0] == URL.format(release="224")


@pytest.mark.parametrize("top", ["", "a/b/"])
def test_an_archive_at_hand_is_unpacked(
    root: Path, tmp_path: Path, top: str, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, target = tmp_path / "own.zip", tmp_path / "out"
    archive.write_bytes(zipped(root, top))
    command_line.main(["download", str(target), "--archive", str(archive)])
    assert {name: content for name, content in files(target).items() if "junk" not in name} == files(root)
    assert archive.exists()
    assert f"python -m datamodules.broden check {target}" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match=r"none.zip is missing: name the .zip file of a release"):
        unpack(tmp_path / "none.zip", tmp_path / "other")

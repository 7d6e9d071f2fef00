"""Bodies as files: whole or not at all, inside their folder whatever a URL says, no two rows in one file."""

from __future__ import annotations

import asyncio
import errno
import gzip
import hashlib
import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fetchall import Options, Request, Result, fetch_all
from fetchall.errors import InvalidOptions, SinkError
from fetchall.folder import Folder, Taken
from fetchall.naming import BY_DIGEST, DEFAULT, Facts, check, extension, literal, numbered, part, parts, plain

DEVICES = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(10)), *(f"lpt{n}" for n in range(10))}


def assert_plain(name: str) -> None:
    """What FAULTS rows 144 and 146 ask of every name."""
    assert name
    assert name not in (".", "..")
    assert len(name.encode()) <= 255
    assert not set(name) & set('/\\:*?"<>|\0')
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in name)
    assert name[0] not in ".-~ "
    assert name[-1] not in ". "
    assert name.split(".")[0].strip().casefold() not in DEVICES
    assert unicodedata.normalize("NFC", name) == name


HOSTILE = [
    "../../etc/passwd",
    "/etc/passwd",
    "..\\..\\windows",
    "a\0b",
    ".bashrc",
    "-rf",
    "~root",
    "CON",
    "con.txt",
    "COM\u00b9.log",
    "NUL .txt",
    "x" * 300,
    "é" * 300,
    "%2e%2e%2f",
    "\u202egnp.exe",
    "trailing.",
    "trailing. .",
    "C:\\x",
    "a:stream",
    "desktop.ini",
    "\u2028",
    "",
    ".",
    "..",
    "\ud800",
    "e\u0301",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_becomes_a_plain_name(text: str) -> None:
    assert_plain(part(text))


@given(st.text())
@example("a" * 199 + ".")
@example("x. . .")
def test_any_text_becomes_a_plain_name(text: str) -> None:
    assert_plain(part(text))


templates = st.sampled_from(
    [DEFAULT, BY_DIGEST, "{host}/{path}", "{path}", "{name}", "{query}", "{stem}.{ext}", "{input.x}/{input.y}.{ext}"]
)
pieces = st.one_of(st.text(max_size=400), st.sampled_from(HOSTILE))


@given(templates, pieces, pieces, pieces, st.integers(0, 10**9))
def test_any_url_and_column_give_a_path_of_plain_names(template: str, url: str, x: str, y: str, index: int) -> None:
    facts = Facts(index, "http://h/" + url.replace("[", "").replace("]", ""), "ab" * 32, x, {"x": x, "y": y})
    path = parts(template, facts)
    assert len("/".join(path).encode()) <= 1000
    for name in [*path, plain(facts), numbered(path[-1], index)]:
        assert_plain(name)


@given(pieces, st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_default_name_of_two_rows_is_never_the_same(url: str, one: int, other: int) -> None:
    names = {plain(Facts(index, "http://h/" + url.strip("[]"), "", "")).casefold() for index in (one, other)}
    assert len(names) == len({one, other})


def test_names_that_differ_in_case_alone_are_the_same_unless_the_index_tells_them_apart() -> None:
    upper, lower = (Facts(7, f"http://h/{path}", "", "image/png") for path in ("A/Logo.PNG", "a/logo.png"))
    assert parts("{path}", upper) == parts("{path}", lower) == ["a", "logo.png"]
    assert parts("{index}-{name}", upper) == ["7-Logo.PNG"]


def test_a_template_is_filled_from_url_list_and_answer() -> None:
    facts = Facts(7, "https://h.example:8443/a/b.tar.gz?q=1", "ab" * 32, "image/webp", {"id": "x/y", "n": 3})
    assert parts("{index:04}.{ext}", facts) == ["0007.webp"]
    assert parts("{scheme}/{host}/{port}/{path}", facts) == ["https", "h.example", "8443", "a", "b.tar.gz"]
    assert parts("{index}{stem}-{query}", facts) == ["7b.tar-q=1"]
    assert parts("{index}{input.id}{input.n}{input.none}", facts) == ["7x_y3_"]
    assert parts("{host}/{path}", Facts(0, "http://h/", "", "")) == ["h", "index"]
    assert parts("{host}/{path}", Facts(0, "http://h/a/", "", "")) == ["h", "a", "index"]


@pytest.mark.parametrize(
    ("kind", "name", "ending"),
    [
        ("image/jpeg", "x.php", "jpg"),
        ("text/html", "x", "html"),
        ("application/octet-stream", "x.tar", "tar"),
        ("", "x.JPG", "jpg"),
        ("", "x", "bin"),
        ("text/plain", "x.csv", "csv"),
        ("text/plain", "x", "txt"),
        ("what/ever", "x.sh ell", "bin"),
        ("", "v1.2", "bin"),
    ],
)
def test_the_ending_follows_the_type_and_else_the_url(kind: str, name: str, ending: str) -> None:
    assert extension(kind, name) == ending


@pytest.mark.parametrize(
    "template", ["{nope}", "{", "a}", "../{index}", "/x/{index}", "{index}/", "{host:3}", "", "{input}"]
)
def test_a_template_that_can_not_be_filled_is_refused_before_anything(template: str) -> None:
    with pytest.raises(ValueError, match=r"write|none of|width|a name in"):
        check(template)
    with pytest.raises(InvalidOptions, match="--name"):
        Options(bodies="x", name=template)


def test_a_planted_link_is_neither_followed_nor_written_through(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "file").symlink_to(outside / "precious")
    (inside / "sub").symlink_to(outside)
    folder = Folder(str(inside))
    descriptor, name = folder.begin()
    os.write(descriptor, b"new")
    os.close(descriptor)
    with pytest.raises(Taken):
        folder.link(name, ["file"])
    with pytest.raises(NotADirectoryError):
        folder.link(name, ["sub", "precious"])
    folder.replace(name, ["file"])
    folder.close()
    assert (outside / "precious").read_text() == "mine"
    assert (inside / "file").read_text() == "new"
    assert not (inside / "file").is_symlink()


def test_what_a_killed_run_left_is_removed_and_what_another_writes_is_not(tmp_path: Path) -> None:
    code = "import os, sys; from fetchall.folder import Folder; Folder(sys.argv[1]).begin(); os.kill(os.getpid(), 9)"
    root = str(Path(__file__).parents[1])
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=root, check=False)
    assert len(list(tmp_path.iterdir())) == 1
    first = Folder(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    descriptor, name = first.begin()
    Folder(str(tmp_path)).close()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    os.close(descriptor)
    first.close()


def test_a_file_system_without_links_serves_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(str(tmp_path))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    for expected in ("there", "taken"):
        descriptor, name = folder.begin()
        os.close(descriptor)
        try:
            folder.link(name, ["x"])
            assert expected == "there"
        except Taken:
            assert expected == "taken"
            folder.remove(name)
    folder.close()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


Answers = dict[str, bytes]


def answer(body: bytes, kind: str = "text/plain", status: str = "200 OK", extra: str = "", length: int = -1) -> bytes:
    size = len(body) if length < 0 else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n{extra}Connection: close\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def site(answers: Callable[[str], bytes]) -> AsyncIterator[str]:
    """A server that says what it is told, whatever the path; its base URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(answers(head.split(b" ")[1].decode()))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def listed(folder: Path) -> list[str]:
    return os.listdir(folder)


async def saved(folder: Path, answers: Callable[[str], bytes], paths: list[Any], **options: Any) -> list[Result]:
    async with site(answers) as base:
        urls = [
            Request(base + path[0], index, input=path[1]) if isinstance(path, tuple) else base + path
            for index, path in enumerate(paths)
        ]
        return await fetch_all(urls, Options(bodies=str(folder), retries=0, **options))


def echo(path: str) -> bytes:
    return answer(path.encode())


async def test_a_whole_body_is_a_file_and_the_row_names_it(tmp_path: Path) -> None:
    (row,) = await saved(tmp_path, lambda _: answer(b"<p>", "text/html; charset=utf-8"), ["/a/b.php"])
    assert row.file == "000000-127.0.0.1-b.html"
    assert row.sha256 == hashlib.sha256(b"<p>").hexdigest()
    assert files(tmp_path) == {row.file: b"<p>"}
    assert row.body is None


async def test_what_is_not_whole_or_not_ok_leaves_no_file(tmp_path: Path) -> None:
    broken = {
        "/cut": answer(b"half", length=8),
        "/gone": answer(b"not here", status="404 Not Found"),
        "/gzip": answer(gzip.compress(b"x" * 100)[:-4], extra="Content-Encoding: gzip\r\n"),
        "/large": answer(b"x" * 2000),
        "/retry": answer(b"busy", status="503 Busy"),
    }
    async with site(lambda path: broken[path]) as base:
        urls = [base + path for path in broken]
        rows = await fetch_all(urls, Options(bodies=str(tmp_path), retries=1, retry_delay=0.001, max_body=1000))
    assert [row.file for row in rows] == [None] * 5
    assert listed(tmp_path) == []


async def test_an_empty_body_is_an_empty_file(tmp_path: Path) -> None:
    (row,) = await saved(tmp_path, lambda _: answer(b""), ["/x"])
    assert files(tmp_path) == {row.file: b""}


async def test_a_head_request_has_no_body_to_save(tmp_path: Path) -> None:
    (row,) = await saved(tmp_path, lambda _: answer(b"", length=7), ["/x"], head=True)
    assert row.ok
    assert row.file is None
    assert listed(tmp_path) == []


@pytest.mark.parametrize("template", [None, "{host}/{path}", "{name}", "{query}", "{stem}.{ext}"])
async def test_hostile_urls_stay_in_the_folder(template: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "in"
    paths = [
        "/%2e%2e%2f%2e%2e%2fetc",
        "/..%5c..%5cx?../../y",
        "/.bashrc?.bashrc",
        "/-rf?-rf",
        "/CON?CON",
        "/a.?a.",
        "/" + "x" * 300 + "?" + "y" * 300,
        "/%00?%00",
        "/a/b",
        "/a",
        "/A?a",
        "//etc/passwd?//etc/passwd",
        "/con/aux/nul.txt",
    ]
    rows = await saved(folder, echo, paths, name=template)
    assert all(row.ok for row in rows)
    names = [row.file or "" for row in rows]
    assert len({name.casefold() for name in names}) == len(paths)
    found = files(folder)
    assert set(found) == set(names)
    for row in rows:
        assert row.file is not None
        assert found[row.file].decode() in row.request.url
        for name in row.file.split("/"):
            assert_plain(name)
    assert listed(tmp_path) == ["deep"]
    assert listed(tmp_path / "deep") == ["in"]


async def test_one_name_for_two_rows_gets_the_index(tmp_path: Path) -> None:
    rows = await saved(tmp_path, echo, ["/a.txt", "/b/a.txt", "/B/A.TXT"], name="{name}")
    names = {row.file for row in rows}
    assert len(names) == 3
    assert "a.txt" in names
    assert {name for name in names if name != "a.txt"} <= {f"a-{index}.txt" for index in range(3)}


async def test_a_planted_folder_link_is_gone_round(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "127.0.0.1").symlink_to(outside)
    (row,) = await saved(folder, echo, ["/x"], name="{host}/{name}")
    assert row.ok
    assert row.file == "000000-127.0.0.1-x.txt"
    assert listed(outside) == []


async def test_no_clobber_leaves_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    (row,) = await saved(tmp_path, echo, ["/x"], name="{name}", no_clobber=True)
    assert row.file == "x"
    assert files(tmp_path) == {"x": b"old"}


async def test_a_file_of_somebody_else_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    (row,) = await saved(tmp_path, echo, ["/x"], name="{name}")
    assert files(tmp_path) == {"x": b"old", "x-0": b"/x"}
    assert row.file == "x-0"


async def test_a_run_that_goes_on_saves_a_row_again_under_its_own_name(tmp_path: Path) -> None:
    for _ in range(2):
        (row,) = await saved(tmp_path, echo, ["/x"])
    assert files(tmp_path) == {row.file: b"/x"}


async def test_dedupe_bodies_stores_one_file_for_a_digest(tmp_path: Path) -> None:
    rows = await saved(tmp_path, lambda path: answer(path[:2].encode()), ["/a1", "/a2", "/b"], dedupe_bodies=True)
    digests = [hashlib.sha256(body).hexdigest() for body in (b"/a", b"/a", b"/b")]
    assert [row.file for row in rows] == [f"{digest}.txt" for digest in digests]
    assert len(files(tmp_path)) == 2


async def test_a_checksum_of_the_list_is_verified(tmp_path: Path) -> None:
    right, md5 = hashlib.sha256(b"/0").hexdigest(), hashlib.md5(b"/1").hexdigest()
    columns = [right.upper(), f"md5:{md5}", "0" * 64, "x", "", None]
    paths = [(f"/{number}", {"sum": value}) for number, value in enumerate(columns)]
    rows = await saved(tmp_path, echo, paths, checksum_column="sum")
    assert [row.error_type for row in rows] == [None, None, "write", "bad_line", None, None]
    assert right[:8] not in (rows[2].error or "")
    assert "the list says 0000" in (rows[2].error or "")
    assert [row.file is not None for row in rows] == [True, True, False, False, True, True]


async def test_a_checksum_is_verified_without_files_too() -> None:
    async with site(echo) as base:
        rows = await fetch_all([Request(base + "/x", input={"md5": "0" * 32})], checksum_column="md5")
    assert rows[0].error_type == "write"
    assert not rows[0].ok


async def test_a_body_that_can_not_be_written_is_a_write_row(tmp_path: Path) -> None:
    (tmp_path / "000000-127.0.0.1-x.txt").mkdir()
    rows = await saved(tmp_path, echo, ["/x", "/y"])
    assert [(row.error_type, row.status, row.ok) for row in rows] == [("write", 200, False), (None, 200, True)]
    assert "directory" in (rows[0].error or "")
    assert set(files(tmp_path)) == {"000001-127.0.0.1-y.txt"}


async def test_a_folder_that_can_not_be_made_ends_the_run_before_a_request(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="--bodies"):
        await saved(tmp_path / "file" / "in", echo, ["/x"])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
async def test_a_full_disk_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Folder.begin

    def full(folder: Folder) -> tuple[int, str]:
        descriptor, name = begin(folder)
        os.close(descriptor)
        return os.open("/dev/full", os.O_WRONLY), name

    monkeypatch.setattr(Folder, "begin", full)
    with pytest.raises(OSError, match="No space left") as caught:
        await saved(tmp_path, echo, ["/x", "/y"])
    assert caught.value.errno == errno.ENOSPC
    assert listed(tmp_path) == []


async def test_body_and_file_can_both_be_had(tmp_path: Path) -> None:
    (row,) = await saved(tmp_path, echo, ["/x"], body=True)
    assert row.body == b"/x"
    assert files(tmp_path) == {row.file: b"/x"}


async def test_a_large_body_is_not_held_in_memory(tmp_path: Path) -> None:
    import tracemalloc

    body = b"x" * 30_000_000
    tracemalloc.start()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\nConnection: close\r\n\r\n")
        for start in range(0, len(body), 100_000):
            writer.write(body[start : start + 100_000])
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    (row,) = await fetch_all([url], Options(bodies=str(tmp_path)))
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    server.close()
    assert row.file is not None
    assert (tmp_path / row.file).stat().st_size == 30_000_000
    assert peak < 5_000_000


async def test_the_sequential_pass_saves_nothing(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[1])
    run = ["-", "--sync", "-q", "--bodies", "b", "--name", "{name}", "-o", "a.jsonl"]
    async with site(echo) as base:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fetchall", *run,
            stdin=asyncio.subprocess.PIPE, cwd=tmp_path, env={"PYTHONPATH": root, "PATH": ""},
        )  # fmt: skip
        await process.communicate(f"{base}/x\n".encode())
    assert process.returncode == 0
    assert files(tmp_path / "b") == {"x": b"/x"}
    assert json.loads(files(tmp_path)["a.jsonl"])["file"] == "x"


def test_options_that_need_a_folder_or_exclude_each_other_say_so() -> None:
    with pytest.raises(InvalidOptions, match="go with --bodies"):
        Options(name="{index}")
    with pytest.raises(InvalidOptions, match="exclude"):
        Options(bodies="b", name="{index}", dedupe_bodies=True)


async def test_a_name_with_an_index_that_another_url_says_overwrites_nothing(tmp_path: Path) -> None:
    paths = ["/a-2.txt", "/a.txt", "/b/a.txt"]
    await saved(tmp_path, echo, paths, name="{name}", concurrency=1)
    assert files(tmp_path) == {"a-2.txt": b"/a-2.txt", "a.txt": b"/a.txt", "a-2-1.txt": b"/b/a.txt"}


@pytest.mark.parametrize(
    ("output", "name"),
    [
        ("cats/Tom.JPG", "cats/Tom.JPG"),
        ("../../up", "_/_/up"),
        ("/etc/passwd", "etc/passwd"),
        ("{index}", "{index}"),
        ("a\\b\0c", "a_b_c"),
        ("..", "_"),
    ],
)
async def test_the_list_may_name_a_file_and_it_stays_in_the_folder(output: str, name: str, tmp_path: Path) -> None:
    async with site(echo) as base:
        (row,) = await fetch_all([Request(base + "/x", output=output)], Options(bodies=str(tmp_path / "in")))
    assert row.file == name
    assert files(tmp_path) == {f"in/{name}": b"/x"}


@given(pieces)
def test_any_output_of_a_list_is_a_path_of_plain_names(text: str) -> None:
    path = literal(text)
    assert len("/".join(path).encode()) <= 1000
    for name in path:
        assert_plain(name)


async def test_names_of_the_list_never_cost_another_row_its_file(tmp_path: Path) -> None:
    """The first asks for what the second would be called, and the third for the same again."""
    second = "000001-127.0.0.1-x.txt"
    async with site(echo) as base:
        requests = [Request(f"{base}/x?{output}", output=output) for output in (second, None, second)]
        rows = await fetch_all(requests, Options(bodies=str(tmp_path), concurrency=1))
    assert [row.file for row in rows] == [second, "000001-127.0.0.1-x-1.txt", "000001-127.0.0.1-x-2.txt"]
    assert sorted(files(tmp_path)) == sorted(row.file or "" for row in rows)


async def test_the_digest_is_the_name_where_one_file_serves_all(tmp_path: Path) -> None:
    async with site(echo) as base:
        (row,) = await fetch_all([Request(base + "/x", output="mine")], bodies=str(tmp_path), dedupe_bodies=True)
    assert row.file == f"{row.sha256}.txt"


async def test_an_answer_whose_further_attempt_is_not_made_leaves_no_empty_file(tmp_path: Path) -> None:
    """It is accepted, but its body was given up for the attempt that its host's failures then forbid."""
    says = {"/busy": answer(b"busy", status="503 Busy"), "/dead": b""}
    options = {"accept": ((503, 503),), "max_host_errors": 1, "retry_delay": 1000.0, "concurrency": 1}
    async with site(lambda path: says[path]) as base:
        urls = [base + path for path in says]
        rows = await fetch_all(urls, Options(bodies=str(tmp_path), **options))  # type: ignore[arg-type]
    assert [(row.status, row.error_type, row.file) for row in rows] == [(503, None, None), (None, "disconnected", None)]
    assert listed(tmp_path) == []

"""Lists of every form through the command itself, against a server on loopback."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parent.parent


class Seen(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server(ThreadingHTTPServer):
    """Answers anything with 200 and keeps what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[Seen] = []
        self.news = threading.Semaphore(0)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def paths(self) -> list[str]:
        return sorted(each.path for each in self.seen)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65_537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(
            Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        )
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.news.release()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "fetchall", *arguments]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def fetchall(
    folder: Path, *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments), cwd=folder, input=stdin, capture_output=True, env=environment(**(env or {})), timeout=60
    )


def rows(output: bytes) -> list[dict[str, Any]]:
    return sorted(map(json.loads, output.splitlines()), key=lambda row: row["index"])


def test_a_line_of_json_says_what_is_sent_and_the_rest_is_in_its_row(server: Server, tmp_path: Path) -> None:
    (tmp_path / "list.jsonl").write_text(
        f'{{"url": "{server.url}/1", "method": "put", "headers": {{"X-A": "1"}}, "body": "text", "id": 7}}\n'
        f'{{"url": "{server.url}/2", "json": {{"a": 1}}, "output": "a.txt"}}\n'
        f'"{server.url}/3"\n'
        '{"url": 7}\n'
    )
    done = fetchall(tmp_path, "list.jsonl", "--format", "jsonl", "-c", "1", "-H", "X-A: 0")
    assert (done.returncode, len(server.seen)) == (1, 3)
    first, second, third = sorted(server.seen, key=lambda each: each.path)
    assert (first.method, first.headers["x-a"], first.body) == ("PUT", "1", b"text")
    assert (second.method, second.headers["content-type"], second.body) == ("POST", "application/json", b'{"a":1}')
    assert (second.headers["accept"], second.headers["x-a"]) == ("application/json", "0")
    assert (third.method, third.body) == ("GET", b"")
    found = rows(done.stdout)
    assert [row.get("input") for row in found] == [{"id": 7}, {"output": "a.txt"}, None, None]
    assert [row["method"] for row in found] == ["PUT", "POST", "GET", "GET"]
    assert found[3]["error"] == "line 4 of list.jsonl has a url that is no text"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "text"])
def test_the_first_request_is_sent_before_the_second_row_comes(form: str, server: Server, tmp_path: Path) -> None:
    header = {"csv": b"id,url\n", "tsv": b"id\turl\n"}.get(form, b"")
    line = {"csv": "1,{}\n", "tsv": "1\t{}\n", "jsonl": '{{"url": "{}"}}\n', "text": "{}\n"}[form]
    with subprocess.Popen(
        command("--input-format", form, "-q"),
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=environment(),
    ) as process:
        assert process.stdin is not None
        process.stdin.write(header)
        for number in range(3):
            process.stdin.write(line.format(f"{server.url}/{number}").encode())
            process.stdin.flush()
            assert server.news.acquire(timeout=30)
            assert len(server.seen) == number + 1
        process.stdin.close()
        assert process.wait(30) == 0


def test_a_list_that_breaks_off_is_fetched_up_to_there_and_exits_3(server: Server, tmp_path: Path) -> None:
    whole = gzip.compress(b"url\n" + b"".join(b"%s/%d\n" % (server.url.encode(), number) for number in range(300)), 0)
    (tmp_path / "list.csv.gz").write_bytes(whole[:-40])
    done = fetchall(tmp_path, "list.csv.gz", "--format", "jsonl", "-c", "7", "--rate", "2000/s")
    assert done.returncode == 3
    assert b"list.csv.gz is cut off: its gzip stream has no end" in done.stderr
    found = rows(done.stdout)
    assert 250 < len(found) < 300
    assert [row["index"] for row in found] == list(range(len(found)))
    assert {row["status"] for row in found} == {200}
    assert len(server.seen) == len(found)


def test_stdin_is_read_for_both_passes_of_sync(server: Server, tmp_path: Path) -> None:
    stdin = f"id,url\n1,{server.url}/a\n2,{server.url}/b\n".encode()
    done = fetchall(tmp_path, "--sync", "--input-format", "csv", "--format", "jsonl", stdin=stdin)
    assert done.returncode == 0
    assert server.paths() == ["/a", "/a", "/b", "/b"]
    assert [row["input"] for row in rows(done.stdout)] == [{"id": "1"}, {"id": "2"}]


def test_ranges_are_unrolled_from_the_command_line_where_asked_to(server: Server, tmp_path: Path) -> None:
    done = fetchall(tmp_path, "--glob", f"{server.url}/[08-10]{{a,b}}", "--format", "jsonl")
    assert done.returncode == 0
    assert [row["url"].rpartition("/")[2] for row in rows(done.stdout)] == ["08a", "08b", "09a", "09b", "10a", "10b"]
    assert server.paths() == ["/08a", "/08b", "/09a", "/09b", "/10a", "/10b"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--glob", "http://127.0.0.1/[3-1]"], 2, "--glob http://127.0.0.1/[3-1]: the range at 18 runs backwards"),
        (["--input-format", "xml", "a.csv"], 2, "'xml' is not one of"),
        (["--url-column", "nope", "a.csv"], 3, "a.csv has no column 'nope' (--url-column); it has id, link"),
        (["a.json"], 3, "a.json is no JSON array: for one value a line, say --input-format jsonl"),
        (["nosuch://x/a.csv"], 3, "nosuch"),
    ],
)
def test_what_can_not_be_read_is_said_in_one_line(
    arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("id,link\n")
    (tmp_path / "a.json").write_text("{}")
    done = fetchall(tmp_path, *arguments, "--format", "jsonl")
    assert done.returncode == code
    assert message in done.stderr.decode()
    assert (done.stdout, b"Traceback" in done.stderr) == (b"", False)


def test_the_environment_and_the_plan_read_the_list_alike(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a;site\n1;http://[::1]/[1-3]\n2;http://h/{x,y}\n")
    env = {"FETCHALL_INPUT_FORMAT": "csv", "FETCHALL_URL_COLUMN": "Site", "FETCHALL_GLOB": "1"}
    done = fetchall(tmp_path, "--plan", "--format", "json", "list", env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    found = json.loads(done.stdout)
    assert (found["rows"], found["requests"], found["errors"]) == (5, 5, {})

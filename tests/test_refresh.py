"""--refresh: only what has changed comes again, what has not is kept, and each row says which it was."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchall import Options, Request, Result, SourceError, fetch_all
from fetchall.refresh import Earlier, Kept
from fetchall.rows import Columns, dumps, fields
from fetchall.sinks.readback import READABLE, Readback
from fetchall.validators import Known, Refresh, conditions, freshened, verdict
from tests.command import environment
from tests.faults import FaultServer
from tests.faults.fresh import Page
from tests.resuming import fetchall, rows

DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
LATER = "Thu, 22 Oct 2015 07:28:00 GMT"


@pytest.fixture
def site(server: FaultServer) -> FaultServer:
    """Pages of every kind: both validators, one of them, none."""
    server.pages.update(
        both=Page(b"both", '"b1"', DATE),
        tag=Page(b'{"n": 1}', 'W/"t1"', kind="application/json"),
        date=Page(b"\x00\xff", None, DATE, kind="image/png"),
        none=Page(b"none"),
        empty=Page(b"", '"e1"'),
    )
    return server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(site: FaultServer, *names: str) -> Path:
    """A list of these pages, in this order."""
    path = Path("urls.txt")
    path.write_text("".join(site.url(f"/fresh/{name}") + "\n" for name in names))
    return path


def fetched(urls: list[str] | list[Request], options: Options | None = None, **changes: Any) -> list[Result]:
    """What the library gives."""
    return asyncio.run(fetch_all(urls, options, **changes))


def by_name(path: str | Path) -> dict[str, dict[str, Any]]:
    """The rows of an output, by the last part of their URL."""
    return {row["url"].rpartition("/")[2]: row for row in rows(Path(path))}


def verdicts(path: str | Path) -> dict[str, str | None]:
    return {name: row["refresh"] for name, row in by_name(path).items()}


def sent(site: FaultServer, name: str) -> tuple[str | None, str | None]:
    """The conditions that came with the last request for a page."""
    request = [each for each in site.seen.requests if each.path == f"/fresh/{name}"][-1]
    return request.value("if-none-match"), request.value("if-modified-since")


def known(**changes: Any) -> Known:
    fields = {"etag": None, "last_modified": None, "size": None, "sha256": None, "file": None, "body": False}
    return Known(**{"lines": "", "place": 0, "final_url": "http://h/", **fields, **changes})


def answered(status: int | None = 200, **changes: Any) -> Result:
    return Result(Request("http://h/"), "GET", "http://h/", **{"final_url": "http://h/", "status": status, **changes})


def test_the_same_command_again_asks_for_what_has_changed_alone(site: FaultServer, folder: Path) -> None:
    command = (listed(site, "both", "tag", "date", "none", "empty", "later"), "-q", "--refresh", "rows.jsonl", "-o")
    assert fetchall(*command, "rows.jsonl") == 1
    first = by_name("rows.jsonl")
    assert verdicts("rows.jsonl") == {
        "both": "new", "tag": "new", "date": "new", "none": "new", "empty": "new", "later": None,
    }  # fmt: skip
    site.pages["tag"] = Page(b'{"n": 2}', 'W/"t2"', kind="application/json")
    site.pages["later"] = Page(b"at last", '"l1"')
    del site.pages["empty"]
    assert fetchall(*command, "rows.jsonl") == 1
    second = by_name("rows.jsonl")
    assert verdicts("rows.jsonl") == {
        "both": "unchanged", "tag": "changed", "date": "unchanged", "none": "unchanged", "empty": "gone",
        "later": "new",
    }  # fmt: skip
    assert {name: row["status"] for name, row in second.items()} == {
        "both": 304, "tag": 200, "date": 304, "none": 200, "empty": 404, "later": 200,
    }  # fmt: skip
    for name in ("both", "date"):
        for key in ("size", "sha256", "content_type", "etag", "last_modified", "ok", "final_url"):
            assert second[name][key] == first[name][key], key
        assert second[name]["wire_size"] == 0
    assert sent(site, "both") == ('"b1"', DATE)
    assert sent(site, "tag") == ('W/"t1"', None)
    assert sent(site, "date") == (None, DATE)
    assert sent(site, "none") == (None, None)


def test_what_was_refreshed_can_be_refreshed_again(site: FaultServer, folder: Path) -> None:
    """A 304 need not repeat Last-Modified or the type: what is known is handed on."""
    command = (listed(site, "both"), "-q", "--body", "--headers", "--refresh", "rows.jsonl", "-o", "rows.jsonl")
    for _ in range(3):
        assert fetchall(*command) == 0
    (row,) = rows(Path("rows.jsonl"))
    assert (row["status"], row["refresh"], row["body_text"]) == (304, "unchanged", "both")
    assert row["headers"]["content-type"] == ["text/plain"]
    assert row["headers"]["content-length"] == ["4"]


@pytest.mark.parametrize("ending", READABLE)
def test_every_form_of_output_can_be_refreshed(ending: str, site: FaultServer, folder: Path) -> None:
    old = f"old{ending}"
    names = ("both", "tag", "date", "none", "empty")
    assert fetchall(listed(site, *names), "-q", "--headers", "--body", "-o", old, "-o", "whole.jsonl") == 0
    # The list has grown, shrunk and was put in another order meanwhile.
    mixed = listed(site, "missing", "date", "empty", "both", "tag")
    assert fetchall(mixed, "-q", "--headers", "--body", "--refresh", old, "-o", "new.jsonl") == 1
    whole, new = by_name("whole.jsonl"), by_name("new.jsonl")
    assert verdicts("new.jsonl") == {
        "date": "unchanged", "empty": "unchanged", "both": "unchanged", "tag": "unchanged", "missing": None,
    }  # fmt: skip
    for name in ("date", "empty", "both", "tag"):
        # Of a CSV no body is taken: what is asked for and not there is fetched.
        assert new[name]["status"] == (200 if ending == ".csv" else 304)
        for key in ("size", "sha256", "content_type", "body_json", "body_text", "body_base64"):
            assert new[name][key] == whole[name][key], (name, key)
        kept = {key: value for key, value in new[name]["headers"].items() if key in whole[name]["headers"]}
        assert kept == whole[name]["headers"]


def test_without_bodies_a_csv_is_as_good_as_any(site: FaultServer, folder: Path) -> None:
    assert fetchall(listed(site, "both", "date"), "-q", "--headers", "--sha256", "-o", "old.csv") == 0
    assert fetchall("urls.txt", "-q", "--refresh", "old.csv", "-o", "new.jsonl") == 0
    assert {row["status"] for row in rows(Path("new.jsonl"))} == {304}


@pytest.mark.parametrize(
    ("old", "words"),
    [
        ("old.har", "holds no rows that can be read back"),
        ("old.html", "holds no rows that can be read back"),
        ("old.warc.gz", "holds no rows that can be read back"),
        ("old.txt", "its ending names no form"),
        ("old.jsonl", "can't be read back"),
        ("old.json", "is not a document as fetchall writes it"),
        ("old.parquet", "can't be read back"),
        ("old.sqlite", "can't be read back"),
        ("old.jsonl.gz", "is not gzip"),
    ],
)
def test_what_cannot_be_read_back_is_said_in_one_line_before_anything_is_sent(
    old: str, words: str, site: FaultServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(old).write_text("these are no rows\n")
    assert fetchall(listed(site, "both"), "--refresh", old, "-o", "new.jsonl") == 3
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert site.seen.requests == []
    assert not list(folder.glob("new.jsonl*"))


def test_an_output_that_is_damaged_further_down_is_refused_as_well(site: FaultServer, folder: Path) -> None:
    fetchall(listed(site, "both"), "-q", "--headers", "-o", "old.jsonl")
    with open("old.jsonl", "a") as file:
        file.write('{"index": 1, "url": "http://h')
    assert fetchall("urls.txt", "-q", "--refresh", "old.jsonl", "-o", "new.jsonl") == 3
    assert len(site.seen.requests) == 1
    assert not list(folder.glob("new.jsonl*"))


@pytest.mark.parametrize("columns", [(), ("--sha256",)])
def test_without_validators_there_is_a_warning_and_the_digest_tells(
    columns: tuple[str, ...], site: FaultServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetchall(listed(site, "both"), "-q", *columns, "-o", "old.jsonl")
    assert fetchall("urls.txt", "--refresh", "old.jsonl", "-o", "new.jsonl") == 0
    assert "old.jsonl has neither ETag nor Last-Modified: all is fetched whole" in capsys.readouterr().err
    assert sent(site, "both") == (None, None)
    assert verdicts("new.jsonl") == {"both": "unchanged" if columns else "changed"}


def test_an_output_that_is_not_there_yet_makes_every_page_new(
    site: FaultServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetchall(listed(site, "both"), "--refresh", "old.jsonl", "-o", "new.jsonl") == 0
    err = capsys.readouterr().err
    assert "old.jsonl is not there: every page is new" in err
    assert "1 new" in err


def test_the_summary_counts_what_became_of_the_pages(
    site: FaultServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetchall(listed(site, "both", "tag", "none"), "-q", "--headers", "-o", "old.jsonl")
    site.pages["none"] = Page(b"other")
    assert fetchall("urls.txt", "--refresh", "old.jsonl", "-o", "new.json") == 0
    assert "Pages  2 unchanged, 1 changed" in capsys.readouterr().err
    summary = json.loads(Path("new.json").read_bytes())["summary"]
    assert summary["refresh"] == {"unchanged": 2, "changed": 1}
    assert summary["bytes"] == len(b"other")


def test_runs_without_it_have_no_further_keys(site: FaultServer, folder: Path) -> None:
    fetchall(listed(site, "both"), "-q", "-o", "old.json")
    found = json.loads(Path("old.json").read_bytes())
    assert not {"refresh", "etag", "last_modified"} & {*found["results"][0], *found["summary"]}


def test_the_validators_go_to_the_hop_that_they_came_from_and_to_no_other(site: FaultServer, folder: Path) -> None:
    site.pages["moved"] = Page(status=302, location="/fresh/both", etag='"hop"')
    fetchall(listed(site, "moved"), "-q", "--headers", "-o", "old.jsonl")
    (result,) = fetched(Path("urls.txt").read_text().split(), refresh="old.jsonl")
    assert (result.refresh, result.status, result.size, result.redirects) == (Refresh.UNCHANGED, 304, 4, 1)
    assert sent(site, "moved") == (None, None)
    assert sent(site, "both") == ('"b1"', DATE)
    site.pages["moved"] = Page(status=302, location="/fresh/none")
    (result,) = fetched(Path("urls.txt").read_text().split(), refresh="old.jsonl")
    assert sent(site, "none") == (None, None)
    assert (result.refresh, result.status) == (Refresh.CHANGED, 200)


def test_the_validators_follow_to_another_origin_where_credentials_do_not(site: FaultServer, folder: Path) -> None:
    site.pages["away"] = Page(status=302, location=site.url("/fresh/both", port="other"))
    url = site.url("/fresh/away")
    Path("urls.txt").write_text(url)
    fetchall("urls.txt", "-q", "--headers", "-o", "old.jsonl")
    (result,) = fetched([url], refresh="old.jsonl", user="me:secret", header=("X-Token: t",))
    assert result.refresh is Refresh.UNCHANGED
    last = site.seen.requests[-1]
    assert (last.value("if-none-match"), last.value("authorization"), last.value("x-token")) == ('"b1"', None, None)


@pytest.mark.parametrize("name", ["If-None-Match", "if-modified-since", "If-Match", "If-Range"])
def test_conditions_of_the_users_own_stay_alone(name: str, site: FaultServer, folder: Path) -> None:
    fetchall(listed(site, "both"), "-q", "--headers", "-o", "old.jsonl")
    url = site.url("/fresh/both")
    value = DATE if "since" in name else '"mine"'
    fetched([url], refresh="old.jsonl", header=(f"{name}: {value}",))
    fetched([Request(url, headers=((name, value),))], refresh="old.jsonl")
    for request in site.seen.requests[-2:]:
        conditional = [(key, said) for key, said in request.headers if key.lower().startswith("if-")]
        assert conditional == [(name, value)]


def test_only_the_method_that_the_row_has_is_conditional(site: FaultServer, folder: Path) -> None:
    fetchall(listed(site, "both"), "-q", "--headers", "-o", "get.jsonl")
    fetchall("urls.txt", "-q", "--headers", "--head", "-o", "head.jsonl")
    fetchall("urls.txt", "-q", "--headers", "-X", "PUT", "-o", "put.jsonl")
    url = site.url("/fresh/both")
    for old, options, etag, refresh in (
        ("get.jsonl", {}, '"b1"', Refresh.UNCHANGED),
        ("head.jsonl", {"head": True}, '"b1"', Refresh.UNCHANGED),
        ("head.jsonl", {}, None, Refresh.NEW),
        ("get.jsonl", {"head": True}, None, Refresh.NEW),
        ("put.jsonl", {"method": "PUT"}, None, Refresh.NEW),
        ("put.jsonl", {"data": ("x",)}, None, Refresh.NEW),
    ):
        (result,) = fetched([url], Options(**options), refresh=old)
        assert (sent(site, "both")[0], result.refresh) == (etag, refresh), (old, options)


def test_retries_ask_again_with_the_same_conditions(server: FaultServer, folder: Path) -> None:
    server.pages["flaky"] = Page(b"here", '"f1"')
    fetchall(listed(server, "flaky"), "-q", "--headers", "-o", "old.jsonl")
    server.pages["flaky"] = Page(b"broken", status=503)
    (result,) = fetched(Path("urls.txt").read_text().split(), refresh="old.jsonl", retries=1, retry_delay=0)
    assert [request.value("if-none-match") for request in server.seen.requests[1:]] == ['"f1"'] * 2
    assert (result.status, result.refresh, result.ok) == (503, None, False)


def test_a_page_that_is_listed_twice_with_two_validators_is_fetched_whole(site: FaultServer, folder: Path) -> None:
    fetchall(listed(site, "both", "both"), "-q", "--headers", "-o", "old.jsonl")
    url = site.url("/fresh/both")
    assert [found.status for found in fetched([url], refresh="old.jsonl")] == [304]
    text = Path("old.jsonl").read_text()
    Path("old.jsonl").write_text(text.replace("b1", "b0", 1))
    assert [found.status for found in fetched([url], refresh="old.jsonl")] == [200]
    assert sent(site, "both") == (None, None)


def test_spellings_of_one_url_are_one_page_and_accounts_are_not(site: FaultServer, folder: Path) -> None:
    url = site.url("/fresh/both").replace("http://", "http://ann:pw1@")
    Path("urls.txt").write_text(url)
    fetchall("urls.txt", "-q", "--headers", "-o", "old.jsonl")
    again = [url.replace("pw1", "pw2").replace("/fresh", "/./fresh") + "#top", url.replace("ann", "bob")]
    assert [found.status for found in fetched(again, refresh="old.jsonl")] == [304, 200]


def test_duplicates_share_what_is_unchanged(site: FaultServer, folder: Path) -> None:
    fetchall(listed(site, "both"), "-q", "--headers", "--body", "-o", "old.jsonl")
    url = site.url("/fresh/both")
    first, second = fetched([url, url + "#again"], refresh="old.jsonl", dedupe=True, body=True)
    assert (first.refresh, second.refresh, second.duplicate_of) == (Refresh.UNCHANGED, Refresh.UNCHANGED, 0)
    assert (first.body, second.body, second.size) == (b"both", b"both", 4)
    assert len(site.seen.requests) == 2


def test_what_is_unchanged_is_ok_whatever_statuses_are_accepted(site: FaultServer, folder: Path) -> None:
    fetchall(listed(site, "both"), "-q", "--headers", "-o", "old.jsonl")
    (result,) = fetched([site.url("/fresh/both")], refresh="old.jsonl", accept=((200, 299),))
    assert result.ok


def test_both_passes_of_a_comparison_ask_alike(site: FaultServer, folder: Path) -> None:
    fetchall(listed(site, "both", "tag"), "-q", "--headers", "-o", "old.jsonl")
    assert fetchall("urls.txt", "-q", "--sync", "--refresh", "old.jsonl", "-o", "new.jsonl") == 0
    assert [request.value("if-none-match") is not None for request in site.seen.requests] == [False] * 2 + [True] * 4


def test_files_of_unchanged_pages_stay_and_new_ones_take_no_name_of_theirs(site: FaultServer, folder: Path) -> None:
    site.pages.update({"a/p": Page(b"a1", '"a1"'), "b/p": Page(b"b1", '"b1"'), "c/p": Page(b"c1", '"c1"')})
    command = ("-q", "--bodies", "pages", "--refresh", "rows.jsonl", "-o", "rows.jsonl")
    fetchall(listed(site, "a/p", "b/p"), *command)
    first = {row["url"][-3:]: row["file"] for row in rows(Path("rows.jsonl"))}
    assert first == {"a/p": "000000-127.0.0.1-p.txt", "b/p": "000001-127.0.0.1-p.txt"}
    # Every index is another page's now, and the default name holds the index.
    fetchall(listed(site, "c/p", "a/p", "b/p"), *command)
    second = {row["url"][-3:]: row for row in rows(Path("rows.jsonl"))}
    assert {name: row["refresh"] for name, row in second.items()} == {
        "a/p": "unchanged",
        "b/p": "unchanged",
        "c/p": "new",
    }
    assert {name: second[name]["file"] for name in first} == first
    for name, row in second.items():
        assert (folder / "pages" / row["file"]).read_bytes() == name[:1].encode() + b"1"


def test_a_changed_page_takes_the_place_of_its_own_file(site: FaultServer, folder: Path) -> None:
    command = (listed(site, "both", "tag"), "-q", "--bodies", "site", "--name", "{path}", "--refresh", "rows.jsonl")
    fetchall(*command, "-o", "rows.jsonl")
    site.pages["both"] = Page(b"both, once more", '"b2"')
    fetchall(*command, "-o", "rows.jsonl")
    assert (folder / "site" / "fresh" / "both").read_bytes() == b"both, once more"
    assert len(list((folder / "site" / "fresh").iterdir())) == 2


@pytest.mark.parametrize("harm", ["gone", "cut", "link", "elsewhere"])
def test_a_page_whose_file_is_not_there_is_fetched_whole(harm: str, site: FaultServer, folder: Path) -> None:
    command = (listed(site, "both"), "-q", "--bodies", "pages", "--refresh", "rows.jsonl", "-o", "rows.jsonl")
    fetchall(*command)
    (row,) = rows(Path("rows.jsonl"))
    file = folder / "pages" / row["file"]
    if harm == "elsewhere":
        Path("rows.jsonl").write_text(json.dumps({**row, "file": f"../{file.parent.name}/{file.name}"}) + "\n")
    else:
        file.rename(folder / "moved")
        if harm == "cut":
            file.write_bytes(b"bo")
        elif harm == "link":
            os.symlink(folder / "moved", file)
    fetchall(*command)
    (row,) = rows(Path("rows.jsonl"))
    assert (row["status"], row["refresh"]) == (200, "unchanged")
    assert (folder / "pages" / row["file"]).read_bytes() == b"both"
    assert not (folder / "pages" / row["file"]).is_symlink()


def test_what_is_asked_for_and_was_not_kept_is_fetched_whole(site: FaultServer, folder: Path) -> None:
    fetchall(listed(site, "both"), "-q", "--headers", "-o", "old.jsonl")
    for more, status in (((), 304), (("--sha256",), 200), (("--body",), 200), (("--bodies", "pages"), 200)):
        assert fetchall("urls.txt", "-q", *more, "--refresh", "old.jsonl", "-o", "new.jsonl") == 0
        (row,) = rows(Path("new.jsonl"))
        assert (row["status"], row["refresh"]) == (status, "unchanged"), more


def test_a_checksum_of_the_list_is_asked_of_what_is_kept_too(site: FaultServer, folder: Path) -> None:
    fetchall(listed(site, "both"), "-q", "--headers", "--sha256", "-o", "old.jsonl")
    (old,) = rows(Path("old.jsonl"))
    for digest, status, error in ((old["sha256"], 304, None), ("0" * 64, 200, "write")):
        Path("urls.csv").write_text(f"url,sum\n{old['url']},{digest}\n")
        fetchall("urls.csv", "-q", "--checksum-column", "sum", "--refresh", "old.jsonl", "-o", "new.jsonl")
        (row,) = rows(Path("new.jsonl"))
        assert (row["status"], row["error_type"]) == (status, error)


@pytest.mark.parametrize("digest", ["0" * 64, "0" * 32])
def test_a_file_that_comes_again_as_it_was_is_still_not_what_the_list_says(
    site: FaultServer, folder: Path, digest: str
) -> None:
    saving = ("-q", "--sha256", "--headers", "--bodies", "pages")
    fetchall(listed(site, "both"), *saving, "-o", "old.jsonl")
    (old,) = rows(Path("old.jsonl"))
    Path("urls.csv").write_text(f"url,sum\n{old['url']},{digest}\n")
    assert fetchall("urls.csv", *saving, "--checksum-column", "sum", "--refresh", "old.jsonl", "-o", "new.jsonl") == 1
    (row,) = rows(Path("new.jsonl"))
    assert (row["ok"], row["error_type"], row["file"], row["refresh"]) == (False, "write", None, None)
    assert Path("pages", old["file"]).read_bytes() == b"both", "the file of the old row is nobody's to remove"


def test_an_error_with_the_bytes_of_an_old_file_names_no_file(site: FaultServer, folder: Path) -> None:
    saving = ("-q", "--retries", "0", "--sha256", "--headers", "--bodies", "pages")
    fetchall(listed(site, "both"), *saving, "-o", "old.jsonl")
    site.pages["both"].status = 500
    assert fetchall("urls.txt", *saving, "--refresh", "old.jsonl", "-o", "new.jsonl") == 1
    (row,) = rows(Path("new.jsonl"))
    assert (row["status"], row["ok"], row["file"]) == (500, False, None)
    assert len(list(Path("pages").rglob("*both*"))) == 1


def test_a_run_that_was_stopped_goes_on_and_an_old_output_that_changed_is_refused(
    site: FaultServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"page{number}" for number in range(30)]
    site.pages.update({name: Page(name.encode(), f'"{name}"') for name in names})
    command = (listed(site, *names), "-q", "--refresh", "rows.jsonl", "-o", "rows.jsonl", "-c", "1")
    assert fetchall(*command) == 0
    assert fetchall(*command, "--rate", "20", "--max-run-time", "0.3") == 5
    done = len(rows(Path("rows.jsonl.part")))
    assert 0 < done < 30
    whole = Path("rows.jsonl").read_bytes()
    Path("rows.jsonl").write_bytes(whole.replace(b"page29", b"page92"))
    assert fetchall(*command, "--resume") == 4
    assert "--refresh changed" in capsys.readouterr().err
    Path("rows.jsonl").write_bytes(whole)
    asked = len(site.seen.requests)
    assert fetchall(*command, "--resume") == 0
    assert len(site.seen.requests) - asked == 30 - done
    assert list(verdicts("rows.jsonl").values()) == ["unchanged"] * 30


def test_resume_does_not_take_what_is_to_be_refreshed_for_what_is_done(site: FaultServer, folder: Path) -> None:
    command = (listed(site, "both"), "-q", "--resume", "--refresh", "rows.jsonl", "-o", "rows.jsonl")
    assert [fetchall(*command) for _ in range(2)] == [0, 0]
    assert len(site.seen.requests) == 2
    assert verdicts("rows.jsonl") == {"both": "unchanged"}


@pytest.mark.parametrize("line", [b'{"index":0,"url":"x","final_url":"y"}\n', b"these are no rows\n"])
def test_an_output_that_is_rewritten_under_the_run_ends_it(line: bytes, site: FaultServer, folder: Path) -> None:
    fetchall(listed(site, "both"), "-q", "--headers", "-o", "old.jsonl")
    options = Options(refresh="old.jsonl")
    earlier = Earlier(options)
    (request,) = earlier.attach([Request(site.url("/fresh/both"))])
    with open("old.jsonl", "r+b") as file:
        file.write(line)
    confirmed = answered(304, refresh=Refresh.UNCHANGED)
    kept = Kept(options)
    with pytest.raises(SourceError, match="changed while it was in use"):
        kept.settle(Result(**{**_fields(confirmed), "request": request}))
    kept.close()
    earlier.close()


@pytest.mark.parametrize("old", ["old.jsonl", "old.sqlite"])
def test_what_is_known_travels_to_another_process(old: str, site: FaultServer, folder: Path) -> None:
    """Results may be made elsewhere than where the list is read: the row is found by its path and place."""
    fetchall(listed(site, "both"), "-q", "--headers", "--body", "-o", old)
    options = Options(refresh=old, body=True)
    earlier = Earlier(options)
    (request,) = pickle.loads(pickle.dumps(earlier.attach([Request(site.url("/fresh/both"))])))
    there = (
        "import pickle, sys; from fetchall.refresh import Kept; options, result = pickle.load(sys.stdin.buffer);"
        "sys.stdout.buffer.write(Kept(options).settle(result).body)"
    )
    confirmed = Result(**{**_fields(answered(304, refresh=Refresh.UNCHANGED)), "request": request})
    done = subprocess.run(
        [sys.executable, "-c", there], input=pickle.dumps((options, confirmed)), capture_output=True, check=True,
        env=environment(),
    )  # fmt: skip
    earlier.close()
    assert done.stdout == b"both"


ODD = [None, [], {}, 7, True, "", "x", {"etag": "x"}, {"etag": ['"b1"'], "x": [1]}, [1], 1e300]


KEYS = (
    "method", "url", "final_url", "status", "ok", "size", "content_type", "headers", "sha256", "file", "etag",
    "last_modified", "body_text", "body_base64", "body_json",
)  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_rows_that_were_in_other_hands_end_no_run(key: str, site: FaultServer, folder: Path) -> None:
    url = site.url("/fresh/both")
    row = {"index": 0, "url": url, "final_url": url, "method": "GET", "status": 200, "ok": True, "size": 4}
    more = {"headers": {"etag": ['"b1"'], "content-type": ["text/plain"]}, "body_text": "both"}
    for odd in ODD:
        Path("old.jsonl").write_text(json.dumps({**row, **more, key: odd}) + "\n")
        for body in (False, True):
            (result,) = fetched([url], refresh="old.jsonl", headers=True, body=body)
            assert result.status in (200, 304), odd
            assert dumps(fields(result, Columns(headers=True, body=True, refresh=True)))


def _fields(result: Result) -> dict[str, Any]:
    return {name: getattr(result, name) for name in result.__slots__}


@pytest.mark.parametrize(
    ("etag", "date", "expected"),
    [
        ('"a"', DATE, [("If-None-Match", '"a"'), ("If-Modified-Since", DATE)]),
        ('W/"a"', None, [("If-None-Match", 'W/"a"')]),
        (None, DATE, [("If-Modified-Since", DATE)]),
        ("*", None, []),
        ("a", None, []),
        ('"a", "b"', None, []),
        ('"a\r\nX: y"', None, []),
        ('"é"', None, []),
        (None, "yesterday", []),
        (None, "2015-10-21T07:28:00Z", []),
        (None, f"{DATE}\r\nX: y", []),
    ],
)
def test_only_what_is_a_validator_by_the_grammar_is_sent(
    etag: str | None, date: str | None, expected: list[tuple[str, str]]
) -> None:
    assert list(conditions(known(etag=etag, last_modified=date))) == expected


@given(st.text(), st.text())
def test_no_text_of_an_old_row_gets_out_of_its_header(etag: str, date: str) -> None:
    for _, value in conditions(known(etag=etag, last_modified=date)):
        assert value.isascii()
        assert value.isprintable()
        assert value != "*"


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (None, answered(), Refresh.NEW),
        (None, answered(404), None),
        (None, answered(500), None),
        (known(), answered(404), Refresh.GONE),
        (known(), answered(410), Refresh.GONE),
        (known(), answered(403), None),
        (known(), answered(None), None),
        (known(), answered(200, error_type="truncated"), None),
        (known(), answered(), Refresh.CHANGED),
        (known(sha256="a"), answered(sha256="a"), Refresh.UNCHANGED),
        (known(sha256="a", etag='"1"'), answered(sha256="b", etag='"1"'), Refresh.CHANGED),
        (known(etag='"1"'), answered(sha256="b", etag='W/"1"'), Refresh.UNCHANGED),
        (known(etag='"1"', last_modified=DATE), answered(last_modified=DATE), Refresh.CHANGED),
        (known(last_modified=DATE), answered(last_modified=DATE), Refresh.UNCHANGED),
        (known(last_modified=DATE), answered(last_modified=LATER), Refresh.CHANGED),
        (known(etag='"1"'), answered(etag='"1"', final_url="http://h/other"), Refresh.CHANGED),
        (known(sha256="a"), answered(sha256="a", final_url="http://h/other"), Refresh.UNCHANGED),
    ],
)
def test_the_verdict_is_the_digests_and_else_the_validators(
    before: Known | None, now: Result, expected: Refresh | None
) -> None:
    assert verdict(before, now) is expected


def test_headers_that_a_304_confirms_are_replaced_by_its_own_but_for_those_of_the_body() -> None:
    old = {"content-type": ["a/b"], "content-length": ["4"], "etag": ['"1"'], "age": ["7"], "x": ["old"]}
    new = {"content-type": ["c/d"], "content-length": ["0"], "connection": ["close"], "etag": ['W/"1"'], "x": ["new"]}
    assert freshened(old, new) == {**old, "etag": ['W/"1"'], "x": ["new"]}


def test_memory_does_not_follow_the_old_output(folder: Path) -> None:
    """50,000 rows, looked up at random: the index is on disk, and 16 MiB of it are SQLite's at most."""
    row = {"method": "GET", "status": 200, "ok": True, "size": 4, "headers": {"etag": ['"e"']}}
    with open("old.jsonl", "w") as file:
        for number in range(50_000):
            url = f"http://h/{number}"
            file.write(json.dumps({"index": number, "url": url, "final_url": url, **row}) + "\n")
    earlier = Earlier(Options(refresh="old.jsonl"))
    tracemalloc.start()
    earlier.attach([])
    chosen = random.Random(1).sample(range(50_000), 500)
    for number in chosen:
        (request,) = earlier.attach([Request(f"http://h/{number}")])
        assert request.known is not None
        assert request.known.etag == '"e"'
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    earlier.close()
    assert peak < 3_000_000


def test_rows_are_read_back_from_where_they_stand(folder: Path) -> None:
    Path("old.jsonl").write_bytes(b'{"url":"a"}\n\n{"url":"b"}\r\n{"url":"c"}')
    output = Readback("old.jsonl")
    found = list(output.rows())
    assert [fields["url"] for _, fields in found] == ["a", "b", "c"]
    assert [output.row(place) for place, _ in found] == [fields for _, fields in found]
    output.close()

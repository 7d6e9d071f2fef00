"""The command: sources, options and their precedence, outputs, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fetchall.cli import command
from tests.command import COMMAND, Done, environment, run, start, stop, until
from tests.faults import FaultServer

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


def listed(folder: Path, *urls: str, name: str = "urls.txt") -> str:
    (folder / name).write_text("".join(f"{url}\n" for url in urls))
    return name


def document(done: Done) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.out)
    return found


def rows(done: Done) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.out.splitlines()]


def usage(*arguments: str, **environ: str) -> str:
    """What is said of a command line that can't be meant."""
    found = CliRunner().invoke(command, list(arguments), env=environ)
    assert found.exit_code == 2, found.output
    return found.output


# Sources


def test_the_main_job(server: FaultServer, tmp_path: Path) -> None:
    name = listed(tmp_path, "# a list", server.url("/bytes/5"), "", server.url("/delay/0.1"), server.url("/bytes/7"))
    done = run(name, "--concurrency", "20", folder=tmp_path)
    found = document(done)
    assert done.code == 0
    assert [(row["index"], row["status"], row["size"]) for row in found["results"]] == [
        (0, 200, 5),
        (1, 200, 4),
        (2, 200, 7),
    ]
    assert found["summary"]["urls"] == found["summary"]["ok"] == 3
    assert found["timing"]["async"]["concurrency"] == 20
    assert "3 ok" in done.err


def test_a_row_for_each_line_whatever_it_is_and_exit_1(server: FaultServer, tmp_path: Path) -> None:
    lines = [
        server.url("/", port="refused"),
        "ftp://127.0.0.1/",
        "http://127.0.0.1:99999/",
        server.url("/status/404"),
        server.url("/bytes/1"),
    ]
    (tmp_path / "list").write_bytes("\n".join(lines).encode() + b"\nhttp://\xff/\n" + b"x" * 70_000)
    done = run("list", "--retries", "0", folder=tmp_path)
    assert done.code == 1
    found = document(done)["results"]
    assert [row["error_type"] for row in found] == [
        "connect_refused", "unsupported_scheme", "invalid_url", None, None, "bad_line", "bad_line",
    ]  # fmt: skip
    assert [row["ok"] for row in found] == [False, False, False, False, True, False, False]
    assert found[5]["error"] == "line 6 of list is not UTF-8 text"


def test_urls_files_and_stdin_are_one_list(server: FaultServer, tmp_path: Path) -> None:
    name = listed(tmp_path, server.url("/bytes/1"))
    done = run(name, server.url("/bytes/2"), "-", folder=tmp_path, stdin=server.url("/bytes/3").encode())
    assert [row["size"] for row in document(done)["results"]] == [1, 2, 3]


def test_stdin_is_the_list_where_no_other_is_named(server: FaultServer, tmp_path: Path) -> None:
    done = run(folder=tmp_path, stdin=f"\ufeff{server.url('/bytes/1')}\r\n{server.url('/bytes/2')}".encode())
    assert [row["size"] for row in document(done)["results"]] == [1, 2]


def test_the_first_request_leaves_before_stdins_second_line(server: FaultServer, tmp_path: Path) -> None:
    process = start("--format", "jsonl", folder=tmp_path)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(server.url("/bytes/1").encode() + b"\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["size"] == 1
    out, _ = process.communicate(server.url("/bytes/2").encode(), timeout=60)
    assert json.loads(out)["size"] == 2
    assert process.returncode == 0


@pytest.mark.parametrize("content", [b"", b"\n \n", b"# nothing\n"])
def test_a_list_of_nothing_is_a_valid_document_and_exit_0(content: bytes, tmp_path: Path) -> None:
    done = run(folder=tmp_path, stdin=content)
    found = document(done)
    assert (done.code, found["results"], found["summary"]["urls"]) == (0, [], 0)
    assert "No URLs" in done.err


def test_a_list_that_is_not_there_is_exit_3_and_touches_no_output(tmp_path: Path) -> None:
    done = run("missing.txt", "-o", "out.jsonl", folder=tmp_path)
    assert (done.code, done.out) == (3, b"")
    assert done.err == "fetchall: missing.txt: no such file; a URL begins with http:// or https://\n"
    assert list(tmp_path.iterdir()) == []


def test_utf_16_is_exit_3_without_a_request(server: FaultServer, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(server.url("/bytes/1").encode("utf-16"))
    done = run("list", "-o", "out.jsonl", folder=tmp_path)
    assert done.code == 3
    assert "looks like UTF-16" in done.err
    assert server.seen.requests == []


def test_a_list_that_is_the_output_is_exit_2_and_stays_as_it_is(tmp_path: Path) -> None:
    listed(tmp_path, "http://127.0.0.1/", name="rows.jsonl")
    done = run("rows.jsonl", "-o", "rows.jsonl", folder=tmp_path)
    assert done.code == 2
    assert "both the list and an output" in done.err
    assert (tmp_path / "rows.jsonl").read_text() == "http://127.0.0.1/\n"


def test_twenty_thousand_lines_through_a_pipe_are_twenty_thousand_rows(tmp_path: Path) -> None:
    # Lines that are no URLs need no server: what is tried here is the pipe.
    stdin = b"".join(b"http://127.0.0.1:99999/%d\n" % number for number in range(20_000))
    done = run("--format", "jsonl", folder=tmp_path, stdin=stdin)
    assert sorted(row["index"] for row in rows(done)) == list(range(20_000))
    assert done.code == 1


# Options, the environment, the file


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--concurrency", "0"], "out of range: from 1 to 65535"),
        (["--concurrency", "many"], "'many' is not a whole number"),
        (["--max-body", "big"], "write bytes, or 10k, 5M, 1G"),
        (["--timeout", "-1"], "not a number of seconds"),
        (["--accept", "2xx"], "write 200-299,404"),
        (["--fail-on", "some"], "'any', 'error', 'never'"),
        (["--no-such-option"], "No such option"),
        (["--key", "k.pem"], "--key needs --cert"),
        (["-4", "-6"], "exclude each other"),
        (["-d", "a", "--json", "{}"], "exclude each other"),
        (["-H", "@missing"], "missing: No such file"),
        (["--config", "missing.toml"], "missing.toml: No such file"),
        (["--demo"], "brings its own list"),
    ],
)
def test_what_can_not_be_meant_is_exit_2_and_says_what_would_do(arguments: list[str], message: str) -> None:
    assert message in usage("http://127.0.0.1/", *arguments)


@pytest.mark.parametrize("option", ["--profile", "--har", "--warc", "--no-such"])
def test_an_option_of_what_is_not_there_yet_does_not_parse(option: str) -> None:
    assert "No such option" in usage("http://127.0.0.1/", option, "x")


@pytest.mark.parametrize("header", ["A\n: b", "A: b\r\nC: d", "A b: c", "A", ": b"])
def test_a_header_that_can_not_be_sent_is_exit_2_before_any_request(
    header: str, server: FaultServer, tmp_path: Path
) -> None:
    done = run(server.url("/bytes/1"), "-H", header, "-o", "o.jsonl", folder=tmp_path)
    assert done.code == 2, done.err
    assert server.seen.requests == []
    assert list(tmp_path.iterdir()) == []


def test_headers_that_come_from_stdin_are_checked_as_well_and_leave_its_number_taken(
    server: FaultServer, tmp_path: Path
) -> None:
    assert run(server.url("/bytes/1"), "-H", "@-", folder=tmp_path, stdin=b"A: b\0").code == 2
    assert server.seen.requests == []
    assert run(server.url("/echo"), "-H", "@-", folder=tmp_path, stdin=b"X-A: 1\n").code == 0
    assert server.seen.requests[0].value("x-a") == "1"


def test_the_flag_wins_over_the_environment_which_wins_over_the_file(server: FaultServer, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('user-agent = "file"\nmethod = "PUT"\n'.replace("method", "request"))

    def asked(*arguments: str, **environ: str) -> tuple[str, str | None]:
        run(server.url("/echo"), *arguments, folder=tmp_path, env=environment(**environ))
        request = server.seen.requests[-1]
        return request.method, request.value("user-agent")

    assert asked("--config", "c.toml") == ("PUT", "file")
    assert asked(FETCHALL_CONFIG="c.toml", FETCHALL_USER_AGENT="env") == ("PUT", "env")
    assert asked("-A", "flag", FETCHALL_CONFIG="c.toml", FETCHALL_USER_AGENT="env") == ("PUT", "flag")


def test_a_key_of_the_file_that_is_no_option_is_exit_2(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("concurency = 5\n")
    assert "no option 'concurency'" in usage("http://127.0.0.1/", "--config", str(tmp_path / "c.toml"))
    (tmp_path / "c.toml").write_text("concurrency = \n")
    assert "is not TOML" in usage("http://127.0.0.1/", "--config", str(tmp_path / "c.toml"))


def test_repeatable_options_are_lists_in_the_file_and_lines_in_the_environment(
    server: FaultServer, tmp_path: Path
) -> None:
    (tmp_path / "c.toml").write_text('header = ["X-A: 1", "X-B: two words"]\n')
    run(server.url("/echo"), "--config", "c.toml", folder=tmp_path)
    run(server.url("/echo"), folder=tmp_path, env=environment(FETCHALL_HEADER="X-A: 1\nX-B: two words\n"))
    for request in server.seen.requests:
        assert (request.value("x-a"), request.value("x-b")) == ("1", "two words")


def test_headers_may_come_from_a_file_and_take_one_of_fetchalls_own_away(server: FaultServer, tmp_path: Path) -> None:
    (tmp_path / "h.txt").write_text("# mine\nX-A: 1\n\nAccept:\n")
    run(server.url("/echo"), "-H", "@h.txt", "-H", "X-B: 2", folder=tmp_path)
    (request,) = server.seen.requests
    assert (request.value("x-a"), request.value("x-b"), request.value("accept")) == ("1", "2", None)


@pytest.mark.parametrize("way", ["environment", "file"])
def test_insecure_is_for_the_command_line_alone(way: str, server: FaultServer, tmp_path: Path) -> None:
    url = server.url("/bytes/1", port="tls-self-signed")
    arguments: list[str] = []
    env = environment(FETCHALL_INSECURE="1")
    if way == "file":
        (tmp_path / "c.toml").write_text("insecure = true\n")
        arguments, env = ["--config", "c.toml"], environment()
    done = run(url, *arguments, folder=tmp_path, env=env)
    assert document(done)["results"][0]["error_type"] == "tls_certificate"
    assert "is for the command line alone" in done.err
    done = run(url, "-k", folder=tmp_path)
    assert done.code == 0
    assert done.err.count("certificates are not verified") == 1


def test_post_data_and_json_and_head(server: FaultServer, tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_text("b=2\n")
    run(server.url("/echo"), "-d", "a=1", "-d", "@d.txt", folder=tmp_path)
    run(server.url("/echo"), "--json", '{"a": 1}', folder=tmp_path)
    run(server.url("/echo"), "-I", folder=tmp_path)
    form, as_json, head = server.seen.requests
    assert (form.method, form.body, form.value("content-type")) == (
        "POST", b"a=1&b=2", "application/x-www-form-urlencoded",
    )  # fmt: skip
    assert (as_json.body, as_json.value("content-type"), as_json.value("accept")) == (
        b'{"a": 1}', "application/json", "application/json",
    )  # fmt: skip
    assert head.method == "HEAD"


def test_accept_says_which_statuses_are_ok(server: FaultServer, tmp_path: Path) -> None:
    done = run(server.url("/status/404"), server.url("/bytes/1"), "--accept", "404", folder=tmp_path)
    assert [row["ok"] for row in document(done)["results"]] == [True, False]


@pytest.mark.parametrize(
    ("fail_on", "path", "code"),
    [
        ("any", "/status/404", 1),
        ("any", "/truncated", 1),
        ("any", "/bytes/1", 0),
        ("error", "/status/404", 0),
        ("error", "/truncated", 1),
        ("never", "/truncated", 0),
    ],
)
def test_fail_on_says_which_rows_make_the_exit_code(
    fail_on: str, path: str, code: int, server: FaultServer, tmp_path: Path
) -> None:
    assert run(server.url(path), "--fail-on", fail_on, "--retries", "0", folder=tmp_path).code == code


# Rows


def test_what_was_asked_for_is_in_the_row(server: FaultServer, tmp_path: Path) -> None:
    url = server.url("/redirect-chain/2")
    done = run(url, "--headers", "--timings", "--sha256", "--body", folder=tmp_path)
    (row,) = document(done)["results"]
    assert row["redirects"] == 2
    assert [hop["status"] for hop in row["history"]] == [302, 302]
    assert row["headers"]["content-length"] == [str(row["size"])]
    assert row["timings"]["wait"] > 0
    assert row["tries"][0]["status"] == 200
    assert len(row["sha256"]) == 64
    assert row["body_text"] is not None


def test_redirects_are_not_followed_where_not_wanted(server: FaultServer, tmp_path: Path) -> None:
    (row,) = document(run(server.url("/redirect-chain/2"), "--no-location", folder=tmp_path))["results"]
    assert (row["status"], row["redirects"]) == (302, 0)


def test_header_values_that_are_no_text_break_no_json(server: FaultServer, tmp_path: Path) -> None:
    urls = [server.url(f"/badheader?kind={kind}") for kind in ("latin1", "invalidutf8", "utf8", "esc")]
    done = run(*urls, "--headers", "--format", "jsonl", folder=tmp_path)
    assert len(rows(done)) == 4
    assert b"\x1b" not in done.out


def test_no_secret_is_shown(server: FaultServer, tmp_path: Path) -> None:
    url = server.url("/echo").replace("http://", "http://me:hunter2@")
    bad = "http://me:hunter2@127.0.0.1:99999/"
    done = run(url, bad, "-v", "-H", "X-Api-Key: hunter2", "--headers", folder=tmp_path)
    assert b"hunter2" not in done.out
    assert "hunter2" not in done.err
    assert document(done)["results"][0]["url"] == server.url("/echo").replace("http://", "http://me:***@")
    assert server.seen.requests[0].value("authorization") is not None


# Outputs


def test_jsonl_comes_as_rows_finish_and_in_input_order_where_asked(server: FaultServer, tmp_path: Path) -> None:
    urls = [server.url("/delay/0.2"), server.url("/bytes/1"), server.url("/bytes/2")]
    assert rows(run(*urls, "--format", "jsonl", folder=tmp_path))[-1]["index"] == 0
    ordered = rows(run(*urls, "--format", "jsonl", "--ordered", folder=tmp_path))
    assert [row["index"] for row in ordered] == [0, 1, 2]


def test_outputs_are_written_side_by_side_and_stdout_stays_empty(server: FaultServer, tmp_path: Path) -> None:
    url = server.url("/bytes/1")
    done = run(url, "-o", "a.json", "-o", "b.jsonl", "--summary", "s.json", folder=tmp_path)
    assert (done.code, done.out) == (0, b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.jsonl", "s.json"]
    whole = json.loads((tmp_path / "a.json").read_text())
    assert whole["results"] == [json.loads((tmp_path / "b.jsonl").read_text())]
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary == {"summary": whole["summary"], "timing": whole["timing"]}
    assert "written to a.json\nwritten to b.jsonl\n" in done.err


def test_a_dash_is_stdout_beside_a_file(server: FaultServer, tmp_path: Path) -> None:
    done = run(server.url("/bytes/1"), "-o", "-", "-o", "b.jsonl", folder=tmp_path)
    assert document(done)["summary"]["urls"] == 1
    assert (tmp_path / "b.jsonl").exists()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("no/such/out.jsonl", "no such file or directory"),
        ("folder.jsonl", "is a folder"),
        ("out.txt", "its ending names no form"),
        ("old.jsonl", "--overwrite throws it away"),
    ],
)
def test_an_output_that_can_not_be_written_is_exit_3_before_any_request(
    output: str, message: str, server: FaultServer, tmp_path: Path
) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "old.jsonl.part").write_text("half")
    done = run(server.url("/bytes/1"), "-o", output, folder=tmp_path)
    assert done.code in (3, 4), done.err
    assert message in done.err
    assert server.seen.requests == []
    assert (tmp_path / "old.jsonl.part").read_text() == "half"


@pytest.mark.parametrize(("path", "message"), [("no/such/s.json", "there is no folder no/such"), (".", "is a folder")])
def test_a_summary_that_can_not_be_written_is_exit_3_before_any_request(
    path: str, message: str, server: FaultServer, tmp_path: Path
) -> None:
    done = run(server.url("/bytes/1"), "--summary", path, folder=tmp_path)
    assert done.code == 3
    assert message in done.err
    assert server.seen.requests == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no disk that is always full")
def test_a_full_disk_is_exit_3_and_says_so(server: FaultServer, tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, server.url("/bytes/1")], stdout=full, stderr=subprocess.PIPE, cwd=tmp_path, env=environment(),
            stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip
    assert done.returncode == 3
    assert b"no space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("form", ["json", "jsonl", "lines"])
def test_a_reader_that_leaves_is_exit_141_with_an_empty_stderr(form: str, server: FaultServer, tmp_path: Path) -> None:
    name = listed(tmp_path, *[f"http://127.0.0.1:99999/{number}" for number in range(20_000)])
    process = start(name, "--format", form, folder=tmp_path)
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdin.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 141
    assert said == b""


def test_bytes_out_are_the_same_in_any_locale(server: FaultServer, tmp_path: Path) -> None:
    line = "http://b\u00fccher.example:99999/\u00e9\n".encode()
    plain = run("--format", "lines", "-q", folder=tmp_path, stdin=line)
    odd = run(
        "--format", "lines", "-q", folder=tmp_path, stdin=line,
        env=environment(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
    )  # fmt: skip
    assert plain == odd
    assert "bücher" in plain.out.decode()


def test_a_closed_stderr_ends_no_run(server: FaultServer, tmp_path: Path) -> None:
    script = f'"{COMMAND[0]}" -m fetchall "{server.url("/bytes/1")}" 2>&-'
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["summary"]["ok"] == 1


def test_stdout_that_is_closed_is_exit_3(server: FaultServer, tmp_path: Path) -> None:
    script = f'"{COMMAND[0]}" -m fetchall "{server.url("/bytes/1")}" >&-'
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    )
    assert done.returncode == 3
    assert b"stdout is closed" in done.stderr


# Ends


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_leaves_a_valid_document_and_its_own_exit_code(
    number: signal.Signals, code: int, server: FaultServer, tmp_path: Path
) -> None:
    name = listed(tmp_path, *[server.url("/delay/0.02")] * 5000)
    process = start(name, "-o", "out.json", "-o", "out.jsonl", "-c", "4", folder=tmp_path)
    until(lambda: len(server.seen.requests) > 20)
    done = stop(process, number)
    assert done.code == code, done.err
    found = json.loads((tmp_path / "out.json.part").read_text())
    assert found["summary"]["interrupted"] is True
    assert 16 <= len(found["results"]) == found["summary"]["urls"] < 5000
    lines = (tmp_path / "out.jsonl.part").read_text().splitlines()
    assert sorted(json.loads(line)["index"] for line in lines) == [row["index"] for row in found["results"]]
    assert not (tmp_path / "out.json").exists()
    assert "Traceback" not in done.err


def test_a_signal_in_a_pipe_leaves_a_valid_document(server: FaultServer, tmp_path: Path) -> None:
    process = start(*[server.url("/delay/0.02")] * 500, "-c", "2", folder=tmp_path)
    until(lambda: len(server.seen.requests) > 5)
    done = stop(process, signal.SIGINT)
    assert done.code == 130
    assert document(done)["summary"]["interrupted"] is True


def test_a_second_signal_ends_at_once_and_what_was_written_stays_whole_lines(
    server: FaultServer, tmp_path: Path
) -> None:
    name = listed(tmp_path, *[server.url("/bytes/1")] * 20, *[server.url("/never")] * 5)
    process = start(name, "-o", "out.jsonl", "-c", "5", folder=tmp_path)
    until(lambda: len(server.seen.to("/never")) >= 5)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while b"stopping" not in process.stderr.readline():
        pass
    began = time.monotonic()
    done = stop(process, signal.SIGINT)
    assert done.code == 130
    assert time.monotonic() - began < 2.5
    lines = (tmp_path / "out.jsonl.part").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 20


def test_a_signal_while_the_rest_of_the_list_has_not_come_ends_the_run(server: FaultServer, tmp_path: Path) -> None:
    process = start("--format", "jsonl", folder=tmp_path)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{server.url('/bytes/1')}\n".encode())
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["size"] == 1
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert process.stdout.read() == b""
    process.communicate()


def test_ctrl_c_before_the_run_has_begun_is_130_without_a_word(tmp_path: Path) -> None:
    # A list for two passes is read whole first.
    process = subprocess.Popen(
        [COMMAND[0], "-X", "importtime", "-m", "fetchall", "--sync"],
        cwd=tmp_path, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.rstrip().endswith(b"fetchall.program"):
            break
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    out, err = process.communicate()
    assert out == b""
    assert b"Abort" not in err
    assert b"Traceback" not in err


def test_a_process_that_is_killed_leaves_the_rows_that_it_wrote(server: FaultServer, tmp_path: Path) -> None:
    name = listed(tmp_path, *[server.url("/bytes/1")] * 50, server.url("/never"))
    process = start(name, "-o", "out.jsonl", "-c", "5", folder=tmp_path)
    until(lambda: (tmp_path / "out.jsonl.part").exists() and b"\n" in (tmp_path / "out.jsonl.part").read_bytes())
    until(lambda: (tmp_path / "out.jsonl.part").read_bytes().count(b"\n") == 50)
    done = stop(process, signal.SIGKILL)
    assert done.code == -signal.SIGKILL
    assert len([json.loads(line) for line in (tmp_path / "out.jsonl.part").read_bytes().splitlines()]) == 50


def test_the_longest_run_time_is_exit_5_and_what_was_not_begun_has_no_row(server: FaultServer, tmp_path: Path) -> None:
    name = listed(tmp_path, *[server.url("/delay/0.05")] * 1000)
    done = run(name, "--max-run-time", "0.5", "-c", "2", "-o", "out.json", folder=tmp_path)
    assert done.code == 5
    found = json.loads((tmp_path / "out.json.part").read_text())
    assert 0 < len(found["results"]) < 200
    assert found["summary"]["interrupted"] is True


def test_a_bug_outside_a_single_fetch_is_exit_70_with_what_was_finished(server: FaultServer, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom fetchall import cli, report\nadd = report.Report.add\n"
        "def broken(self, results):\n    add(self, results)\n    raise RuntimeError('a bug of ours')\n"
        "report.Report.add = broken\ncli.main()\n"
    )
    done = subprocess.run(
        [COMMAND[0], "-c", code, server.url("/bytes/1"), server.url("/delay/2"), "-o", "out.json"],
        cwd=tmp_path, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 70
    assert "this is a bug in fetchall" in done.stderr
    assert "a bug of ours" in done.stderr
    assert len(json.loads((tmp_path / "out.json.part").read_text())["results"]) == 1


# The timing


def test_without_sync_nothing_is_claimed(server: FaultServer, tmp_path: Path) -> None:
    done = run(*[server.url("/delay/0.05")] * 10, folder=tmp_path)
    timing = document(done)["timing"]
    assert timing["sync"]["measured"] is False
    assert timing["speedup"] is None
    assert timing["sync"]["elapsed"] >= 0.5
    assert "at most" in done.err
    assert "faster" not in done.err


def test_sync_fetches_the_list_one_at_a_time_first_also_from_stdin(server: FaultServer, tmp_path: Path) -> None:
    stdin = f"{server.url('/delay/0.1')}\n".encode() * 40
    done = run("--sync", "-c", "20", folder=tmp_path, stdin=stdin)
    found = document(done)
    assert done.code == 0
    assert len(found["results"]) == 40
    assert len(server.seen.requests) == 80
    timing = found["timing"]
    assert timing["sync"]["measured"] is True
    assert timing["sync"]["elapsed"] >= 4.0
    assert timing["speedup"] >= 8
    assert timing["speedup"] == pytest.approx(timing["sync"]["elapsed"] / timing["async"]["elapsed"], rel=1e-3)
    assert server.seen.max_in_flight[""] == 20
    assert "one at a time" in done.err
    assert "faster" in done.err


def test_sync_warns_that_what_changes_things_is_sent_twice(server: FaultServer, tmp_path: Path) -> None:
    done = run(server.url("/echo"), "--sync", "-d", "x", folder=tmp_path)
    assert "--sync sends every POST twice" in done.err
    assert len(server.seen.requests) == 2


# The practice site


def test_the_demo_behaves_like_any_other_run(tmp_path: Path) -> None:
    done = run("--demo", "-o", "out.json", "--summary", "-", "--retry-delay", "0.05", folder=tmp_path, stdin=b"http://")
    assert done.code == 1
    found = json.loads((tmp_path / "out.json").read_text())
    assert 95 <= len(found["results"]) <= 110
    assert found["summary"]["failed"] == 7
    assert json.loads(done.out)["summary"] == found["summary"]


def test_the_demo_needs_no_proxy_and_two_of_them_are_two_sites(tmp_path: Path) -> None:
    env = environment(http_proxy="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9")
    first = start("--demo", "-q", folder=tmp_path, env=env)
    second = start("--demo", "-q", folder=tmp_path, env=env)
    for process in (first, second):
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1, err
        assert json.loads(out)["summary"]["failed"] == 7


# Manners


def test_quiet_is_quiet(server: FaultServer, tmp_path: Path) -> None:
    assert run(server.url("/status/404"), "-q", folder=tmp_path).err == ""


def test_there_is_no_bar_where_stderr_is_no_terminal(server: FaultServer, tmp_path: Path) -> None:
    done = run(server.url("/delay/0.3"), "--progress", folder=tmp_path)
    assert "\r" not in done.err
    assert "\x1b" not in done.err


def test_a_limit_on_open_files_lowers_the_concurrency_with_one_warning(server: FaultServer, tmp_path: Path) -> None:
    script = f'ulimit -n 64; exec "{COMMAND[0]}" -m fetchall - -c 1000 --format jsonl'
    stdin = "\n".join([server.url("/delay/0.02")] * 200).encode()
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment(), input=stdin, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 200
    assert done.stderr.count(b"concurrency lowered to") == 1

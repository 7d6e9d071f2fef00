"""`--cluster` on real Dask clusters on loopback: every row once, whatever happens to a worker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.dask_cluster import Cluster, local_cluster, running
from fetchall.engines.manifest import MANIFEST
from tests import command
from tests.command import Done, environment, run, start, stop, until
from tests.resuming import Site, contents, fetchall

pytestmark = [
    pytest.mark.xdist_group("cluster"),
    # To import it takes a second, in every process that collects the tests.
    pytest.mark.skipif(find_spec("distributed") is None, reason="the extra dask is not installed"),
]

PATIENCE = 60.0
"""Seconds for what a busy machine takes its time for: each of these processes loads a second's worth of modules."""


class Slow(Site):
    """What is under /slow has no answer until `open` is set; so it is asked for again."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()

    def answer(self, path: bytes) -> bytes | None:
        if path.startswith(b"/slow") and not self.open.is_set():
            return None
        return super().answer(path)


@pytest.fixture
def site() -> Iterator[Slow]:
    with Slow() as opened:
        yield opened


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("dask") / "cluster") as opened:
        yield opened


def indices(out: Path) -> list[int]:
    """The index of every row, in order."""
    found = [json.loads(line)["index"] for path in out.glob("shard-*.jsonl") for line in path.read_bytes().splitlines()]
    return sorted(found)


def finished(out: Path) -> int:
    return len(list(out.glob("shard-*.jsonl.shard"))) if out.exists() else 0


def whole(out: Path, count: int) -> None:
    """Every row is there once, and every shard has its note."""
    assert indices(out) == list(range(count))
    assert finished(out) == json.loads((out / MANIFEST).read_bytes())["shards"] == len(list(out.glob("*.jsonl")))
    assert not [name for name in contents(out) if name.startswith(".") or name == "stop"]


@contextmanager
def under_way(*arguments: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command, which ends with the block at the latest."""
    with start(*arguments, folder=folder) as process:
        try:
            yield process
        finally:
            process.kill()


def words(cluster: Cluster, out: Path, *more: object) -> list[str]:
    patience = ("--timeout", "1", "--retries", "20", "--retry-delay", "0.1")
    return ["urls.txt", "--cluster", str(cluster.file), "-o", f"{out}/", *patience, *map(str, more)]


def test_a_local_clusters_processes_fetch_every_url_once(site: Slow, tmp_path: Path) -> None:
    site.write(tmp_path / "urls.txt", *(f"/{number}" for number in range(3000)))
    with local_cluster(2) as address:
        more = ("--summary", "sum.json", "--headers")
        done = run("urls.txt", "--cluster", address, "-o", "out/", *more, folder=tmp_path)
    assert (done.code, done.out) == (0, b""), done.err
    assert "3,000 ok" in done.err
    assert "written to out/" in done.err
    whole(tmp_path / "out", 3000)
    assert set(site.counts.values()) == {1}
    summary = json.loads((tmp_path / "sum.json").read_bytes())["summary"]
    assert (summary["urls"], summary["status"], summary["interrupted"]) == (3000, {"200": 3000}, False)
    joined = run("--merge", "out", "-o", "all.json", "-q", folder=tmp_path)
    assert joined.code == 0, joined.err
    document = json.loads((tmp_path / "all.json").read_bytes())
    assert [row["index"] for row in document["results"]] == list(range(3000))
    assert document["summary"]["latency"] == summary["latency"]
    assert "headers" in document["results"][0]


def test_a_run_waits_for_workers(site: Slow, tmp_path: Path) -> None:
    site.write(tmp_path / "urls.txt", "/1")
    out = tmp_path / "out"
    with running(tmp_path / "dask") as cluster, under_way(*words(cluster, out), folder=tmp_path) as process:
        assert process.stderr is not None
        assert b"no worker yet: waiting for one" in process.stderr.readline()
        cluster.ensure(1)
        _, err = process.communicate(timeout=command.LONGEST)
    assert process.returncode == 0, err
    whole(out, 1)


def test_a_run_survives_a_worker_that_is_killed(cluster: Cluster, site: Slow, tmp_path: Path) -> None:
    # The cut follows from the workers that there are when the list is read: they come first.
    first = cluster.ensure(2)[0]
    removed = cluster.said().count("Remove worker")
    site.write(tmp_path / "urls.txt", *(f"/{number}" for number in range(500)), *(f"/slow/{n}" for n in range(1500)))
    out = tmp_path / "out"
    # There is one site, so shards are pieces of the list in its order: the first ends, and every other one hangs.
    with under_way(*words(cluster, out, "--no-progress"), folder=tmp_path) as process:
        until(lambda: finished(out) == 1 and len(list(out.glob(".shard-*.part"))) == 2, PATIENCE)
        kept = indices(out)
        first.send_signal(signal.SIGKILL)
        first.wait()
        until(lambda: cluster.said().count("Remove worker") > removed, PATIENCE)
        site.open.set()
        _, err = process.communicate(timeout=command.LONGEST)
    assert process.returncode == 0, err
    whole(out, 2000)
    assert b"2,000 ok" in err
    assert kept
    assert {site.counts[f"/{index}"] for index in kept} == {1}


def test_a_run_that_is_stopped_keeps_its_shards_and_goes_on(cluster: Cluster, site: Slow, tmp_path: Path) -> None:
    cluster.ensure(2)
    site.write(tmp_path / "urls.txt", *(f"/{number}" for number in range(1500)), *(f"/slow/{n}" for n in range(500)))
    out = tmp_path / "out"
    with under_way(*words(cluster, out), folder=tmp_path) as process:
        until(lambda: any(path.startswith("/slow") for path in site.counts) and finished(out) > 2, PATIENCE)
        done = stop(process, signal.SIGINT)
    assert done.code == 130, done.err
    assert "--resume goes on" in done.err
    kept = indices(out)
    assert 0 < len(kept) < 2000
    site.open.set()
    again = run(*words(cluster, out, "--resume"), folder=tmp_path)
    assert again.code == 0, again.err
    whole(out, 2000)
    assert {site.counts[f"/{index}"] for index in kept if index < 1500} == {1}


def test_the_time_of_a_run_ends_it_with_5(cluster: Cluster, site: Slow, tmp_path: Path) -> None:
    cluster.ensure(1)
    site.write(tmp_path / "urls.txt", "/1", "/slow/1")
    done = run(*words(cluster, tmp_path / "out", "--max-run-time", "0.5"), folder=tmp_path)
    assert done.code == 5, done.err
    site.open.set()
    assert run(*words(cluster, tmp_path / "out", "--resume"), folder=tmp_path).code == 0
    whole(tmp_path / "out", 2)


def test_secrets_travel_to_the_workers_and_nowhere_else(cluster: Cluster, site: Slow, tmp_path: Path) -> None:
    cluster.ensure(1)
    (tmp_path / "urls.txt").write_text(site.url("/1", user="me:hunter2@") + "\n")
    secrets = ("-H", "X-Api-Key: hunter2", "-b", "s=hunter2", "-v")
    done = run(*words(cluster, tmp_path / "out", *secrets), folder=tmp_path)
    assert done.code == 0, done.err
    # What can't be written makes a worker complain, with all that it was told.
    (tmp_path / "here").write_text("")
    failing = run(*words(cluster, tmp_path / "other", *secrets, "--bodies", "here/bodies"), folder=tmp_path)
    assert failing.code == 3
    assert "Compute Failed" in cluster.said()
    for name, data in contents(tmp_path / "out").items():
        assert b"hunter2" not in data, name
    assert "hunter2" not in cluster.said() + done.err + failing.err


def test_what_fails_at_a_worker_is_one_line(cluster: Cluster, site: Slow, tmp_path: Path) -> None:
    cluster.ensure(1)
    site.write(tmp_path / "urls.txt", "/1")
    (tmp_path / "here").write_text("")
    done = run(*words(cluster, tmp_path / "out", "--bodies", "here/bodies"), folder=tmp_path)
    assert done.code == 3
    assert [line for line in done.err.splitlines() if line.startswith("fetchall:")] == done.err.splitlines()
    assert "here/bodies" in done.err


def test_another_list_in_the_same_folder_is_refused(cluster: Cluster, site: Slow, tmp_path: Path) -> None:
    cluster.ensure(1)
    site.write(tmp_path / "urls.txt", "/1")
    assert run(*words(cluster, tmp_path / "out"), folder=tmp_path).code == 0
    before = contents(tmp_path / "out")
    refused = run(*words(cluster, tmp_path / "out"), folder=tmp_path)
    assert (refused.code, refused.err.count("\n")) == (3, 1)
    site.write(tmp_path / "urls.txt", "/2")
    refused = run(*words(cluster, tmp_path / "out", "--resume"), folder=tmp_path)
    assert (refused.code, refused.err.count("\n")) == (4, 1)
    assert contents(tmp_path / "out") == before


def test_a_scheduler_that_goes_away_ends_the_run_in_one_line(site: Slow, tmp_path: Path) -> None:
    site.write(tmp_path / "urls.txt", "/1", "/slow/1")
    with running(tmp_path / "dask") as cluster:
        cluster.ensure(1)
        with under_way(*words(cluster, tmp_path / "out", "-q"), folder=tmp_path) as process:
            until(lambda: site.counts["/slow/1"] > 0, PATIENCE)
            cluster.scheduler.kill()
            _, err = process.communicate(timeout=command.LONGEST)
    assert process.returncode == 3, err
    assert err.count(b"\n") == 1, err
    assert b"--resume goes on" in err


def test_a_scheduler_that_stands_still_ends_the_run_in_one_line(site: Slow, tmp_path: Path) -> None:
    site.write(tmp_path / "urls.txt", "/1", "/slow/1")
    with running(tmp_path / "dask") as cluster:
        cluster.ensure(1)
        code = (
            "import sys; from fetchall.engines import cluster; cluster._SILENT = cluster._CONNECT = 1\n"
            "from fetchall.cli import main\n"
            f"sys.argv[1:] = {[*words(cluster, tmp_path / 'out', '-q')]}; main()"
        )
        command_line = [sys.executable, "-c", code]
        with subprocess.Popen(command_line, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE) as process:
            try:
                until(lambda: site.counts["/slow/1"] > 0, PATIENCE)
                cluster.scheduler.send_signal(signal.SIGSTOP)
                _, err = process.communicate(timeout=command.LONGEST)
            finally:
                process.kill()
    assert process.returncode == 3, err
    assert err.count(b"\n") == 1, err
    assert b"--resume goes on" in err


def test_where_no_scheduler_answers_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text("http://127.0.0.1:9/\n")
    code = (
        "import sys; from fetchall.engines import cluster; cluster._CONNECT = 0.3\n"
        "from fetchall.cli import main\n"
        "sys.argv[1:] = ['urls.txt', '--cluster', 'tcp://127.0.0.1:9', '-o', 'out/']; main()"
    )
    done = python(code, tmp_path)
    assert (done.code, done.err) == (3, "fetchall: --cluster tcp://127.0.0.1:9: no Dask scheduler answers there\n")
    assert not (tmp_path / "out").exists()


def test_without_dask_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text("http://127.0.0.1:9/\n")
    code = (
        "import sys; sys.modules['distributed'] = None; from fetchall.cli import main\n"
        "sys.argv[1:] = ['urls.txt', '--cluster', 'tcp://127.0.0.1:9', '-o', 'out/']; main()"
    )
    done = python(code, tmp_path)
    assert (done.code, done.err) == (
        2, "fetchall: --cluster needs the extra 'dask': pip install 'fetchall[dask]'\n",
    )  # fmt: skip


def python(code: str, folder: Path) -> Done:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(), capture_output=True, text=True, timeout=60
    )
    return Done(done.returncode, done.stdout.encode(), done.stderr)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "--cluster needs one folder"),
        (["-o", "-"], "--cluster needs one folder"),
        (["-o", "a/", "-o", "b/"], "--cluster needs one folder"),
        (["-o", "a.jsonl"], "names a file"),
        (["-o", "a/", "--sync"], "exclude each other"),
        (["-o", "a/", "--shard", "1/2"], "exclude each other"),
        (["-o", "a/", "--ordered"], "exclude each other"),
        (["-o", "a/", "--cookie-jar", "jar"], "a worker is one process of its own"),
        (["-o", "a/", "--format", "json"], "exclude each other"),
    ],
)
def test_what_a_cluster_can_not_do_is_exit_2_before_one_is_asked(
    more: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fetchall("http://127.0.0.1:9/", "--cluster", "tcp://127.0.0.1:9", *more) == 2
    assert message in capfd.readouterr().err
    assert not list(tmp_path.iterdir())

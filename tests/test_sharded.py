"""A list in shards on any executor: cut alike everywhere, each shard whole or not there, limits held in sum."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchall import InvalidOptions, Options, Request, SinkError, Summary, fetch_sharded, places
from fetchall.dealing import site_of
from fetchall.engines import sharded, worker
from fetchall.engines import store as store_module
from fetchall.engines.manifest import MANIFEST, STOP
from fetchall.engines.merge import finished, lines
from fetchall.engines.sharded import Sharded
from fetchall.engines.shards import MOST_LANES, MOST_ROWS, Spool, lanes_for, requests_of, rows_for
from fetchall.engines.store import LocalStore, store_of, write
from fetchall.engines.worker import Job, fetch_shard
from fetchall.errors import ResumeError
from fetchall.sinks.outlet import Outlet, write_all
from tests.resuming import Site, contents, fetchall, rows
from tests.shelf import SECRET, Shelf

# They share processes' start and a server: one after the other they take less time than side by side.
pytestmark = pytest.mark.xdist_group("sharded")


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as opened:
        yield opened


class Inline(Executor):
    """
    Does the work in threads, `at_once` shards at most, and keeps the jobs to look at; `during` comes before each.

    `apart`: two shards of one site at the same time are an error.
    """

    def __init__(self, at_once: int = 1, during: Callable[[Job], None] | None = None, *, apart: bool = False) -> None:
        self.jobs: list[Job] = []
        self._working: set[str] = set()
        self._guard = threading.Lock()
        self._during = during
        self._apart = apart
        self._pool = ThreadPoolExecutor(at_once)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        (job,) = args
        return self._pool.submit(self._work, fn, job)

    def _work(self, fn: Callable[[Job], Any], job: Job) -> Any:
        hosts = {site_of(request.url) for request in requests_of(job.blocks)}
        with self._guard:
            self.jobs.append(job)
            assert not (self._apart and self._working & hosts), "two workers at one host"
            self._working |= hosts
        try:
            if self._during is not None:
                self._during(job)
            return fn(job)
        finally:
            with self._guard:
                self._working -= hosts

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def fetch(urls: list[str], folder: object, executor: Executor, **more: Any) -> Summary:
    with executor:
        return asyncio.run(fetch_sharded(urls, str(folder), executor, **{"workers": 2, "retries": 0, **more}))


def indices(folder: object) -> list[int]:
    """The index of every row of every finished shard."""
    store = store_of(str(folder))
    return sorted(json.loads(line)["index"] for note in finished(store, partial=False) for line in lines(store, note))


def urls_of(site: Site, count: int) -> list[str]:
    return [site.url(f"/{number}") for number in range(count)]


requests = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=300).map(
    lambda found: [
        Request(
            f"http://{host}.example/{path}", index, body=b"x" * path or None, input={"n": path} if path > 1 else None
        )
        for index, (host, path) in enumerate(found)
    ]
)


@given(requests, st.integers(1, 20), st.integers(0, 200))
def test_every_request_is_in_one_shard_and_every_site_in_one_lane(whole: list[Request], lanes: int, rows: int) -> None:
    spool = Spool(lanes)
    try:
        spool.read([whole[:100], whole[100:]])
        pieces = spool.pieces(rows)
        assert [piece.number for piece in pieces] == list(range(1, len(pieces) + 1))
        found = [(piece, request) for piece in pieces for request in requests_of(spool.blocks(piece))]
        assert sorted((request for _, request in found), key=lambda request: request.index) == whole
        lane_of: dict[str, int] = {}
        for piece, request in found:
            assert lane_of.setdefault(request.url.split("/")[2], piece.lane) == piece.lane
        if not rows:
            assert len(pieces) == len({piece.lane for piece in pieces})
    finally:
        spool.close()


def test_a_shard_is_bounded_in_rows_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    from fetchall.engines import shards

    monkeypatch.setattr(shards, "MOST_BYTES", 100_000)
    spool = Spool(1)
    bodies = [
        Request("http://a.example/", index, body=bytes([index % 256]) * 7 + pickle.dumps(index)) for index in range(9)
    ]
    spool.read([[Request(f"http://a.example/{index}", index) for index in range(1000)], bodies])
    pieces = spool.pieces(200)
    assert max(spool.rows(piece) for piece in pieces) <= 200 + 64
    assert sum(spool.rows(piece) for piece in pieces) == 1009
    assert all(sum(map(len, spool.blocks(piece))) <= 100_000 for piece in pieces)
    spool.close()
    assert (lanes_for(1), lanes_for(10**6)) == (16, MOST_LANES)
    assert (rows_for(0, 4), rows_for(100, 4), rows_for(10**9, 4)) == (1, 7, MOST_ROWS)


def test_a_list_is_cut_into_as_many_shards_as_workers_want() -> None:
    spool = Spool(1)
    spool.read([[Request(f"http://a.example/{index}", index) for index in range(2000)]])
    assert [len(spool.pieces(rows_for(2000, workers))) for workers in (1, 2, 4)] == [4, 8, 16]
    spool.close()


def test_a_long_list_has_shards_for_workers_that_come_later() -> None:
    assert [rows_for(total, 1) for total in (2_000, 10_000, 64_000, 640_000, 6_400_000)] == [
        500, 1_000, 1_000, 10_000, MOST_ROWS,
    ]  # fmt: skip


def test_a_run_that_was_cut_otherwise_is_not_gone_on_with(site: Site, tmp_path: Path) -> None:
    urls, out = urls_of(site, 1000), tmp_path / "out"
    fetch(urls, out, Inline())
    written = (out / MANIFEST).read_text()
    manifest = json.loads(written)
    for size, shards in ((500, manifest["shards"]), (500, 2), (0, 1)):
        changed = {**manifest, "cut": [manifest["cut"][0], size], "shards": shards}
        (out / MANIFEST).write_text(json.dumps(changed))
        before = contents(out)
        with pytest.raises(ResumeError):
            fetch(urls, out, Inline(), resume=True)
        assert contents(out) == before
    (out / MANIFEST).write_text(json.dumps({**manifest, "cut": [manifest["cut"][0], 500]}))
    with pytest.raises(ResumeError, match="cut otherwise: finish it where it began, or --overwrite"):
        fetch(urls, out, Inline(), resume=True)
    (out / MANIFEST).write_text(written)
    assert fetch(urls, out, Inline(), resume=True).urls == 1000


def test_a_worker_whose_folder_is_another_is_told_so(site: Site, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()

    def not_mounted(job: Job) -> None:
        object.__setattr__(job, "folder", str(tmp_path / "elsewhere"))

    with pytest.raises(SinkError, match="elsewhere of a worker is not the run's: -o is a folder that all machines sha"):
        fetch(urls_of(site, 3), tmp_path / "out", Inline(during=not_mounted))
    assert not site.counts
    assert not contents(tmp_path / "elsewhere")


def test_a_finished_shard_that_is_given_out_again_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    jobs: list[Job] = []
    fetch(urls_of(site, 3), tmp_path / "out", Inline(during=jobs.append))
    before = contents(tmp_path / "out")
    found = [fetch_shard(job) for job in jobs]
    assert [note and note.shard for note in found] == [job.shard for job in jobs]
    assert contents(tmp_path / "out") == before
    assert set(site.counts.values()) == {1}


class _Nobody(Executor):
    """Takes work, and has nobody to do it."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []
        self.then: Callable[[], object] = lambda: None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.futures.append(Future())
        asyncio.get_running_loop().call_soon(self.then)
        return self.futures[-1]


def test_a_run_that_is_stopped_does_not_wait_for_workers_that_are_gone(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharded, "_LOOK", 0.01)
    executor = _Nobody()

    async def stopped() -> bool:
        run = Sharded(str(tmp_path / "out"), executor, Options(), lambda: 1)
        try:
            await run.prepare(iter([[Request(site.url("/1"), 0)]]), resume=False, overwrite=False)
            executor.then = run.stop
            await asyncio.wait_for(run.go(), 30)
            return run.complete
        finally:
            run.close()

    assert asyncio.run(stopped()) is False
    assert all(future.cancelled() for future in executor.futures)
    assert len(executor.futures) == 1
    assert fetch([site.url("/1")], tmp_path / "out", Inline(), resume=True).ok == 1


class _During(LocalStore):
    """Something happens as soon as a shard is begun there."""

    def __init__(self, name: str, during: Callable[[], object]) -> None:
        super().__init__(name)
        self._during = during

    def outlet(self, name: str) -> Outlet:
        with ThreadPoolExecutor(1) as apart:  # a loop runs here
            apart.submit(self._during).result()
        return super().outlet(name)


@pytest.mark.parametrize("begun", [False, True])
def test_what_is_left_of_an_earlier_run_writes_into_no_later_one(
    begun: bool, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    jobs: list[Job] = []
    fetch([site.url("/old")], out, Inline(during=jobs.append))
    (earlier,) = jobs

    def overwritten() -> None:
        monkeypatch.undo()
        fetch([site.url("/new")], out, Inline(), overwrite=True)

    if begun:
        # As if its worker had been thought dead while it waits for this answer.
        next(out.glob("*.shard")).unlink()
        store = _During(str(out), overwritten)
        monkeypatch.setattr(worker, "store_of", lambda name: store)
        assert fetch_shard(earlier) is None
    else:
        overwritten()
        assert fetch_shard(earlier) is None
    (rows_there,) = out.glob("*.jsonl")
    assert [row["url"] for row in rows(rows_there)] == [site.url("/new")]
    assert indices(out) == [0]
    assert not list(out.glob(".*.part"))


@pytest.mark.parametrize("shard", [[0, 1], [2, 1], [-1, 1], ["x", 1], [1]])
def test_a_note_that_can_not_be_is_damaged(shard: list[Any], site: Site, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fetch(urls_of(site, 1), out, Inline())
    (path,) = out.glob("*.shard")
    note = json.loads(path.read_bytes())
    changes: list[dict[str, Any]] = [{"shard": shard}, {"tally": {}}, {"tally": []}]
    for change in changes:
        path.write_text(json.dumps({**note, **change}))
        with pytest.raises(ResumeError, match=f"{path.name} is damaged"):
            fetch(urls_of(site, 1), out, Inline(), resume=True)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder behind `shelf://`."""
    fsspec.register_implementation("shelf", Shelf, clobber=True)
    monkeypatch.setenv("SHELF", str(tmp_path / "shelf"))
    (tmp_path / "shelf").mkdir()
    return tmp_path / "shelf"


@pytest.mark.parametrize("step", ["info", "put", "mv"])
def test_no_message_about_a_remote_folder_has_its_secret(step: str, site: Site, shelf: Path, tmp_path: Path) -> None:
    place = f"shelf://user:{SECRET}@out"
    executor = Inline()
    assert fetch(urls_of(site, 3), place, executor).ok == 3
    assert SECRET not in "".join(map(repr, (store_of(place), executor.jobs, places.Folder(place))))
    (shelf / "refuses").write_text(step)
    with pytest.raises((OSError, SinkError)) as caught:
        fetch(urls_of(site, 3), place, Inline(), overwrite=True)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(SinkError, match=r"nowhere://user:\*\*\*@out: ") as unknown:
        store_of(f"nowhere://user:{SECRET}@out")
    assert SECRET not in str(unknown.value)


def test_a_file_behind_a_url_is_there_whole_or_not_at_all(shelf: Path) -> None:
    store = store_of("shelf://out", make=True)
    (shelf / "refuses").write_text("mv")
    with pytest.raises(OSError, match="no place for shelf"):
        write(store, "a", b"new")
    assert store.names() == []
    assert (store.read("a"), store.exists("a")) == (None, False)
    (shelf / "refuses").unlink()
    write(store, "a", b"old")
    write(store, "a", b"new")
    with store.open("a") as file:
        assert (file.read(), store.size("a"), store.names()) == (b"new", 3, ["a"])
    store.remove("a")
    store.remove("a")
    assert store.names() == []


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_any_executor_fetches_every_url_once(kind: type[Executor], site: Site, tmp_path: Path) -> None:
    urls = [*urls_of(site, 600), "junk", "http://127.0.0.2:9/"]
    executor = kind(2) if kind is ThreadPoolExecutor else ProcessPoolExecutor(2)
    summary = fetch(urls, tmp_path / "out", executor)
    assert (summary.urls, summary.ok, summary.interrupted) == (602, 600, False)
    assert summary.errors == {"invalid_url": 1, "connect_refused": 1}
    assert indices(tmp_path / "out") == list(range(602))
    assert set(site.counts.values()) == {1}


@pytest.mark.parametrize("scheme", ["memory", "local", "shelf"])
def test_shards_go_to_an_object_store_as_whole_objects(scheme: str, site: Site, shelf: Path, tmp_path: Path) -> None:
    folder = "shelf://out" if scheme == "shelf" else f"{scheme}://{tmp_path}/out"
    # What is in memory, and the shelf's name, are in this process alone.
    executor = ProcessPoolExecutor(2) if scheme == "local" else ThreadPoolExecutor(2)
    summary = fetch(urls_of(site, 300), folder, executor)
    assert summary.ok == 300
    assert indices(folder) == list(range(300))
    names = store_of(folder).names()
    assert len([name for name in names if name.endswith(".jsonl")]) > 1
    assert not [name for name in names if "part" in name]
    assert fetch(urls_of(site, 300), folder, ThreadPoolExecutor(2), resume=True).ok == 300
    assert set(site.counts.values()) == {1}
    assert fetchall("--merge", folder, "-o", tmp_path / "all.json", "-q") == 0
    assert [row["index"] for row in rows(tmp_path / "all.json")] == list(range(300))


def test_finished_shards_are_not_fetched_again(site: Site, tmp_path: Path) -> None:
    urls, out = urls_of(site, 1000), tmp_path / "out"
    done: list[Job] = []

    def third_fails(job: Job) -> None:
        done.append(job)
        if len(done) == 3:
            raise OSError(28, "no space left on device")

    with pytest.raises(OSError, match="no space left"):
        fetch(urls, out, Inline(during=third_fails))
    # Those that were handed over before the failure was known may be finished as well.
    shards = {int(name.split("-")[1]) for name in contents(out) if name.endswith(".shard")}
    assert {1, 2} <= shards < set(range(1, 9)) - {3}
    summary = fetch(urls, out, Inline(), resume=True)
    assert (summary.urls, summary.interrupted) == (1000, False)
    assert set(site.counts.values()) == {1}
    assert indices(out) == list(range(1000))
    assert not [name for name in contents(out) if name.startswith(".") or name == STOP]


def test_a_run_is_gone_on_with_by_other_workers(site: Site, tmp_path: Path) -> None:
    urls, out = urls_of(site, 500), tmp_path / "out"

    def fails(job: Job) -> None:
        if job.shard.number == 2:
            raise OSError(5, "input/output error")

    with pytest.raises(OSError, match="input/output"):
        fetch(urls, out, Inline(during=fails))
    assert fetch(urls, out, Inline(3), resume=True, workers=3).ok == 500
    assert indices(out) == list(range(500))


def test_an_earlier_run_is_neither_mixed_nor_lost(site: Site, tmp_path: Path) -> None:
    urls, out = urls_of(site, 10), tmp_path / "out"
    fetch(urls, out, Inline(), header=("X-Key: a",))
    before = contents(out)
    with pytest.raises(SinkError, match="holds an earlier run: --resume goes on with it, --overwrite drops it"):
        fetch(urls, out, Inline(), header=("X-Key: a",))
    with pytest.raises(ResumeError, match="belongs to another list"):
        fetch(urls[:-1], out, Inline(), header=("X-Key: a",), resume=True)
    with pytest.raises(ResumeError, match="other options: --header changed"):
        fetch(urls, out, Inline(), header=("X-Key: b",), resume=True)
    assert contents(out) == before
    assert fetch(urls[:5], out, Inline(), overwrite=True).urls == 5
    assert indices(out) == list(range(5))


@pytest.mark.parametrize("overwrite", [False, True])
def test_outputs_of_somebody_elses_in_the_folder_stay(overwrite: bool, site: Site, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    source = site.write(tmp_path / "urls.txt", "/1")
    assert fetchall(source, "--shard", "1/1", "-o", out / "shard-1-of-1.jsonl", "-q") == 0
    before = contents(out)
    with pytest.raises(ResumeError, match=r"shard-1-of-1\.jsonl is no shard of this run; move it elsewhere"):
        fetch(urls_of(site, 5), out, Inline(), overwrite=overwrite)
    assert contents(out) == before


def test_two_runs_do_not_share_a_folder(site: Site, tmp_path: Path) -> None:
    held = LocalStore(str(tmp_path / "out"), make=True).lock()
    assert held is not None
    with held, pytest.raises(ResumeError, match="is in use by another fetchall"):
        fetch(urls_of(site, 1), tmp_path / "out", Inline())


def test_a_shard_without_its_note_does_not_count(site: Site, tmp_path: Path) -> None:
    urls, out = urls_of(site, 400), tmp_path / "out"
    fetch(urls, out, Inline())
    lost = next(path for path in sorted(out.glob("*.jsonl")))
    lost.write_bytes(b'{"index":0,"half a row')
    (out / f"{lost.name}.shard").unlink()
    (out / f".{lost.name}.0123456789abcdef.part").write_bytes(b"left by the dead")
    assert fetch(urls, out, Inline(), resume=True).urls == 400
    assert indices(out) == list(range(400))
    assert not list(out.glob(".*.part"))


@pytest.mark.parametrize("limit", [{"per_host": 1}, {"per_host_rate": 1e6}, {"max_host_errors": 9}])
def test_where_a_host_is_limited_no_two_workers_are_at_it(limit: dict[str, Any], site: Site, tmp_path: Path) -> None:
    executor = Inline(4, apart=True)
    fetch(urls_of(site, 1000), tmp_path / "out", executor, workers=4, **limit)
    assert len(executor.jobs) > 4


def test_where_no_host_is_limited_one_large_site_is_shared(site: Site, tmp_path: Path) -> None:
    gate = threading.Barrier(3)

    def meet(job: Job) -> None:
        if job.shard.number <= 3:
            gate.wait(timeout=20)

    fetch(urls_of(site, 2000), tmp_path / "out", Inline(3, during=meet), workers=3)


def test_with_dedupe_a_site_is_one_shard(site: Site, tmp_path: Path) -> None:
    urls = [site.url(f"/{number % 7}") for number in range(1000)]
    executor = Inline(2)
    fetch(urls, tmp_path / "out", executor, dedupe=True)
    assert len(executor.jobs) == 1
    assert set(site.counts.values()) == {1}
    assert indices(tmp_path / "out") == list(range(1000))


def test_rates_hold_for_all_workers_together(site: Site, tmp_path: Path) -> None:
    executor = Inline(8)
    fetch(urls_of(site, 1000), tmp_path / "out", executor, workers=4, rate=1e6, limit_rate=4 * 10**9)
    assert {(job.options.rate, job.options.limit_rate) for job in executor.jobs} == {(250_000, 10**9)}


def test_files_that_options_name_are_found_from_any_folder(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    executor = Inline()
    fetch(urls_of(site, 3), "out", executor, bodies="bodies")
    assert {(job.folder, job.options.bodies) for job in executor.jobs} == {
        (str(tmp_path / "out"), str(tmp_path / "bodies"))
    }
    assert len(list((tmp_path / "bodies").iterdir())) == 3


def test_no_secret_is_in_a_manifest_a_name_or_a_jobs_words(site: Site, tmp_path: Path) -> None:
    executor = Inline()
    urls = [site.url(f"/{number}", user="me:hunter2@") for number in range(20)]
    fetch(urls, tmp_path / "out", executor, user="you:hunter2", header=("X-Api-Key: hunter2",), cookie="s=hunter2")
    for name, data in contents(tmp_path / "out").items():
        assert b"hunter2" not in data, name
        assert "hunter2" not in name
    assert all("hunter2" not in repr(job) + str(job) for job in executor.jobs)


def test_whoever_stops_a_run_keeps_its_finished_shards(site: Site, tmp_path: Path) -> None:
    urls, out = urls_of(site, 1000), tmp_path / "out"

    def stops(job: Job) -> None:
        if job.shard.number == 3:
            write(store_of(str(out)), STOP, b"")

    summary = fetch(urls, out, Inline(during=stops))
    assert summary.interrupted
    assert 0 < summary.urls < 1000
    assert fetch(urls, out, Inline(), resume=True).urls == 1000
    assert set(site.counts.values()) == {1}


def test_a_worker_that_is_told_to_stop_drops_its_shard(site: Site, tmp_path: Path) -> None:
    out = tmp_path / "out"
    urls = [*urls_of(site, 3), site.url("/hold")]

    def stop() -> None:
        site.until(lambda: site.counts["/hold"] > 0)
        write(store_of(str(out)), STOP, b"")

    stopper = threading.Thread(target=stop)
    stopper.start()
    summary = fetch(urls, out, Inline(), timeout=0.0)
    stopper.join()
    assert (summary.urls, summary.interrupted) == (0, True)
    assert set(contents(out)) == {MANIFEST, STOP}


def test_a_shard_that_can_not_be_written_is_gone_and_ends_the_run(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> None:
        if data.startswith(b'{"index"'):
            raise OSError(28, "No space left on device")
        write_all(descriptor, data)

    monkeypatch.setattr(store_module, "write_all", full)
    with pytest.raises(OSError, match="No space left"):
        fetch(urls_of(site, 300), tmp_path / "out", Inline())
    assert not list((tmp_path / "out").glob("*shard-*"))


def test_a_broken_pool_is_one_line_and_can_be_gone_on_with(site: Site, tmp_path: Path) -> None:
    class Broken(Inline):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            raise BrokenProcessPool("a process was killed")

    with pytest.raises(SinkError, match="the executor takes no more work; --resume goes on"):
        fetch(urls_of(site, 3), tmp_path / "out", Broken())
    assert fetch(urls_of(site, 3), tmp_path / "out", Inline(), resume=True).ok == 3


def test_another_version_at_a_worker_is_named() -> None:
    from fetchall.rows import PLAIN
    from fetchall.units import Shard

    job = Job("x", Shard(1, 1), "/nowhere", "", 0, PLAIN, "", [], Options(), version="0.0.1")
    with pytest.raises(SinkError, match=r"not 0\.0\.1: install the same on all machines"):
        fetch_shard(job)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"workers": 0}, "at least 1"),
        ({"cookie_jar": "jar.txt"}, "--cookie-jar"),
        ({"refresh": "old.jsonl"}, "--refresh"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_what_can_not_be_meant_is_said_before_a_folder_is_made(
    more: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidOptions, match=message):
        fetch(["http://127.0.0.1/"], tmp_path / "out", Inline(), **more)
    assert not (tmp_path / "out").exists()

"""Dask clusters of processes on loopback: a scheduler with workers as `dask worker` starts them, and a LocalCluster."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOOPBACK = ("--host", "127.0.0.1", "--no-dashboard")


def environment() -> dict[str, str]:
    """The environment, with fetchall's own code first."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def until(condition: Callable[[], object], seconds: float) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("it did not come to pass")
        time.sleep(0.01)


class Cluster:
    """A scheduler and the workers that were started for it; what they say is in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", str(self.file))
        try:
            until(lambda: self.file.exists() and self.file.stat().st_size > 0, 60)
        except BaseException:
            self.close()
            raise

    def ensure(self, count: int) -> list[subprocess.Popen[bytes]]:
        """So many workers that live, connected once this returns."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        for _ in range(count - len(self.workers)):
            self.worker()
        return self.workers

    def worker(self) -> subprocess.Popen[bytes]:
        """One more worker, with one thread, and connected."""
        before = self.said().count("Registered to:")
        where = ("--scheduler-file", str(self.file), "--local-directory", str(self.folder))
        process = self._start("worker", *where, "--nthreads", "1", "--no-nanny")
        self.workers.append(process)
        until(lambda: self.said().count("Registered to:") > before, 60)
        return process

    def said(self) -> str:
        """All that scheduler and workers have logged."""
        return "".join(path.read_text("utf-8", "replace") for path in sorted(self.folder.glob("*.log")))

    def close(self) -> None:
        """End them all."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        log = self.folder / f"{words[0]}-{time.monotonic_ns()}.log"
        with log.open("wb") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *words, *LOOPBACK],
                cwd=self.folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A scheduler without workers, for as long as the block lasts."""
    folder.mkdir()
    cluster = Cluster(folder)
    try:
        yield cluster
    finally:
        cluster.close()


@contextmanager
def local_cluster(workers: int) -> Iterator[str]:
    """The address of a LocalCluster with so many processes; it is made in a process of its own, and ends with it."""
    command = [sys.executable, "-m", "bench.dask_cluster", str(workers)]
    with subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().decode().strip()
        finally:
            process.stdin.close()


def main() -> None:
    """A LocalCluster until stdin ends."""
    from distributed import LocalCluster

    with LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=int(sys.argv[1]), threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        print(cluster.scheduler_address, flush=True)
        while os.read(0, 1):
            continue


if __name__ == "__main__":
    main()

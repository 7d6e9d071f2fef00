from __future__ import annotations

import asyncio
import errno
import heapq
import itertools
import socket
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import web

from fetchall.wire import lookups, resolver
from fetchall.wire.resolver import NAMES, PATIENCE, TTL, ThreadResolver

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def run_it(main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(asyncio.wait_for(main, 60))

    return run_it


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._cancelled: set[int] = set()

    def now(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        number = next(self._count)
        heapq.heappush(self._calls, (when, number, callback))
        return _Call(self._cancelled, number)

    def advance(self, seconds: float) -> None:
        end = self._now + seconds
        while self._calls and self._calls[0][0] <= end:
            when, number, callback = heapq.heappop(self._calls)
            self._now = max(self._now, when)
            if number not in self._cancelled:
                callback()
        self._now = end


class _Call:
    def __init__(self, cancelled: set[int], number: int) -> None:
        self._cancelled, self._number = cancelled, number

    def cancel(self) -> None:
        self._cancelled.add(self._number)


class Names:
    """Stands in for the system's look-up: names that begin with "hung" hang until they are let go."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.calls: list[tuple[str, int, int]] = []
        self.threads: set[threading.Thread] = set()
        self.now = self.most = 0
        self.go = threading.Event()
        self.answer: Callable[[str], Any] = lambda host: "192.0.2.1"
        self._lock = threading.Lock()

    def __call__(self, host: str, port: object, *, family: int, type: int, flags: int) -> list[Any]:
        with self._lock:
            self.asked[host] += 1
            self.calls.append((host, family, flags))
            self.threads.add(threading.current_thread())
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            if host.startswith("hung"):
                self.go.wait(60)
            found = self.answer(host)
        finally:
            with self._lock:
                self.now -= 1
        if isinstance(found, Exception):
            raise found
        return [entry(address) for address in ([found] if isinstance(found, str) else found)]


def entry(address: str, scope: int = 0) -> tuple[Any, ...]:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 0, 0, scope)
    return socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)


@pytest.fixture
def names() -> Iterator[Names]:
    stand_in = Names()
    yield stand_in
    stand_in.go.set()
    for thread in stand_in.threads:
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def until(reached: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if reached():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("never reached")


async def hosts(given: ThreadResolver, host: str, **more: Any) -> list[str]:
    return [found["host"] for found in await given.resolve(host, 80, **more)]


# Answers.


def test_a_name_of_this_machine_is_resolved_by_the_system(run: Run) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=2)
        found = await given.resolve("localhost", 8080, socket.AF_INET)
        await given.close()
        assert found == [
            {
                "hostname": "localhost",
                "host": "127.0.0.1",
                "port": 8080,
                "family": socket.AF_INET,
                "proto": socket.IPPROTO_TCP,
                "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            }
        ]

    run(main())


def test_aiohttp_connects_by_the_answer_and_passes_on_which_failure_it_was(run: Run, names: Names) -> None:
    names.answer = lambda host: {
        "site.test": ["127.0.0.1"],
        "gone.test": socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        "busy.test": socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
    }[host]

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=request.host)

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/", hello)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        given = ThreadResolver(limit=2, lookup=names)
        connector = aiohttp.TCPConnector(resolver=given, use_dns_cache=False, family=socket.AF_INET)
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.get(f"http://site.test:{port}/") as response:
                assert await response.text() == f"site.test:{port}"
            for host, number in (("gone.test", socket.EAI_NONAME), ("busy.test", socket.EAI_AGAIN)):
                with pytest.raises(aiohttp.ClientConnectorDNSError) as caught:
                    await session.get(f"http://{host}:{port}/")
                assert isinstance(caught.value.os_error, socket.gaierror)
                assert caught.value.os_error.errno == number
        await given.close()
        await runner.cleanup()

    run(main())


def test_all_addresses_are_given_once_in_the_system_s_order_with_the_link_of_link_local_ones(run: Run) -> None:
    def lookup(host: str, port: object, **more: Any) -> list[Any]:
        return [entry("2001:db8::1"), entry("192.0.2.1"), entry("fe80::1", 3), entry("192.0.2.1"), (1, 1, 0, "", "/x")]

    async def main() -> None:
        given = ThreadResolver(limit=2, lookup=lookup)
        found = await given.resolve("a.test", 80, socket.AF_UNSPEC)
        assert [one["host"] for one in found] == ["2001:db8::1", "192.0.2.1", "fe80::1%3"]
        assert [one["family"] for one in found] == [socket.AF_INET6, socket.AF_INET, socket.AF_INET6]
        await given.close()

    run(main())


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".test", "a\x00b", "\udc80.test"])
def test_what_can_t_be_a_name_does_not_exist(run: Run, host: str) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=2)
        with pytest.raises(socket.gaierror) as caught:
            await given.resolve(host, 80)
        assert caught.value.errno == socket.EAI_NONAME
        await given.close()

    run(main())


def test_a_name_without_addresses_does_not_exist(run: Run, names: Names) -> None:
    names.answer = lambda host: []

    async def main() -> None:
        given = ThreadResolver(limit=2, lookup=names)
        with pytest.raises(socket.gaierror) as caught:
            await given.resolve("a.test", 80)
        assert caught.value.errno == socket.EAI_NONAME
        await given.close()

    run(main())


def test_the_family_is_asked_for_and_kept_apart(run: Run, names: Names) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=2, lookup=names)
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNSPEC, socket.AF_INET):
            await given.resolve("a.test", 80, family)
        await given.close()

    run(main())
    assert [family for _, family, _ in names.calls] == [socket.AF_INET, socket.AF_INET6, socket.AF_UNSPEC]


def test_localhost_is_found_on_a_machine_without_a_network(run: Run, names: Names) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=2, lookup=names)
        for host in ("localhost", "LOCALHOST.", "app.localhost", "notlocalhost", "a.test"):
            await given.resolve(host, 80)
        await given.close()

    run(main())
    flags = [bool(flags & socket.AI_ADDRCONFIG) for _, _, flags in names.calls]
    assert flags == [False, False, False, True, True]


# --resolve.


def test_an_override_holds_for_its_port_and_name_alone_and_a_star_for_any_other(run: Run, names: Names) -> None:
    overrides = {("A.test", 80): ["127.0.0.1", "::1"], ("a.test", 443): ["127.0.0.2"], ("*", 80): ["127.0.0.9"]}

    async def main() -> None:
        given = ThreadResolver(limit=2, lookup=names, overrides=overrides)
        any_family = socket.AF_UNSPEC
        assert [one["host"] for one in await given.resolve("a.test", 80, any_family)] == ["127.0.0.1", "::1"]
        assert [one["host"] for one in await given.resolve("a.test.", 80, socket.AF_INET)] == ["127.0.0.1"]
        assert [one["host"] for one in await given.resolve("a.TEST", 80, socket.AF_INET6)] == ["::1"]
        assert [one["host"] for one in await given.resolve("a.test", 443, any_family)] == ["127.0.0.2"]
        assert [one["host"] for one in await given.resolve("b.test", 80, any_family)] == ["127.0.0.9"]
        with pytest.raises(socket.gaierror):
            await given.resolve("a.test", 443, socket.AF_INET6)
        assert not names.asked
        assert [one["host"] for one in await given.resolve("b.test", 443, any_family)] == ["192.0.2.1"]
        await given.close()

    run(main())


# What is remembered.


def test_an_answer_is_kept_for_its_time_and_given_without_waiting(run: Run, names: Names, clock: Clock) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=2, lookup=names, clock=clock)
        await given.resolve("a.test", 80)
        clock.advance(TTL - 0.1)
        with pytest.raises(StopIteration) as done:
            given.resolve("a.test", 443).send(None)
        assert done.value.value[0]["port"] == 443
        assert names.asked["a.test"] == 1
        clock.advance(0.2)
        await given.resolve("a.test", 80)
        assert names.asked["a.test"] == 2
        await given.close()

    run(main())


def test_a_failure_is_not_kept(run: Run, names: Names, clock: Clock) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=2, lookup=names, clock=clock)
        names.answer = lambda host: socket.gaierror(socket.EAI_AGAIN, "later")
        with pytest.raises(socket.gaierror):
            await given.resolve("a.test", 80)
        names.answer = lambda host: "192.0.2.7"
        assert await hosts(given, "a.test") == ["192.0.2.7"]
        await given.close()

    run(main())


def test_no_more_than_10_000_names_are_kept_and_the_longest_unused_goes_first(run: Run, names: Names) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=8, lookup=names)
        await given.resolve("used.test", 80)
        for start in range(0, NAMES, 500):
            await asyncio.gather(*(given.resolve(f"{i}.test", 80) for i in range(start, start + 500)))
            await given.resolve("used.test", 80)
        await given.resolve(f"{NAMES - 1}.test", 80)
        await given.resolve("0.test", 80)
        await given.close()

    run(main())
    assert names.asked["used.test"] == 1
    assert names.asked[f"{NAMES - 1}.test"] == 1
    assert names.asked["0.test"] == 2


# Many at a time.


def test_many_who_ask_for_one_name_share_one_look_up(run: Run, names: Names) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=2, lookup=names)
        asking = [asyncio.create_task(hosts(given, "hung.test")) for _ in range(50)]
        await until(lambda: names.now == 1)
        asking[0].cancel()
        asking[7].cancel()
        await asyncio.sleep(0)
        names.go.set()
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in found].count(True) == 2
        assert found.count(["192.0.2.1"]) == 48
        await given.close()

    run(main())
    assert names.asked["hung.test"] == 1


def test_a_shared_failure_reaches_everybody(run: Run, names: Names) -> None:
    names.answer = lambda host: socket.gaierror(socket.EAI_NONAME, "no such name")

    async def main() -> None:
        given = ThreadResolver(limit=2, lookup=names)
        asking = [asyncio.create_task(hosts(given, "hung.test")) for _ in range(5)]
        await until(lambda: names.now == 1)
        names.go.set()
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert [getattr(one, "errno", None) for one in found] == [socket.EAI_NONAME] * 5
        await given.close()

    run(main())


def test_no_more_are_under_way_than_the_limit(run: Run, names: Names, clock: Clock) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=3, lookup=names, clock=clock)
        asking = [asyncio.create_task(hosts(given, f"hung{i}.test")) for i in range(20)]
        await until(lambda: names.now == 3)
        clock.advance(PATIENCE * 0.9)
        await asyncio.sleep(0.01)
        assert sum(names.asked.values()) == 3
        names.go.set()
        await asyncio.gather(*asking)
        await given.close()

    run(main())
    assert names.most == 3
    assert len(names.threads) == 3


def test_a_look_up_that_was_given_up_makes_room_at_once(run: Run, names: Names, clock: Clock) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=2, lookup=names, clock=clock)
        hung = [asyncio.create_task(hosts(given, f"hung{i}.test")) for i in range(2)]
        await until(lambda: names.now == 2)
        good = asyncio.create_task(hosts(given, "good.test"))
        await asyncio.sleep(0.01)
        assert not names.asked["good.test"]
        hung[0].cancel()
        assert await good == ["192.0.2.1"]
        hung[1].cancel()
        await given.close()

    run(main())


def test_a_look_up_that_hangs_makes_room_though_somebody_waits_for_it(run: Run, names: Names, clock: Clock) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=2, lookup=names, clock=clock)
        hung = [asyncio.create_task(hosts(given, f"hung{i}.test")) for i in range(5)]
        good = [asyncio.create_task(hosts(given, f"good{i}.test")) for i in range(50)]
        await until(lambda: names.now == 2)
        for _ in range(3):
            clock.advance(PATIENCE)
            await asyncio.sleep(0.01)
        assert await asyncio.gather(*good) == [["192.0.2.1"]] * 50
        assert not any(task.done() for task in hung)
        names.go.set()
        assert await asyncio.gather(*hung) == [["192.0.2.1"]] * 5
        await given.close()

    run(main())


def test_500_names_that_hang_do_not_hold_up_10_000_that_do_not(run: Run, names: Names) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=128, lookup=names)
        places = asyncio.Semaphore(1000)
        good = 0

        async def fetch(number: int) -> None:
            nonlocal good
            async with places:
                host = f"hung{number}.test" if number % 21 == 0 else f"good{number}.test"
                if await hosts(given, host) == ["192.0.2.1"] and host.startswith("good"):
                    good += 1

        tasks = [asyncio.create_task(fetch(number)) for number in range(10_500)]
        await until(lambda: good == 10_000 and names.now == 500)
        assert len(names.threads) <= 500 + 128
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await given.close()

    run(main())


def test_look_ups_set_aside_are_bounded_and_the_next_wait_for_one_to_end(
    run: Run, names: Names, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "ASIDE", 3)

    async def main() -> None:
        given = ThreadResolver(limit=2, lookup=names, clock=clock)
        hung = [asyncio.create_task(hosts(given, f"hung{i}.test")) for i in range(9)]
        await until(lambda: names.now == 2)
        for _ in range(5):
            clock.advance(PATIENCE)
            await asyncio.sleep(0.005)
        await until(lambda: names.now == 5)
        for task in hung:
            task.cancel()
        good = asyncio.create_task(hosts(given, "good.test"))
        await asyncio.sleep(0.01)
        assert sum(names.asked.values()) == 5
        names.go.set()
        assert await good == ["192.0.2.1"]
        await given.close()

    run(main())
    assert names.most == 5


def test_a_look_up_that_was_given_up_is_joined_and_its_answer_kept(run: Run, names: Names) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=2, lookup=names)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(given.resolve("hung.test", 80), 0.01)
        again = asyncio.create_task(hosts(given, "hung.test"))
        await asyncio.sleep(0)
        names.go.set()
        assert await again == ["192.0.2.1"]
        assert await hosts(given, "hung.test") == ["192.0.2.1"]
        await given.close()

    run(main())
    assert names.asked["hung.test"] == 1


def test_a_name_that_was_given_up_while_it_waited_is_never_looked_up(run: Run, names: Names, clock: Clock) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=1, lookup=names, clock=clock)
        hung = asyncio.create_task(hosts(given, "hung.test"))
        late = asyncio.create_task(hosts(given, "late.test"))
        await until(lambda: names.now == 1)
        late.cancel()
        await asyncio.sleep(0)
        names.go.set()
        await hung
        assert await hosts(given, "good.test") == ["192.0.2.1"]
        await given.close()

    run(main())
    assert not names.asked["late.test"]


# Threads.


def test_one_thread_serves_one_name_after_another(run: Run, names: Names) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=10, lookup=names)
        for number in range(100):
            await given.resolve(f"{number}.test", 80)
        await given.close()

    run(main())
    assert len(names.threads) == 1


def test_threads_that_nobody_needs_end_after_a_while(run: Run, names: Names, clock: Clock) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=10, lookup=names, clock=clock)
        asking = [asyncio.create_task(given.resolve(f"hung{i}.test", 80)) for i in range(10)]
        await until(lambda: names.now == 10)
        names.go.set()
        await asyncio.gather(*asking)
        for _ in range(3):
            clock.advance(lookups.IDLE * 0.9)
            await given.resolve(f"{clock.now()}.test", 80)
        await until(lambda: sum(thread.is_alive() for thread in names.threads) == 1)
        clock.advance(2 * lookups.IDLE)
        await until(lambda: not any(thread.is_alive() for thread in names.threads))
        assert await hosts(given, "again.test") == ["192.0.2.1"]
        await given.close()

    run(main())
    assert len(names.threads) == 11


def test_no_thread_ends_that_became_busy_meanwhile(run: Run, names: Names, clock: Clock) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=10, lookup=names, clock=clock)
        for turn in ("a", "b"):
            names.go.clear()
            asking = [asyncio.create_task(hosts(given, f"hung{turn}{i}.test")) for i in range(3)]
            await until(lambda: names.now == 3)
            clock.advance(lookups.IDLE)
            assert await asyncio.wait_for(hosts(given, f"good{turn}.test"), 10) == ["192.0.2.1"]
            names.go.set()
            await asyncio.gather(*asking)
            clock.advance(lookups.IDLE)
        await given.close()

    run(main())


def test_closing_ends_idle_threads_and_tells_those_who_wait(run: Run, names: Names) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=1, lookup=names)
        await given.resolve("a.test", 80)
        asking = [asyncio.create_task(given.resolve(f"hung{i}.test", 80)) for i in range(3)]
        await until(lambda: names.now == 1)
        await given.close()
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert all(isinstance(one, OSError) for one in found)
        with pytest.raises(OSError, match="closed"):
            await given.resolve("b.test", 80)
        names.go.set()
        await until(lambda: not any(thread.is_alive() for thread in names.threads))

    run(main())


def test_a_resolver_that_was_never_used_can_be_closed(run: Run) -> None:
    run(ThreadResolver(limit=1).close())


def test_an_answer_that_comes_after_the_loop_is_closed_disturbs_nobody(run: Run, names: Names) -> None:
    async def main() -> None:
        given = ThreadResolver(limit=2, lookup=names)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(given.resolve("hung.test", 80), 0.01)

    run(main())
    names.go.set()
    (thread,) = names.threads
    thread.join(10)
    assert not thread.is_alive()


def test_where_no_thread_can_be_started_the_failure_may_pass(
    run: Run, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        given = ThreadResolver(limit=5, lookup=names)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            found = await asyncio.gather(*(hosts(given, f"{i}.test") for i in range(3)), return_exceptions=True)
            assert [getattr(one, "errno", None) for one in found] == [socket.EAI_AGAIN] * 3
        asking = [asyncio.create_task(hosts(given, "hung.test"))]
        await until(lambda: names.now == 1)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            asking += [asyncio.create_task(hosts(given, f"{i}.test")) for i in range(3)]
            await asyncio.sleep(0.01)
            names.go.set()
            assert await asyncio.gather(*asking) == [["192.0.2.1"]] * 4
        await given.close()

    run(main())


def test_a_look_up_that_hangs_does_not_hold_up_the_process_s_end() -> None:
    code = """
    import asyncio, threading
    from fetchall.wire.resolver import ThreadResolver

    def hang(*given, **more):
        threading.Event().wait()

    async def main():
        given = ThreadResolver(limit=4, lookup=hang)
        asking = [asyncio.create_task(given.resolve(f"{i}.test", 80)) for i in range(8)]
        for _ in range(20_000):
            if threading.active_count() == 9:
                break
            await asyncio.sleep(0.001)
        print(threading.active_count(), "threads")
        await given.close()
        await asyncio.wait(asking)
        print({str(task.exception()) for task in asking})

    asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == f"9 threads\n{ {str(OSError(errno.ECANCELED, 'the resolver was closed'))} }\n"
    assert done.stderr == ""

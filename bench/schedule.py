"""
How many times a second the schedule can take a job in, let it go and hear that it is done (add + next + done).

    python -m bench.schedule [JOBS]

Three shapes of a run, each with 100, 10,000 and 100,000 hosts: `piled up` (every host has a job waiting throughout),
`in order` (a list without limits: each job goes as it comes), and `limited` (per host two in flight and a rate).
"""

from __future__ import annotations

import gc
import sys
import time
from collections import deque

from fetchall.records import Origin
from fetchall.schedule import Limits, Schedule, Signal

FINE = Signal(answered=True, throttled=False)
IN_FLIGHT = 100


class Job:
    __slots__ = ("origin",)

    def __init__(self, origin: Origin) -> None:
        self.origin = origin


def rate(hosts: int, count: int, *, piled_up: bool, limits: Limits) -> float:
    """Jobs a second; a second of the schedule's clock passes for each round over the hosts."""
    jobs = [Job(Origin("http", f"host-{number}.example", 80)) for number in range(hosts)]
    schedule: Schedule[Job] = Schedule(limits)
    if piled_up:
        for job in jobs:
            schedule.add(job, 0.0)
    flying: deque[Job] = deque()
    add, take, done, fly, land = schedule.add, schedule.next, schedule.done, flying.append, flying.popleft
    now, tick = 0.0, 1 / hosts
    gc.collect()
    begun = time.perf_counter()
    for number in range(count):
        now += tick
        add(jobs[number % hosts], now)
        taken = take(now)
        if taken is not None:
            fly(taken)
        if len(flying) > IN_FLIGHT:
            done(land().origin, now, FINE)
    return count / (time.perf_counter() - begun)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    shapes = {
        "piled up": (True, Limits()),
        "in order": (False, Limits()),
        "limited": (True, Limits(per_host=2, per_host_rate=2)),
    }
    for name, (piled_up, limits) in shapes.items():
        rates = {hosts: rate(hosts, count, piled_up=piled_up, limits=limits) for hosts in (100, 10_000, 100_000)}
        row = "  ".join(f"{hosts:>7,} hosts {found:>9,.0f}/s" for hosts, found in rates.items())
        print(f"{name:9} {row}   {rates[100] / rates[100_000]:.2f} x")


if __name__ == "__main__":
    main()

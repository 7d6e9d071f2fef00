"""
How many requests to keep in flight where nobody said: the fewest that give about the most good answers a second.

Pure: told of each answer and when it came, it says how many there may be. Knows no queue, no origin and no HTTP.

First it climbs, one more for every good answer (so twice as many in the time that an answer takes, as TCP's slow
start), until answers take clearly longer or fail more often than at the beginning, or the bound is reached. From there
it searches: it tries more, and keeps what is worth it; else fewer, and keeps what costs nothing; else takes smaller
steps, and at last rests between tries, longer each time. Errors and latency need no rule of their own in the search:
what only lengthens a server's queue, or only adds refusals, brings no more good answers, and so is not worth having.
"""

from __future__ import annotations

from math import ceil, inf


class Window:
    """Answers that came since a moment: how many were good, how long they took, how many were in flight meanwhile."""

    __slots__ = ("_flight", "_latency", "begun", "count", "good")

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.count = 0
        self.good = 0
        self._latency = 0.0
        self._flight = 0

    def note(self, ok: bool, latency: float, in_flight: int) -> None:
        """Count one answer."""
        self.count += 1
        self.good += ok
        self._latency += latency
        self._flight += in_flight

    @property
    def latency(self) -> float:
        """Seconds that an answer took, on average."""
        return self._latency / self.count

    @property
    def failing(self) -> float:
        """The share of answers that were not good."""
        return 1 - self.good / self.count

    @property
    def flight(self) -> float:
        """How many were in flight, on average."""
        return self._flight / self.count

    @property
    def goodput(self) -> float:
        """Good answers a second by Little's law, which answers that come in bursts do not mislead as a count would."""
        return self.flight * (self.good / self.count) / max(self.latency, 1e-9)


class Tuner:
    """
    Finds how many requests to keep in flight, at most `most`.

    `limit` is how many there may be now; `best` the number that has served best so far, to be reported.
    """

    START = 4
    FULL = 0.8
    """Below this share of the limit in flight there was too little work to learn from."""
    SLOWER = 1.6
    """The climb ends when answers take this many times as long as at first,"""
    WORSE = 0.2
    """or this much larger a share fails, or half of all do."""
    STEPS = (1.5, 1.2)
    """What the search multiplies or divides by, coarse and fine."""
    ENOUGH = (80, 200)
    """How many answers tell whether a step was worth it; a finer one needs more."""
    WORTH = 0.15
    """Some share more in flight must bring this part of that share more good answers, or fewer will do."""
    CHANGED = 1.33
    """Where the same number gives this many times as much or as little as before, the search begins anew."""
    SETTLE = 1.5
    """Times the latency: what was begun under the last limit is over, and says nothing of this one."""
    LONGEST_REST = 16

    def __init__(self, most: int) -> None:
        self.limit = self.best = min(self.START, most)
        self._most = most
        self._climbing = True
        self._quickest = inf
        """The least average latency while climbing, in seconds."""
        self._failing = 0.0
        """The share that failed at first, then with `best`."""
        self._goodput: float | None = None
        """Of `best`, when last measured."""
        self._step = 0
        self._upward = True
        self._misses = 0
        self._rest = 0
        self._next_rest = 1
        self._window: Window | None = None

    def __repr__(self) -> str:
        doing = "climbing" if self._climbing else "resting" if self._rest else "searching"
        return f"<Tuner {doing}, {self.limit} in flight, best {self.best} of at most {self._most}>"

    @property
    def settled(self) -> bool:
        """Whether the climb is over: `best` was found, not merely reached."""
        return not self._climbing

    def heard(self, now: float, *, ok: bool, latency: float, in_flight: int) -> None:
        """An answer came or failed to, after `latency` seconds; `in_flight` counts itself."""
        window = self._window
        if window is None:
            window = self._window = Window(now - latency)
        if now < window.begun:
            return
        window.note(ok, latency, in_flight)
        if self._climbing:
            if ok and in_flight >= self.FULL * self.limit:
                self.limit = min(self.limit + 1, self._most)
            if window.count >= 32 and now - window.begun >= window.latency:
                self._look_down(window, now)
            return
        backfires = self.limit > self.best and window.count >= 32 and window.failing > self._failing + self.WORSE
        if backfires:
            self._miss()
        elif (
            window.count >= max(self.ENOUGH[self._step], 2 * self.limit)
            and now - window.begun >= self.SETTLE * window.latency
        ):
            self._conclude(window)
        else:
            return
        self._window = Window(now + self.SETTLE * window.latency)

    def _look_down(self, window: Window, now: float) -> None:
        """While climbing: whether to go on."""
        if self._quickest == inf:
            self._failing = window.failing
        self._quickest = min(self._quickest, window.latency)
        slower = window.latency > self.SLOWER * self._quickest
        worse = window.failing > min(self._failing + self.WORSE, 0.5)
        if slower or worse:
            # What was heard last was begun when there were about half as many.
            self._climbing, self.limit, self._step = False, max(1, self.limit // 2), 0
        elif self.limit == self._most:
            self._climbing, self._step = False, 1
        self._upward = False
        self.best = self.limit
        self._window = Window(now if self._climbing else now + self.SETTLE * window.latency)

    def _conclude(self, window: Window) -> None:
        """One number has been measured: keep it or go back, and choose what to try next."""
        goodput, full = window.goodput, window.flight >= self.FULL * self.limit
        if self._goodput is None or self.limit == self.best:
            self._failing = window.failing
            self._measured_best(goodput, full)
            return
        share = self.limit / self.best - 1
        worth = goodput >= self._goodput * (1 + self.WORTH * share)
        if worth and (full or share < 0):
            # On the way down each step is held against where it began: many small losses are a large one.
            self._goodput = goodput if share > 0 else max(goodput, self._goodput)
            self.best, self._failing = self.limit, window.failing
            self._misses, self._next_rest = 0, 1
            self._try_another()
        else:
            self._miss()

    def _measured_best(self, goodput: float, full: bool) -> None:
        before, self._goodput = self._goodput, goodput
        if not full:
            return
        if before and not 1 / self.CHANGED < goodput / before < self.CHANGED:
            self._step, self._upward, self._misses, self._rest, self._next_rest = 0, True, 0, 0, 1
        if self._rest:
            self._rest -= 1
        else:
            self._try_another()

    def _try_another(self) -> None:
        step = self.STEPS[self._step]
        wish = ceil(self.best * step) if self._upward else int(self.best / step)
        self.limit = max(1, min(self._most, wish))
        if self.limit == self.best:
            self._miss()

    def _miss(self) -> None:
        """Back to the best; then the other direction, then a smaller step, then a rest."""
        self.limit = self.best
        self._upward = not self._upward
        self._misses += 1
        if self._misses == 2:
            self._misses = 0
            if self._step + 1 == len(self.STEPS):
                self._rest, self._next_rest = self._next_rest, min(2 * self._next_rest, self.LONGEST_REST)
                return
            self._step += 1
        self._try_another()

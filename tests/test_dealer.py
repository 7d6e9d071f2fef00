"""Who of several processes fetches which request, and how many each may have on the wire: decisions without I/O."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from fetchall.dealing import site_of
from fetchall.engines import dealer
from fetchall.engines.allowance import Allowances, fair_parts
from fetchall.engines.dealer import DEADLY, PILE, Dealer
from fetchall.records import Request


def requests(*urls: str, first: int = 0) -> list[Request]:
    return [Request(url, first + place) for place, url in enumerate(urls)]


def of_site(site: str, count: int, first: int = 0) -> list[Request]:
    return requests(*(f"http://{site}/{number}" for number in range(count)), first=first)


def test_the_urls_of_a_site_go_to_one_hand_whatever_scheme_and_port() -> None:
    deal = Dealer(3, splits=False)
    deal.add(requests("http://a.example/", "https://www.a.example:8443/x", "http://a.example", "HTTP://A.example//y"))
    assert [len(deal.take(slot, 10)) for slot in range(3)] == [4, 0, 0]


def test_two_hosts_are_never_taken_for_one_because_their_urls_begin_alike() -> None:
    deal = Dealer(2, splits=False)
    deal.add(requests("http://a.example/", "http://a.examples", "http:////a.example/", "http:////b.example/"))
    # The second and the fourth are of sites of their own; the third is another spelling of the first.
    assert [[request.index for request in deal.take(slot, 10)] for slot in range(2)] == [[0, 2, 3], [1]]


def test_the_first_sites_are_dealt_out_in_turn() -> None:
    deal = Dealer(4, splits=False)
    assert [deal.owner(f"{number}.example") for number in range(8)] == [0, 1, 2, 3] * 2
    assert deal.owner("5.example") == 1


def test_later_sites_are_dealt_out_by_name_and_take_no_memory() -> None:
    deal = Dealer(4, splits=False)
    for number in range(dealer.SITES):
        deal.owner(f"{number}.example")
    counts = Counter(deal.owner(f"later{number}.example") for number in range(4_000))
    assert min(counts.values()) > 800
    assert len(deal._owners) == dealer.SITES


def test_what_piled_up_at_one_hand_goes_to_another_where_nothing_forbids_it() -> None:
    deal = Dealer(2, splits=True)
    deal.add(of_site("big.example", 4 * PILE))
    assert len(deal.take(0, 10)) == 10
    assert [request.index for request in deal.take(1, 5)] == [10, 11, 12, 13, 14]


def test_a_site_stays_whole_where_limits_need_it_or_little_has_piled_up() -> None:
    whole = Dealer(2, splits=False)
    whole.add(of_site("big.example", 4 * PILE))
    assert whole.take(1, 5) == []
    small = Dealer(2, splits=True)
    small.add(of_site("small.example", PILE - 1))
    assert small.take(1, 5) == []


def test_a_site_that_refused_is_not_shared_out_any_longer() -> None:
    deal = Dealer(2, splits=True)
    deal.add(of_site("big.example", 2 * PILE))
    deal.owner("between.example")
    deal.add(of_site("other.example", 2 * PILE, first=2 * PILE))
    assert deal.owner("other.example") == 0
    deal.hold({"big.example"})
    taken = []
    while found := deal.take(1, 50):
        taken += found
    assert {site_of(request.url) for request in taken} == {"other.example"}
    rest = deal.take(0, 10_000)
    assert sorted(request.index for request in taken + rest) == list(range(4 * PILE))


def test_a_request_that_was_out_in_two_deaths_goes_out_alone_and_is_given_up_after_the_third() -> None:
    deal = Dealer(1, splits=True)
    deal.add(requests(*(f"http://a.example/{number}" for number in range(3))))
    for _ in range(DEADLY):
        assert [request.index for request in deal.take(0, 10)] == [0, 1, 2]
        assert deal.died(0) is None
    for index in (0, 1):
        assert [request.index for request in deal.take(0, 10)] == [index]
        assert deal.take(0, 10) == []
        deal.done(0, [index])
    assert [request.index for request in deal.take(0, 10)] == [2]
    buried = deal.died(0)
    assert buried is not None
    assert buried.index == 2
    assert deal.idle


def test_a_request_that_had_gone_on_to_another_site_begins_again_at_its_own() -> None:
    deal = Dealer(2, splits=False)
    deal.add(requests("http://a.example/", "http://b.example/"))
    assert [request.index for request in deal.take(0, 10)] == [0]
    assert deal.move(0, 0, "b.example") == 1
    deal.died(1)
    assert [request.index for request in deal.take(0, 10)] == [0]


def test_a_suspect_goes_nowhere_else_to_die_among_others() -> None:
    deal = Dealer(2, splits=False)
    deal.add(requests("http://a.example/", "http://b.example/"))
    for _ in range(DEADLY):
        assert [request.index for request in deal.take(0, 10)] == [0]
        assert deal.died(0) is None
    assert [request.index for request in deal.take(0, 10)] == [0]
    assert deal.move(0, 0, "b.example") == 0
    assert deal.died(0) is not None


def test_a_suspect_for_which_others_wait_is_not_kept_until_they_are_done() -> None:
    deal = Dealer(1, splits=False, drains=False)
    deal.add(requests("http://a.example/"))
    for _ in range(DEADLY):
        deal.take(0, 10)
        deal.died(0)
    deal.add(requests("http://a.example/", first=1))
    assert [request.index for request in deal.take(0, 10)] == [0]
    assert deal.take(0, 10) == []


class Dealing(RuleBasedStateMachine):
    """However requests are added, taken, moved, finished and lost: each is with one hand, or waits, or is done."""

    out: Bundle[tuple[int, int]] = Bundle("out")

    @initialize(hands=st.integers(1, 4), splits=st.booleans(), drains=st.booleans())
    def begin(self, hands: int, splits: bool, drains: bool) -> None:
        self.deal = Dealer(hands, splits=splits, drains=drains)
        self.hands = hands
        self.added = self.waits = 0
        self.with_hand: dict[int, int] = {}
        self.finished: set[int] = set()

    @rule(site=st.sampled_from("abcdefg"), count=st.integers(1, 3 * PILE))
    def add(self, site: str, count: int) -> None:
        self.deal.add(of_site(f"{site}.example", count, first=self.added))
        self.added += count

    @rule(slot=st.integers(0, 3), most=st.integers(0, 300))
    def take(self, slot: int, most: int) -> None:
        for request in self.deal.take(slot % self.hands, most):
            assert request.index not in self.with_hand
            assert request.index not in self.finished
            self.with_hand[request.index] = slot % self.hands

    @rule(slot=st.integers(0, 3), share=st.floats(0, 1))
    def finish(self, slot: int, share: float) -> None:
        slot %= self.hands
        mine = sorted(index for index, hand in self.with_hand.items() if hand == slot)
        mine = mine[: round(share * len(mine))]
        self.deal.done(slot, mine)
        self.finished.update(mine)
        for index in mine:
            del self.with_hand[index]

    @rule(slot=st.integers(0, 3), site=st.sampled_from("abcdefg"))
    def move(self, slot: int, site: str) -> None:
        mine = [index for index, hand in self.with_hand.items() if hand == slot % self.hands]
        if mine:
            self.with_hand[mine[0]] = self.deal.move(mine[0], slot % self.hands, f"{site}.example")

    @rule(slot=st.integers(0, 3))
    def die(self, slot: int) -> None:
        slot %= self.hands
        buried = self.deal.died(slot)
        self.with_hand = {index: hand for index, hand in self.with_hand.items() if hand != slot}
        if buried is not None:
            self.finished.add(buried.index)

    @rule(sites=st.sets(st.sampled_from("abcdefg")))
    def hold(self, sites: set[str]) -> None:
        self.deal.hold(f"{site}.example" for site in sites)

    @invariant()
    def nothing_is_lost(self) -> None:
        if hasattr(self, "deal"):
            assert self.deal.waiting == self.added - len(self.with_hand) - len(self.finished)

    def teardown(self) -> None:
        """Whatever happened, what is left can be fetched."""
        if not hasattr(self, "deal"):
            return
        for _ in range(20 + self.added):
            if self.deal.idle:
                break
            for slot in range(self.hands):
                self.take(slot, 1_000)
                self.finish(slot, 1.0)
        assert self.finished == set(range(self.added))


TestDealing = Dealing.TestCase


class Sharing(RuleBasedStateMachine):
    """However processes begin, end, hear late and die: what they have on the wire is never more than the total."""

    @initialize(slots=st.integers(1, 5), total=st.integers(1, 30))
    def begin(self, slots: int, total: int) -> None:
        self.slots, self.total = slots, max(total, slots)
        self.shares = Allowances(self.total, slots)
        self.known = [self.shares.of(slot) for slot in range(slots)]
        self.flying = [0] * slots

    @rule(slot=st.integers(0, 4), count=st.integers(1, 30))
    def start(self, slot: int, count: int) -> None:
        slot %= self.slots
        self.flying[slot] += max(0, min(count, self.known[slot].allowed - self.flying[slot]))

    @rule(slot=st.integers(0, 4), count=st.integers(1, 30))
    def end(self, slot: int, count: int) -> None:
        self.flying[slot % self.slots] -= min(count, self.flying[slot % self.slots])

    @rule(slot=st.integers(0, 4))
    def learn(self, slot: int) -> None:
        self.known[slot % self.slots] = self.shares.of(slot % self.slots)

    @rule(slot=st.integers(0, 4), eager=st.booleans())
    def tell(self, slot: int, eager: bool) -> None:
        slot %= self.slots
        self.shares.heard(slot, self.known[slot].number, self.flying[slot], eager=eager)

    @rule(slot=st.integers(0, 4))
    def die(self, slot: int) -> None:
        slot %= self.slots
        self.flying[slot] = 0
        self.shares.died(slot)
        self.known[slot] = self.shares.of(slot)

    @invariant()
    def never_more_than_the_total(self) -> None:
        if hasattr(self, "shares"):
            assert sum(self.flying) <= self.total
            assert sum(self.shares.counted) <= self.total

    def teardown(self) -> None:
        """Who alone has something to do gets all there is, once the others' requests are done."""
        if not hasattr(self, "shares"):
            return
        self.flying = [0] * self.slots
        for _ in range(3):
            for slot in range(self.slots):
                self.learn(slot)
                self.tell(slot, slot == 0)
        assert self.shares.allowed[0] == self.total


TestSharing = Sharing.TestCase


@given(st.lists(st.integers(0, 100), min_size=1, max_size=8), st.integers(0, 300))
def test_a_fair_part_is_no_more_than_was_wished_for_and_nobody_lacks_what_another_has_beyond(
    wishes: list[int], total: int
) -> None:
    parts = fair_parts(wishes, total)
    assert sum(parts) == min(total, sum(wishes))
    assert all(part <= wish for part, wish in zip(parts, wishes, strict=True))
    lacking = [part for part, wish in zip(parts, wishes, strict=True) if part < wish]
    assert not lacking or max(parts) <= min(lacking) + 1

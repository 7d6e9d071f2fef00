"""Eight bytes for each index, wherever they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchall.slots import Slots


@pytest.mark.parametrize("in_memory", [0, 2_000, 10_000_000])
@given(values=st.dictionaries(st.integers(0, 5_000), st.integers(-(2**63), 2**63 - 1).filter(bool), max_size=40))
def test_what_was_put_is_there_in_memory_and_on_disk(in_memory: int, values: dict[int, int]) -> None:
    slots = Slots(in_memory)
    for index, value in values.items():
        assert slots.put(index, value)
    assert {index: slots.get(index) for index in values} == values
    assert slots.used == len(values)
    assert slots.get(10**9) == 0
    assert sum(map(bool, slots.values)) == len(values)
    slots.close()


def test_a_slot_that_is_taken_stays_as_it_was() -> None:
    slots = Slots()
    assert slots.put(7, 1)
    assert not slots.put(7, 2)
    assert slots.get(7) == slots.used == 1

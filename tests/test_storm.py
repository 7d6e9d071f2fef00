"""Killed at random moments and gone on with: nothing lost, nothing twice; FETCHALL_FULL=1 for the full figures."""

from __future__ import annotations

import signal

import pytest

from bench.storm import kill_storm, signal_storm
from tests.resuming import FULL


@pytest.mark.timeout(3600)
def test_after_any_kill_every_url_has_exactly_one_row() -> None:
    found = kill_storm(300, 20_000) if FULL else kill_storm(8, 1_500, each=2)
    assert found.clean, found
    assert found.kills >= (300 if FULL else 8)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal_the_code_is_right_and_what_is_written_is_whole(number: signal.Signals) -> None:
    found = signal_storm(200, number, 3_000) if FULL else signal_storm(6, number, 1_000)
    assert found.clean, found

"""What many tests stand on: a server on loopback, and names and settings that belong to nobody."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.faults import FaultServer

# How long an example takes says how busy the machine is, not whether the rule holds.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A server of its own for each test, so that what it counts is this test's."""
    with FaultServer(("127.0.0.1",)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxies and no settings from whoever runs the tests."""
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or (name.startswith("FETCHALL_") and name not in _OURS):
            monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)


_OURS = ("FETCHALL_LOOP", "FETCHALL_FULL", "FETCHALL_FUZZ")
"""Settings of the tests themselves."""
_FAULTS = "::test_the_fault_gives_the_row_that_the_table_says["


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many cases of the table of faults held, of those that this machine could try."""
    held, broken = (
        sum(_FAULTS in report.nodeid for report in terminalreporter.getreports(outcome) if report.when == "call")
        for outcome in ("passed", "failed")
    )
    if held + broken:
        terminalreporter.write_line(f"faults: held {held} of {held + broken}")

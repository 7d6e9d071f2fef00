"""--verbose: what is set, without secrets, and every URL whose way was not straight."""

from __future__ import annotations

from dataclasses import replace

from fetchall import ErrorType, Options, Request, Result
from fetchall.verbose import detour, settings

STRAIGHT = Result(Request("http://h.test/"), "GET", "http://h.test/", status=200, ok=True, attempts=1, elapsed=0.1)


def test_settings_name_what_was_set_and_show_no_secret() -> None:
    told = settings(
        Options(
            concurrency=7,
            header=("X-Api-Key: hunter2",),
            user="me:hunter2",
            proxy="http://me:hunter2@p.test:1",
            cookie="a=hunter2",
            oauth2_bearer="hunter2",
        )
    )

    assert "concurrency=7" in told
    assert all(f"{name}=…" in told for name in ("header", "user", "proxy", "cookie", "oauth2-bearer"))
    assert "hunter2" not in told


def test_settings_that_are_as_they_come_are_said_to_be() -> None:
    assert "every option as it comes" in settings(Options())


def test_a_url_that_went_straight_has_nothing_told_of_it() -> None:
    assert detour(STRAIGHT) is None


def test_retries_redirects_and_failures_are_told_with_their_url() -> None:
    told = detour(
        replace(
            STRAIGHT,
            attempts=3,
            redirects=2,
            final_url="http://h.test/b",
            error_type=ErrorType.TRUNCATED,
            error="the connection ended",
        )
    )

    assert told is not None
    assert told.startswith("http://h.test/: 3 attempts")
    assert "2 redirects to http://h.test/b" in told
    assert told.endswith("truncated: the connection ended")

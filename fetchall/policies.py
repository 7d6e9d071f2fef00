"""
What the options mean to those who decide without knowing them: the retries' rule and the schedule.

Must not know what is decided.
"""

from __future__ import annotations

from fetchall.options import Options
from fetchall.retry import RetryPolicy
from fetchall.standing import Limits


def policy_of(options: Options) -> RetryPolicy:
    """What is worth another attempt."""
    return RetryPolicy(
        retries=options.retries,
        retry_delay=options.retry_delay,
        retry_max_time=options.retry_max_time,
        on=options.retry_on,
        all_methods=options.retry_all_methods,
    )


def limits_of(options: Options) -> Limits:
    """How much may go at once, and how often."""
    return Limits(
        per_host=options.per_host,
        rate=options.rate,
        per_host_rate=options.per_host_rate,
        max_host_errors=options.max_host_errors,
        retry_after_max=options.retry_after_max,
    )

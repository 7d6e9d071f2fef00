"""--respect-tags: what says by its header that it is not to be kept leaves a row and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetchall import Options, fetch_all
from fetchall.tags import forbidding, parse_tags
from tests.test_archives import archived, responses
from tests.test_bodies import answer, files, saved, site

TAGS = parse_tags(" NoAI, noindex,")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["noai"], "noai"),
        (["nofollow, NOINDEX"], "noindex"),
        (["nofollow", "noai"], "noai"),
        (["none"], "noindex"),
        (["all"], None),
        (["googlebot: noindex"], None),
        (["googlebot: nofollow, noindex"], None),
        (["googlebot: nofollow, fetchall: noindex"], "noindex"),
        (["Fetchall:noai"], "noai"),
        (["noimageai"], None),
        (["unavailable_after: 25 Jun 2030 15:00:00 GMT, noai"], "noai"),
        (["max-snippet:-1, max-image-preview:large"], None),
        ([""], None),
        ([], None),
    ],
)
def test_a_tag_counts_where_it_is_said_to_all_or_to_us(values: list[str], said: str | None) -> None:
    assert forbidding(values, TAGS, "fetchall") == said


@pytest.mark.parametrize("text", ["", ",", "a b", "googlebot: noai"])
def test_tags_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="commas"):
        parse_tags(text)


def tagged(path: str) -> bytes:
    return answer(path.encode(), extra="X-Robots-Tag: noai\r\n" if path == "/no" else "")


async def test_what_is_not_to_be_kept_leaves_a_row_and_no_body(tmp_path: Path) -> None:
    rows = await saved(tmp_path, tagged, ["/no", "/yes"], respect_tags=TAGS, body=True)
    assert [(row.status, row.ok, row.error_type) for row in rows] == [(200, False, "robots"), (200, True, None)]
    assert (rows[0].body, rows[0].file, rows[0].sha256) == (None, None, None)
    assert "X-Robots-Tag: noai" in (rows[0].error or "")
    assert list(files(tmp_path).values()) == [b"/yes"]


async def test_what_is_not_to_be_kept_is_not_archived(tmp_path: Path) -> None:
    await archived(tmp_path / "a.warc.gz", tagged, ["/no", "/yes"], respect_tags=TAGS)
    assert set(responses(tmp_path / "a.warc.gz")) == {"/yes"}


async def test_an_answer_that_was_cut_off_is_not_asked_for_again(tmp_path: Path) -> None:
    """What it says of itself came whole, and neither file nor archive may have the rest."""
    cut = answer(b"half", extra="X-Robots-Tag: noai\r\n", length=8)
    async with site(lambda _: cut) as base:
        (row,) = await fetch_all([base + "/x"], Options(bodies=str(tmp_path), respect_tags=("noai",)))
    assert (row.error_type, row.attempts, row.status) == ("robots", 1, 200)

"""Which requests a list shows, said by a URL: what is understood, and what people are told of the rest."""

from __future__ import annotations

import time

import pytest

from hush_otel.errors import ConfigError
from hush_otel.presentation import moments
from hush_otel.presentation.filters import Filters


def test_a_url_says_what_the_fields_say() -> None:
    """Each name of a field is read as what it is."""
    query = {
        "status": "failed",
        "workflow": "a b",
        "errors": "1",
        "min_ms": "250",
        "until": "2026-01-31T00:00Z",
    }
    expected = Filters(status="failed", workflow="a b", errors=True, min_ms=250.0, until=1769817600.0)
    assert Filters.from_query(query) == expected


def test_other_names_and_empty_values_say_nothing() -> None:
    """Paging and what a form leaves empty are no filters."""
    filters = Filters.from_query({"limit": "50", "before": "x", "model": "", "errors": " ", "min_ms": ""})
    assert filters == Filters()
    assert not filters.chooses


def test_an_age_is_counted_from_now() -> None:
    """Ages are as the command line has them."""
    before = time.time()
    since = Filters.from_query({"since": "2h"}).since
    assert since is not None
    assert before <= since + 7200 + 1e-3
    assert since + 7200 - 1e-3 <= time.time()


def test_a_length_of_time_may_have_a_unit() -> None:
    """A bare number is milliseconds."""
    assert Filters.from_query({"min_ms": "1.5s"}).min_ms == 1500.0
    assert Filters.from_query({"min_ms": "20ms"}).min_ms == 20.0


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"status": "done"}, "status: no request is ever 'done' .one of writing, failed, .* or stored"),
        ({"since": "yesterday"}, "since: 'yesterday' is neither an age"),
        ({"until": "2026-13-01"}, "until: '2026-13-01' is neither an age"),
        ({"min_ms": "-1"}, "min_ms: '-1' is no length of time"),
        ({"min_ms": "nan"}, "min_ms: 'nan' is no length of time"),
        ({"min_ms": "²"}, "min_ms: '²' is no length of time"),
        ({"min_ms": "9" * 400}, "min_ms: no request takes as long as that"),
        ({"min_ms": "9" * 400 + "s"}, "min_ms: no request takes as long as that"),
        ({"errors": "maybe"}, "errors: 'maybe' is neither 1 nor 0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(query: dict[str, str], words: str) -> None:
    """The message names the filter, what was said, and what could be."""
    with pytest.raises(ConfigError, match=words):
        Filters.from_query(query)


def test_a_time_without_offset_is_local() -> None:
    """As people write it."""
    assert moments.moment("2026-01-31T00:00:00+00:00") == 1769817600.0
    assert moments.moment(" 2026-01-31T00:00:00Z ") == 1769817600.0

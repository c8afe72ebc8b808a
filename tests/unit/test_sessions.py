"""Sessions, the one that was last active first; and what there is to filter by."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from store_rows import START_S, StoreRows

from hush_otel.presentation import sessions as module
from hush_otel.presentation.sessions import facets, requests_of, sessions
from hush_otel.store.reading import Reader

SESSIONS = 7


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Sessions that take turns, and requests without one between them."""
    path = tmp_path_factory.mktemp("sessions") / "traces.db"
    with StoreRows(path) as rows:
        for n in range(40):
            request = rows.request(
                f"r{n}",
                session_id=f"s{n % SESSIONS}" if n % 4 else None,
                user_id=f"u{n % 2}",
                workflow_name=f"w{n % 3}",
                error_count=n % 3,
                total_tokens=n,
                created_at=START_S + n,
            )
            rows.label(request, 0, f"m{n % 2}")
            rows.label(request, 1, "prod")
    with Reader(path) as opened:
        yield opened


def test_sessions_by_their_newest_request(reader: Reader) -> None:
    """Each once, with its requests added up; requests without a session are in none."""
    found = sessions(reader, limit=10)
    assert found.next is None
    assert [one["session_id"] for one in found.requests] == ["s4", "s3", "s2", "s0", "s6", "s5", "s1"]
    numbers = [n for n in range(40) if n % 4 and n % SESSIONS == 4]
    assert found.requests[0] == {
        "session_id": "s4",
        "user_id": "u1",
        "request_count": len(numbers),
        "error_count": sum(n % 3 > 0 for n in numbers),
        "first_at": START_S + numbers[0],
        "last_at": START_S + numbers[-1],
        "total_tokens": sum(numbers),
        "cost_usd": None,
        "computed_usd": None,
        "complete": True,
    }


@pytest.mark.parametrize("step", [3, 1000])
@pytest.mark.parametrize("budget_s", [0.0, 60.0])
def test_pages_of_sessions(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, step: int, budget_s: float
) -> None:
    """In whatever steps and however soon the time is up: each session once."""
    monkeypatch.setattr(module, "STEP", step)
    found, before = list[str](), None
    while True:
        page = sessions(reader, limit=2, before=before, budget_s=budget_s)
        found += [one["session_id"] for one in page.requests]
        if page.next is None:
            break
        before = page.next
    assert found == ["s4", "s3", "s2", "s0", "s6", "s5", "s1"]


def test_a_session_without_end_is_added_up_in_part(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its newest requests, and it says so."""
    monkeypatch.setattr(module, "MOST_REQUESTS", 2)
    (newest, *_) = sessions(reader, limit=1).requests
    assert (newest["request_count"], newest["complete"]) == (2, False)


def test_requests_of_a_session_are_oldest_first(reader: Reader) -> None:
    """As a conversation is read."""
    assert [one["request_id"] for one in requests_of(reader, "s4", limit=3)] == ["r18", "r25", "r39"]


def test_facets_are_of_the_newest(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The most recent first, some of each, from a bounded look."""
    assert facets(reader) == {
        "workflows": ["w0", "w2", "w1"],
        "models": ["m1", "m0"],
        "users": ["u1", "u0"],
        "sessions": ["s4", "s3", "s2", "s0", "s6", "s5", "s1"],
        "tags": ["prod"],
    }
    monkeypatch.setattr(module, "LOOKED_AT", 1)
    assert facets(reader)["sessions"] == ["s4"]

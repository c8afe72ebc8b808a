"""The file destination: whole OTLP JSON lines, for the owner alone, whatever a crash left behind."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from hush_otel.destinations.registry import open_sender
from hush_otel.errors import PausedError, PermanentError, RetryableError
from hush_otel.model import DestinationConfig, Origin, SpanData
from hush_otel.testing import decode_request

SPAN = SpanData(
    trace_id=bytes(range(16)),
    span_id=bytes(range(8)),
    parent_span_id=None,
    flags=1,
    trace_state="",
    name="line\nbreak",
    kind=1,
    start_ns=1,
    end_ns=2,
    status_code=0,
    status_message="",
    attributes={"k": "v"},
    events=[],
    links=[],
    dropped_attributes=0,
    dropped_events=0,
    dropped_links=0,
    origin=Origin(),
    request_id="r",
)


def send(path: Path | str, count: int = 1) -> None:
    """Open the destination and send one batch."""
    sender = open_sender(DestinationConfig("test", "file", {"path": str(path)}))
    sender.send([SPAN] * count)
    sender.close()


def span_counts(path: Path) -> list[int]:
    """Spans of each line, every one parsed as an OTLP JSON request."""
    return [len(decode_request(line, "application/json")) for line in path.read_bytes().splitlines()]


def test_each_batch_is_one_otlp_json_line(tmp_path: Path) -> None:
    """Batches are appended as lines that an OTLP JSON reader understands."""
    path = tmp_path / "spans.jsonl"
    send(path, 1)
    send(path, 3)
    assert span_counts(path) == [1, 3]
    assert path.read_bytes().endswith(b"\n")
    span = json.loads(path.read_text().splitlines()[0])["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert span["traceId"] == bytes(range(16)).hex()


def test_file_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    """A new file has mode 0600 whatever the umask allows."""
    before = os.umask(0)
    try:
        send(tmp_path / "spans.jsonl")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "spans.jsonl").stat().st_mode) == 0o600


def test_torn_last_line_is_left_alone(tmp_path: Path) -> None:
    """After a crash inside a write the next batch starts on a line of its own."""
    path = tmp_path / "spans.jsonl"
    send(path)
    with path.open("ab") as file:
        file.write(b'{"resourceSpans":[{"reso')
    send(path, 2)
    lines = path.read_bytes().splitlines()
    assert lines[1] == b'{"resourceSpans":[{"reso'
    assert len(decode_request(lines[2], "application/json")) == 2


def test_file_that_was_moved_away_is_created_again(tmp_path: Path) -> None:
    """Log rotation needs no restart: the next batch makes a new file."""
    path = tmp_path / "spans.jsonl"
    sender = open_sender(DestinationConfig("test", "file", {"path": str(path)}))
    sender.send([SPAN])
    path.rename(tmp_path / "old.jsonl")
    sender.send([SPAN])
    assert span_counts(path) == [1]


def test_s02_link_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link at the path pauses: someone else may have put it there."""
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(PausedError, match="link"):
        send(tmp_path / "link")
    assert target.read_text() == "mine"


def test_fifo_is_refused_without_blocking(tmp_path: Path) -> None:
    """A FIFO is no file to append to, and opening one must not hang."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(PausedError, match="no regular file"):
        send(tmp_path / "fifo")


def test_missing_directory_pauses(tmp_path: Path) -> None:
    """A directory that is not there can be made: paused, not dead."""
    with pytest.raises(PausedError, match="No such file or directory"):
        send(tmp_path / "missing" / "spans.jsonl")


def test_full_disk_is_retryable(tmp_path: Path) -> None:
    """No room now may be room later, and no half line stays behind."""
    path = tmp_path / "spans.jsonl"
    send(path)
    size = path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, limits[1]))
        with pytest.raises(RetryableError, match="File too large"):
            send(path, 50)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert path.stat().st_size == size


def test_other_writer_is_waited_for(tmp_path: Path) -> None:
    """While another process appends, the batch is tried again later."""
    path = tmp_path / "spans.jsonl"
    path.touch()
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RetryableError):
            send(path)
    send(path)
    assert span_counts(path) == [1]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "path"),
        ({"path": ""}, "path"),
        ({"path": 5}, "path"),
        ({"path": "a\0b"}, "path"),
        ({"path": "spans.jsonl"}, "path: 'spans.jsonl' is relative"),
        ({"path": "/x", "mode": "w"}, "mode: is no option"),
    ],
)
def test_wrong_configuration_names_its_key(config: dict[str, Any], words: str) -> None:
    """A configuration that cannot work is refused at opening, with the key in the message."""
    with pytest.raises(PermanentError, match=words):
        open_sender(DestinationConfig("test", "file", config))


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leading ~ is the home directory of the process that delivers."""
    monkeypatch.setenv("HOME", str(tmp_path))
    send("~/spans.jsonl")
    assert span_counts(tmp_path / "spans.jsonl") == [1]

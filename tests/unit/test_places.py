"""Paths that cannot be what they are meant for: the database, and directories of ours."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from inprocess import App, no_background, settings_for

from hush_otel import HushSpanExporter, HushSpanProcessor, TraceStore, get_background, get_store
from hush_otel.background.service import elect
from hush_otel.errors import ConfigError, SpoolError, StoreError
from hush_otel.private import make_private_directory
from hush_otel.sqlite_file import why_no_database
from hush_otel.store.database import Database

FOREIGN = b"this is no database, but it is mine\n"


def directory(path: Path) -> None:
    """Where a file should be."""
    path.mkdir()


def foreign(path: Path) -> None:
    """Somebody's text, readable by all."""
    path.write_bytes(FOREIGN)
    path.chmod(0o644)


def short(path: Path) -> None:
    """Fewer bytes than the magic has."""
    path.write_bytes(b"SQLite")


def fifo(path: Path) -> None:
    """Opening it could block."""
    os.mkfifo(path)


def link(path: Path) -> None:
    """It leads nowhere."""
    path.symlink_to(path.with_name("elsewhere.db"))


WRONG = [
    (directory, "a directory"),
    (foreign, "no SQLite database"),
    (short, "no SQLite database"),
    (fifo, "no regular file"),
    (link, "a symbolic link"),
]


@pytest.fixture(autouse=True)
def nobody_drains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is launched, and this machine's settings do not count."""
    for key in [key for key in os.environ if key.startswith("HUSH_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HUSH_BACKGROUND", "external")


@pytest.mark.parametrize(
    "way_in", [HushSpanProcessor, HushSpanExporter, TraceStore, get_store, get_background]
)
@pytest.mark.parametrize(("make", "said"), WRONG)
def test_the_app_learns_that_a_path_is_taken(
    make: Callable[[Path], None], said: str, way_in: Callable[[Path], object], tmp_path: Path
) -> None:
    """ConfigError at construction; nothing is made beside what stands there."""
    db = tmp_path / "t.db"
    make(db)
    with pytest.raises(ConfigError, match=rf"the database {db} is {said} \(set HUSH_TRACES_DB"):
        way_in(db)
    assert list(tmp_path.iterdir()) == [db]


@pytest.mark.parametrize(("make", "said"), WRONG)
def test_the_background_process_leaves_what_is_not_its_own_as_it_is(
    make: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    """Neither content nor mode change, and the message says what stands there and where records are."""
    db = tmp_path / "t.db"
    make(db)
    before = db.lstat()
    with pytest.raises(StoreError, match=rf"^{db} is {said} \(set HUSH_TRACES_DB.*the spool keeps"):
        elect(settings_for(db))
    after = db.lstat()
    assert (after.st_mode, after.st_size, after.st_mtime_ns) == (
        before.st_mode,
        before.st_size,
        before.st_mtime_ns,
    )


def test_an_empty_file_and_a_database_are_taken(tmp_path: Path) -> None:
    """`touch`, the seed's own file, and one of ours, open or closed: made private and used."""
    empty, seed = tmp_path / "empty.db", tmp_path / "seed.db"
    empty.touch(0o644)
    with sqlite3.connect(seed) as other:
        other.execute("CREATE TABLE traces (id)")
    other.close()
    seed.chmod(0o644)
    for path in (empty, seed, tmp_path / "none.db"):
        assert why_no_database(path) == ""
        database = Database(path)
        assert why_no_database(path) == ""
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        database.close()
        assert why_no_database(path) == ""


def test_a_file_that_sqlite_has_open_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing another descriptor of it would free the locks of this process's connections."""
    database = Database(tmp_path / "t.db")

    def refuse(*_: object) -> int:
        raise AssertionError("opened")

    monkeypatch.setattr(os, "open", refuse)
    assert why_no_database(tmp_path / "t.db") == ""
    monkeypatch.undo()
    database.close()


@pytest.mark.parametrize("below", ["dangling", "/proc/self"])
def test_where_nothing_can_be_made_the_search_for_a_parent_ends(below: str, tmp_path: Path) -> None:
    """A dangling link and /proc are there, and cannot hold a directory: an OSError, and the usual messages."""
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "at all")
    top = Path(below) if below.startswith("/") else tmp_path / below
    if not top.is_symlink() and not top.exists():
        pytest.skip("no /proc")
    for path in (top / "a", top / "a" / "b" / "c"):
        with pytest.raises(OSError, match=str(top)):
            make_private_directory(path)
        with pytest.raises(SpoolError, match="cannot make the spool directory"):
            elect(settings_for(path / "t.db"))
        with pytest.raises(StoreError, match="cannot make the database"):
            Database(path / "t.db")


def test_s01_missing_parents_are_made_private(tmp_path: Path) -> None:
    """All of them 0700; what is there already stays as it is."""
    make_private_directory(tmp_path / "a" / "b" / "c")
    make_private_directory(tmp_path / "a" / "b" / "c")
    for path in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def below_a_file(tmp_path: Path) -> Path:
    """No directory can be made there."""
    (tmp_path / "file").write_text("mine")
    return tmp_path / "file" / "deeper" / "t.db"


def below_a_device(tmp_path: Path) -> Path:
    """Nor there."""
    return Path("/dev/null/t.db")


def of_the_kernel(tmp_path: Path) -> Path:
    """Root may write there, says its mode."""
    if not Path("/proc/self").exists():
        pytest.skip("no /proc")
    return Path("/proc/t.db")


def too_long(tmp_path: Path) -> Path:
    """The name itself is possible, and those of the files beside it are not."""
    return tmp_path / ("n" * 252)


def far_too_long(tmp_path: Path) -> Path:
    """No name of any file."""
    return tmp_path / ("n" * 300) / "t.db"


IMPOSSIBLE = [
    (below_a_file, "file is no directory"),
    (below_a_device, "/dev/null is no directory"),
    (of_the_kernel, "nobody can make files in /proc"),
    (too_long, "a name in it is too long"),
    (far_too_long, "a name in it is too long"),
]


@pytest.mark.parametrize("background", ["process", "external"])
@pytest.mark.parametrize(("place", "said"), IMPOSSIBLE)
def test_f28_a_place_where_nothing_can_be_made_is_an_error_at_construction(
    place: Callable[[Path], Path], said: str, background: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F28: the key and what is in the way; nothing is made."""
    monkeypatch.setenv("HUSH_BACKGROUND", background)
    path = place(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match=f"^HUSH_TRACES_DB: {path} cannot be used: .*{said}"):
        HushSpanProcessor(path)
    if path.parent != tmp_path:
        monkeypatch.setenv("HUSH_SPOOL_DIR", str(path.parent))
        with pytest.raises(ConfigError, match=f"^HUSH_SPOOL_DIR: {path.parent}.* cannot be used: .*{said}"):
            HushSpanProcessor(tmp_path / "t.db")
    assert sorted(tmp_path.rglob("*")) == before


def test_f28_a_home_that_this_user_cannot_make_is_an_error_at_construction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F28: a service's user often has none; whoever drains elsewhere may be another user, the spool is ours."""
    # root may write anywhere, whatever the mode says
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "nonexistent"))
    monkeypatch.setenv("HUSH_BACKGROUND", "process")
    with pytest.raises(ConfigError, match=f"^HUSH_TRACES_DB: .* this user can make no files in {tmp_path} "):
        HushSpanProcessor()
    monkeypatch.setenv("HUSH_BACKGROUND", "external")
    with pytest.raises(ConfigError, match=f"^HUSH_SPOOL_DIR: .* this user can make no files in {tmp_path} "):
        HushSpanProcessor()
    (tmp_path / "spool").mkdir()
    monkeypatch.setenv("HUSH_SPOOL_DIR", str(tmp_path / "spool"))
    HushSpanProcessor()


def test_a_path_that_is_no_text_is_as_good_as_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory's name in Latin-1, say: what is recorded there is stored, by one owner after another."""
    place = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        place.mkdir()
    except OSError:
        pytest.skip("this filesystem has names in UTF-8 only")
    no_background(monkeypatch, tmp_path)
    app = App(place / "t.db")
    for name in ("first", "second"):
        app.tracer.start_span(name).end()
        app.drain()
    assert [span["name"] for span in app.spans()] == ["first", "second"]

"""`hush-otel doctor`: each finding, its mend, the exit code; what is safe is mended when asked."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from inprocess import App, no_background
from searching import assert_whole

from hush_otel import Destination
from hush_otel.cli.main import main
from hush_otel.spool.locks import lock_file
from hush_otel.testing import OtlpReceiver

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody drains, no settings of this machine."""
    no_background(monkeypatch, tmp_path)


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A receiver that accepts everything."""
    with OtlpReceiver() as one:
        yield one


@pytest.fixture
def app(tmp_path: Path, receiver: OtlpReceiver) -> App:
    """One span, stored and owed to the receiver."""
    app = App(tmp_path / "t.db", destinations=[Destination("otlp", name="lab", endpoint=receiver.endpoint)])
    app.tracer.start_span("one").end()
    app.drain()
    return app


class Visit:
    """What the doctor said."""

    def __init__(self, db: Path, capsys: Capture, *options: str) -> None:
        capsys.readouterr()
        self.code = main(["--db", str(db), "doctor", "--json", *options])
        self.findings: list[dict[str, Any]] = json.loads(capsys.readouterr().out)

    def wrong(self) -> dict[str, dict[str, Any]]:
        """What has to be mended, by subject."""
        return {one["subject"]: one for one in self.findings if one["level"] == "wrong"}

    def words(self, subject: str) -> str:
        """All that is said of a subject."""
        return " · ".join(one["words"] for one in self.findings if one["subject"] == subject)


def test_all_is_well_where_it_is(app: App, capsys: Capture) -> None:
    """Exit code 0; versions, place, spool, database, destinations are looked at."""
    visit = Visit(app.db_path, capsys)
    assert visit.wrong() == {}
    assert visit.code == 0
    assert "integrity_check passed" in visit.words("database")
    assert "answers" in visit.words("destination lab")
    assert "hush-otel" in visit.words("versions")
    assert main(["--db", str(app.db_path), "doctor"]) == 0


def test_nothing_recorded_yet_is_no_illness(tmp_path: Path, capsys: Capture) -> None:
    """It says so, and makes nothing."""
    visit = Visit(tmp_path / "t.db", capsys)
    assert visit.code == 0
    assert "none at" in visit.words("database")
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_leads_nowhere_is_no_place_for_a_database(tmp_path: Path, capsys: Capture) -> None:
    """Applications refuse it: it is not the same as nothing."""
    (tmp_path / "t.db").symlink_to(tmp_path / "gone.db")
    visit = Visit(tmp_path / "t.db", capsys)
    assert visit.code == 1
    assert "is a symbolic link" in visit.wrong()["database"]["words"]


MISTAKES = """
destnations = ["lab"]
live = "perhaps"
[destination.lab]
type = "otlp"
endpont = "http://127.0.0.1:4318"
[destination.none]
"""


LITERALS = """
[destination.told]
type = "otlp"
endpoint = "http://joe:planted-password@127.0.0.1:4318"
client_certificate = "/lab/client.pem"
client_key = "/lab/client.key"
headers = { authorization = "Bearer planted-token", x-key = "${LAB_KEY}" }
[destination.referred]
type = "otlp"
endpoint = "http://${LAB_USER}@127.0.0.1:4318"
headers = { authorization = "Bearer ${LAB_KEY}", x-key = "${file:/lab/key}" }
"""


def test_a_literal_secret_in_the_file_is_worth_a_note(
    app: App, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the keys and what to write instead, never a value; references are as they should be."""
    config = tmp_path / "hush.toml"
    config.write_text(LITERALS)
    monkeypatch.setenv("HUSH_CONFIG", str(config))
    visit = Visit(app.db_path, capsys)
    (found,) = [one for one in visit.findings if "itself" in one["words"]]
    assert (found["subject"], found["level"]) == ("destination told", "note")
    assert found["words"] == f"endpoint, headers.authorization: a secret may stand in {config} itself"
    assert "${NAME}" in found["mend"]
    assert "planted" not in json.dumps(visit.findings)
    assert visit.code == 0


@pytest.mark.parametrize(
    ("directory", "file", "writable"),
    [
        (0o700, 0o600, None),
        (0o755, 0o644, None),
        (0o700, 0o666, None),
        (0o750, 0o646, None),
        (0o755, 0o646, "conf/hush.toml"),
        (0o755, 0o664, "conf/hush.toml"),
        (0o777, 0o600, "conf"),
        (0o775, 0o600, "conf"),
        (0o777, None, "conf"),
        (0o1777, 0o600, None),
        (0o1777, None, "conf"),
    ],
)
def test_s01_a_configuration_that_others_may_write_is_wrong(
    app: App,
    tmp_path: Path,
    capsys: Capture,
    directory: int,
    file: int | None,
    writable: str | None,
) -> None:
    """Whoever may, decides where spans go and what is redacted: it, or its directory, by whatever path."""
    config = tmp_path / "conf" / "hush.toml"
    config.parent.mkdir()
    (tmp_path / ".hush").symlink_to(config.parent)
    if file is not None:
        config.write_text("live = true\n")
        config.chmod(file)
    config.parent.chmod(directory)
    visit = Visit(app.db_path, capsys)
    found = visit.wrong().get("configuration")
    assert (found is None) == (writable is None)
    if found is not None and writable is not None:
        assert f"other users may write {tmp_path / writable}:" in found["words"]
        assert Visit(app.db_path, capsys, "--fix").wrong()["configuration"]["fixed"]
        assert Visit(app.db_path, capsys).code == 0


def test_every_mistake_in_the_settings_is_a_finding(
    app: App, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it could be instead; everything else is looked at all the same."""
    config = tmp_path / "hush.toml"
    config.write_text(MISTAKES)
    monkeypatch.setenv("HUSH_CONFIG", str(config))
    visit = Visit(app.db_path, capsys)
    assert visit.code == 1
    found = [one for one in visit.findings if one["subject"] == "configuration"]
    for one, (words, mend) in zip(
        found,
        (
            (f"unknown key 'destnations' in {config}", "destinations"),
            (f"live in {config} is 'perhaps'", "true or false"),
            (f"[destination.lab] in {config}: endpont", "endpoint"),
            (f"[destination.none] in {config} has no type", "otlp"),
        ),
        strict=True,
    ):
        assert (one["level"], words in one["words"], mend in one["mend"]) == ("wrong", True, True), one
    assert "integrity_check passed" in visit.words("database")


@pytest.mark.parametrize(
    ("content", "variable", "words"),
    [("live = ", "", "cannot read the configuration file"), ("", "//", "HUSH_TRACES_DB")],
    ids=["no TOML", "no path"],
)
def test_settings_that_cannot_be_read_at_all_are_a_finding(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, content: str, variable: str, words: str
) -> None:
    """The doctor is whom one asks then."""
    (tmp_path / "hush.toml").write_text(content)
    monkeypatch.setenv("HUSH_CONFIG", str(tmp_path / "hush.toml"))
    monkeypatch.setenv("HUSH_TRACES_DB", variable)
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert words in said
    assert "correct it" in said


def test_rights_of_others_are_found_and_taken_away(app: App, capsys: Capture) -> None:
    """Database, spool and what lies in it."""
    app.db_path.chmod(0o644)
    (app.settings.spool_dir / "lock").chmod(0o666)
    visit = Visit(app.db_path, capsys)
    assert visit.code == 1
    assert "2 paths open to other users" in visit.words("permissions")
    assert Visit(app.db_path, capsys, "--fix").code == 0
    modes = {
        path: stat.S_IMODE(path.stat().st_mode) for path in (app.db_path, app.settings.spool_dir / "lock")
    }
    assert set(modes.values()) == {0o600}
    assert Visit(app.db_path, capsys).code == 0


def foreign(path: Path, kind: str) -> Path:
    """What somebody else's program has made, with the rights that it has chosen."""
    if kind == "directory":
        path.mkdir()
        path.chmod(0o755)
        return path
    if kind == "database":
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE orders (id INTEGER)")
        db.close()
    else:
        path.write_text("shopping list")
    path.chmod(0o664)
    return path


@pytest.mark.parametrize("kind", ["database", "text", "directory"])
def test_what_is_not_ours_keeps_its_rights(tmp_path: Path, capsys: Capture, kind: str) -> None:
    """A path that was given by mistake is named, and --fix leaves it as it is."""
    path = foreign(tmp_path / "app.db", kind)
    before = path.lstat()
    visit = Visit(path, capsys, "--fix")
    assert list(visit.wrong()) == ["database"]
    assert str(path) in visit.words("database")
    after = path.lstat()
    assert (after.st_mode, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_mode,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )


def test_a_damaged_database_without_a_spool_is_not_moved(tmp_path: Path, capsys: Capture) -> None:
    """Nothing says that it was ever ours."""
    path = foreign(tmp_path / "app.db", "database")
    with path.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(4096))
    visit = Visit(path, capsys, "--fix")
    assert "is damaged" in visit.wrong()["database"]["words"]
    assert not visit.wrong()["database"]["can_fix"]
    assert path.exists()


def test_an_empty_file_is_closed_like_ours(tmp_path: Path, capsys: Capture) -> None:
    """It becomes the database with the first record."""
    path = tmp_path / "t.db"
    path.touch(mode=0o644)
    Visit(path, capsys, "--fix")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_directories_that_others_may_enter_are_closed(app: App, capsys: Capture) -> None:
    """The spool and what lies in it; the next visit finds nothing."""
    salvage = app.settings.spool_dir / "salvage"
    salvage.mkdir(mode=0o700, exist_ok=True)
    for directory in (app.settings.spool_dir, salvage):
        directory.chmod(0o755)
    assert "2 paths open to other users" in Visit(app.db_path, capsys).wrong()["permissions"]["words"]
    assert Visit(app.db_path, capsys, "--fix").wrong()["permissions"]["fixed"] == "2 paths made private"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (app.settings.spool_dir, salvage)}
    assert modes == {0o700}
    visit = Visit(app.db_path, capsys)
    assert (visit.code, visit.wrong()) == (0, {})


def test_a_directory_that_its_owner_cannot_write_is_found_and_opened(
    app: App, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There every span is dropped; --fix gives the right back."""
    spool = app.settings.spool_dir
    # root may write anywhere, whatever the mode says
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).stat().st_mode & stat.S_IWUSR)
    spool.chmod(0o500)
    visit = Visit(app.db_path, capsys)
    assert visit.code == 1
    assert f"this user can make no files in {spool}" in visit.words("permissions")
    assert Visit(app.db_path, capsys, "--fix").code == 0
    assert stat.S_IMODE(spool.stat().st_mode) == 0o700
    assert Visit(app.db_path, capsys).wrong() == {}


@pytest.mark.parametrize("ours", [True, False])
def test_a_database_that_its_owner_cannot_read_is_found_and_opened(
    app: App, capsys: Capture, monkeypatch: pytest.MonkeyPatch, *, ours: bool
) -> None:
    """Of mode 000; --fix gives the right back where the file is this user's."""
    # root may read anything, whatever the mode says
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).stat().st_mode & stat.S_IRUSR)
    app.db_path.chmod(0)
    if not ours:
        user = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    words = f"this user cannot read and write {app.db_path}"
    (said,) = [one for one in Visit(app.db_path, capsys).findings if one["words"] == words]
    assert (said["level"], said["can_fix"]) == ("wrong", ours)
    Visit(app.db_path, capsys, "--fix")
    assert stat.S_IMODE(app.db_path.stat().st_mode) == (0o600 if ours else 0)


@pytest.mark.parametrize("column", ["created_at", "last_at"])
def test_a_clock_that_was_set_back_is_noticed_after_newer_rows(
    app: App, capsys: Capture, column: str
) -> None:
    """What was written under the clock of before is not the last row for long."""
    with sqlite3.connect(app.db_path) as db:
        db.execute(f"UPDATE hush_requests SET {column} = {column} + 7200")  # noqa: S608
    db.close()
    app.tracer.start_span("later").end()
    app.drain()
    assert "ahead of now: the clock was set back" in Visit(app.db_path, capsys).words("clock")


def test_a_place_that_cannot_be_looked_at_is_a_finding(tmp_path: Path, capsys: Capture) -> None:
    """Everything else is looked at all the same."""
    visit = Visit(tmp_path / ("x" * 300), capsys)
    assert visit.code == 1
    assert "cannot be looked at: File name too long" in visit.words("database")
    assert "hush-otel" in visit.words("versions")


def test_a_segment_that_goes_meanwhile_is_no_illness(
    app: App, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever drains unlinks it between two looks."""
    segment = app.settings.spool_dir / f"{'0' * 32}.seg"
    look = Path.stat

    def once(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        status = look(path, follow_symlinks=follow_symlinks)
        if path == segment:
            segment.unlink()
        return status

    segment.touch(mode=0o600)
    monkeypatch.setattr(Path, "stat", once)
    assert Visit(app.db_path, capsys).code == 0
    assert not segment.exists()


def test_a_python_that_is_no_program_is_wrong(
    app: App, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory, or a file that cannot be run, starts no background process."""
    monkeypatch.setenv("HUSH_PYTHON", str(tmp_path))
    assert f"{tmp_path} is no program" in Visit(app.db_path, capsys).wrong()["HUSH_PYTHON"]["words"]


@pytest.mark.parametrize(
    ("free", "files", "level"), [(0, 9, "wrong"), (9, 0, "wrong"), (10_000, 9, "note"), (10**6, 9, "ok")]
)
def test_a_full_disk_is_wrong(
    app: App, capsys: Capture, monkeypatch: pytest.MonkeyPatch, free: int, files: int, level: str
) -> None:
    """Spans are dropped there; a disk with little room is only noted."""
    there = os.statvfs_result((4096, 4096, 10**6, free, free, 10, files, files, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: there)
    visit = Visit(app.db_path, capsys)
    assert [one["level"] for one in visit.findings if one["subject"] == "room"] == [level]
    assert visit.code == (level == "wrong")


def test_a_backlog_that_nobody_drains_is_wrong(app: App, capsys: Capture) -> None:
    """It names the two commands that store it."""
    app.tracer.start_span("two").end()
    visit = Visit(app.db_path, capsys)
    assert visit.code == 1
    assert "hush-otel run" in visit.wrong()["background process"]["mend"]


def test_a_file_that_is_no_segment_is_moved_to_salvage(app: App, capsys: Capture) -> None:
    """Its bytes are kept."""
    strange = app.settings.spool_dir / f"{'ab' * 16}.seg"
    strange.write_bytes(b"not a segment" * 100)
    assert Visit(app.db_path, capsys).wrong()["spool"]["can_fix"]
    assert Visit(app.db_path, capsys, "--fix").code == 0
    (kept,) = (app.settings.spool_dir / "salvage").iterdir()
    assert kept.read_bytes() == b"not a segment" * 100
    assert not strange.exists()
    visit = Visit(app.db_path, capsys)
    assert "gave no row" in visit.words("salvage")
    assert (visit.code, visit.wrong()) == (0, {})


def damage(db: Path) -> None:
    """Overwrite pages in its middle."""
    with sqlite3.connect(db) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with db.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8 * 4096))


def test_f26_a_damaged_database_is_found_and_moved_aside(app: App, capsys: Capture) -> None:
    """Then a new one takes what comes, and the doctor goes on to say where the damaged one lies."""
    app.tracer.start_span("not yet stored").end()
    damage(app.db_path)
    assert "is damaged" in Visit(app.db_path, capsys).wrong()["database"]["words"]
    Visit(app.db_path, capsys, "--fix")
    (aside,) = [
        path
        for path in app.db_path.parent.glob("t.db.damaged-*")
        if "-wal" not in path.name and "-shm" not in path.name
    ]
    app.drain()
    visit = Visit(app.db_path, capsys)
    assert visit.code == 1
    assert str(aside) in visit.words("database")
    assert "integrity_check passed" in visit.words("database")
    assert list(visit.wrong()) == ["database"], "until somebody has saved its rows, or does without them"
    for path in app.db_path.parent.glob("t.db.damaged-*"):
        path.unlink()
    visit = Visit(app.db_path, capsys)
    assert (visit.code, visit.wrong()) == (0, {})


def test_a_damaged_database_is_left_while_a_process_has_it(
    app: App, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moved away under it, the next writes would be read by nobody."""
    damage(app.db_path)
    monkeypatch.setattr(type(lock_file(app.settings.spool_dir / "lock")), "try_lock", lambda *_: False)
    assert Visit(app.db_path, capsys, "--fix").code == 1
    assert app.db_path.exists()


def test_a_damaged_index_is_found_and_made_anew(app: App, capsys: Capture) -> None:
    """Rows are not concerned; whoever works on the spool next does it."""
    assert "up to date" in Visit(app.db_path, capsys).words("search")
    with sqlite3.connect(app.db_path) as db:
        db.execute("UPDATE hush_search_data SET block = x'00' WHERE id > 10")
    found = Visit(app.db_path, capsys, "--fix")
    assert found.code == 0
    assert found.wrong()["search"]["fixed"].startswith("asked for")
    app.drain()
    assert Visit(app.db_path, capsys).wrong() == {}
    assert_whole(app.db_path)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("/etc/hosts")])
def test_what_cannot_be_opened_as_a_segment_is_moved_to_salvage(
    app: App, capsys: Capture, make: Callable[[Path], None]
) -> None:
    """A link is moved itself, and never followed; whoever drains tries it again and again."""
    strange = app.settings.spool_dir / f"{'ab' * 16}.seg"
    make(strange)
    assert strange.name in Visit(app.db_path, capsys).wrong()["spool"]["words"]
    Visit(app.db_path, capsys, "--fix")
    assert not strange.exists()
    assert Visit(app.db_path, capsys).wrong() == {}
    assert Path("/etc/hosts").exists()


def test_a_host_that_is_no_name_is_wrong(tmp_path: Path, capsys: Capture) -> None:
    """A mark may bring one. As one that cannot be reached: what comes behind it is looked at all the same."""
    other = Destination("otlp", name="zzz", endpoint="http://127.0.0.1:9")
    app = App(tmp_path / "t.db", destinations=[other])
    app.tracer.start_span("one").end()
    app.store.insert_node_trace("r", "w", "n", None, None, 1, None, None, None, None, None)
    app.store.mark_request_complete("r", "otlp", {"endpoint": "http://a..b:4318"})
    app.drain()
    wrong = Visit(app.db_path, capsys).wrong()
    (lab,) = [one for subject, one in wrong.items() if subject.startswith("destination otlp")]
    assert "a..b:4318 cannot be reached from here" in lab["words"]
    assert "destination zzz" in wrong


def test_an_address_that_is_none_ends_nothing(tmp_path: Path, capsys: Capture) -> None:
    """A mark may bring it: its delivery says what is wrong, and the other destinations are looked at."""
    app = App(tmp_path / "t.db")
    for number, (kind, port) in enumerate((("MyTracer", "[bad"), ("otlp", "127.0.0.1:9"))):
        app.store.insert_node_trace(f"r{number}", "flow", "a", None, None, 1, None, None, 1.0, {}, {})
        app.store.mark_request_complete(f"r{number}", kind, {"endpoint": f"http://{port}"})
    app.drain()
    (wrong,) = Visit(app.db_path, capsys).wrong().values()
    assert "127.0.0.1:9 cannot be reached" in wrong["words"]


def test_a_receiver_that_is_not_there_is_wrong(tmp_path: Path, capsys: Capture) -> None:
    """Host, port and the system's word."""
    with socket.socket() as held:  # nobody listens there, nor can begin to
        held.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{held.getsockname()[1]}"
        app = App(
            tmp_path / "t.db", destinations=[Destination("otlp", name="lab", endpoint=f"http://{place}")]
        )
        app.tracer.start_span("one").end()
        app.drain()
        found = Visit(app.db_path, capsys).wrong()["destination lab"]
    assert f"{place} cannot be reached" in found["words"]


def test_a_secret_that_is_not_here_is_noted(
    tmp_path: Path, receiver: OtlpReceiver, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name; the background process may have it."""
    monkeypatch.setenv("LAB_TOKEN", "x")
    headers = {"authorization": "${LAB_TOKEN}"}
    app = App(
        tmp_path / "t.db",
        destinations=[Destination("otlp", name="lab", endpoint=receiver.endpoint, headers=headers)],
    )
    app.tracer.start_span("one").end()
    app.drain()
    monkeypatch.delenv("LAB_TOKEN")
    visit = Visit(app.db_path, capsys)
    assert "LAB_TOKEN" in visit.words("destination lab")
    assert visit.code == 0


def test_a_tracer_has_no_address_to_be_reached_at(tmp_path: Path, capsys: Capture) -> None:
    """Its type says nothing of a network."""
    app = App(tmp_path / "t.db")
    app.store.insert_node_trace("r", "flow", "a", None, None, 1, None, None, 1.0, {}, {})
    app.store.mark_request_complete("r", "MyTracer", {"path": "/x"})
    app.drain()
    assert Visit(app.db_path, capsys).wrong() == {}


BESIDE = ("lock", "doorbell", "background.log", "background.log.1", "output.log", "leave", "handover")


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("kind", ["directory", "link", "other"])
def test_what_is_not_what_it_should_be_beside_the_segments_is_moved_to_salvage(
    app: App, capsys: Capture, name: str, kind: str
) -> None:
    """As a backup gives back a pipe as a plain file: spans are dropped there, or nobody drains."""
    path = app.settings.spool_dir / name
    path.unlink(missing_ok=True)
    if kind == "directory":
        path.mkdir(mode=0o700)
    elif kind == "link":
        path.symlink_to("/etc/hosts")
    elif name == "doorbell":
        path.touch(mode=0o600)
    else:
        os.mkfifo(path, 0o600)
    found = [one for one in Visit(app.db_path, capsys).findings if one["words"].startswith(f"{path} is a")]
    assert [(one["level"], one["can_fix"]) for one in found] == [("wrong", True)]
    Visit(app.db_path, capsys, "--fix")
    assert not path.is_symlink()
    assert not path.exists()
    assert (app.settings.spool_dir / "salvage" / f"{name}.strange").lstat()
    assert Visit(app.db_path, capsys).wrong() == {}


@pytest.mark.parametrize("name", BESIDE)
def test_rights_that_their_owner_lacks_beside_the_segments_are_given_back(
    app: App, capsys: Capture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Without them nobody drains, or nobody wakes who does."""
    # root may read anything, whatever the mode says
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).stat().st_mode & stat.S_IRUSR)
    path = app.settings.spool_dir / name
    if not path.exists():
        path.touch()
    path.chmod(0)
    words = f"this user cannot read and write {path}"
    (found,) = [one for one in Visit(app.db_path, capsys).findings if one["words"] == words]
    assert (found["level"], found["can_fix"]) == ("wrong", True)
    Visit(app.db_path, capsys, "--fix")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Visit(app.db_path, capsys).wrong() == {}

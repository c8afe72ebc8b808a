"""Attachments of node traces: bytes in are bytes out, each stored once, and nothing dangerous is opened."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import subprocess
import sys
from collections import OrderedDict, UserDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from inprocess import App, drain_once, losses, no_background, rows, settings_for

from hush_otel.capture import media
from hush_otel.capture.media import MAX_FILE_BYTES, MAX_FILES, take_media, with_media
from hush_otel.cli import main
from hush_otel.codec import MAX_RECORD_BYTES, encode
from hush_otel.mapping.media import files_of
from hush_otel.mapping.redaction import RecordRedactor
from hush_otel.records import MEDIA_KEY, NODE, decode_record
from hush_otel.rules import RedactionRules

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """Nobody drains by itself."""
    no_background(monkeypatch, tmp_path)
    return App(tmp_path / "t.db", destinations=("console",))


def record(app: App, *, given: Any = None, output: Any = None, metadata: Any = None, name: str = "a") -> None:
    """A node with content, and into the database."""
    app.store.insert_node_trace(
        "r", "flow", name, None, None, 1, None, None, 1.0, given, output, metadata=metadata
    )
    app.drain()


def references(app: App, name: str = "flow") -> list[dict[str, Any]]:
    """What the span says of its media."""
    attributes = json.loads(app.span(name)["attributes"])
    found: list[dict[str, Any]] = json.loads(attributes["hush.media"])
    return found


def stored(app: App) -> list[bytes]:
    """The bytes that the database holds."""
    return [data for (data,) in rows(app.db_path, "SELECT data FROM hush_media ORDER BY id")]


def why_missing(app: App, attachment: Any) -> str:
    """Record it; the reason that its reference gives. It was counted, and nothing was stored."""
    record(app, output={"text": "kept", MEDIA_KEY: attachment})
    (found,) = references(app)
    assert stored(app) == []
    assert losses(app.db_path)["cut"] == 1
    assert json.loads(app.nodes()[0]["output_data"])["text"] == "kept"
    reason: str = found["missing"]
    return reason


# ------------------------------------------------------------------ what is taken


def test_hushs_own_shape_comes_back(app: App) -> None:
    """A mapping from names; the content keeps a reference, and the record's other values are as they were."""
    output = {"n": 7, MEDIA_KEY: {"chart": {"bytes": PNG, "content_type": "image/png", "attach_to": "input"}}}
    record(app, output=output)
    assert stored(app) == [PNG]
    expected = {
        "name": "chart",
        "content_type": "image/png",
        "attach_to": "input",
        "size": len(PNG),
        "sha256": hashlib.sha256(PNG).hexdigest(),
    }
    assert references(app) == [expected]
    assert json.loads(app.nodes()[0]["output_data"]) == {"n": 7, MEDIA_KEY: [expected]}
    assert output[MEDIA_KEY]["chart"]["bytes"] is PNG, "the caller's own objects are untouched"  # type: ignore[index]


@dataclass
class MediaAttachment:
    """As Hush's own: fields in an object."""

    content_type: str
    attach_to: str = "metadata"
    base64: str | None = None
    path: str | None = None


PNG_TEXT = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    "attachment",
    [
        {"bytes": PNG},
        {"data": bytearray(PNG)},
        {"data": memoryview(PNG)},
        {"bytes": PNG_TEXT},
        {"base64": PNG_TEXT},
        {"data": base64.urlsafe_b64encode(PNG).decode().rstrip("=")},
        {"data": base64.encodebytes(PNG).decode()},
        {"data": f"data:image/png;base64,{PNG_TEXT}"},
        [{"bytes": PNG}],
        ({"bytes": PNG},),
        {"name": {"bytes": PNG}},
        {"bytes": {"bytes": PNG}},
        MediaAttachment("image/png", base64=PNG_TEXT),
        {"name": MediaAttachment("image/png", base64=PNG_TEXT)},
        PNG,
    ],
)
def test_every_way_to_give_the_bytes(app: App, attachment: Any) -> None:
    """Bytes of any kind, base64 with and without its line breaks, data URLs, objects."""
    record(app, given={MEDIA_KEY: attachment})
    assert stored(app) == [PNG]


def test_a_data_url_says_its_type_and_may_be_escaped(app: App) -> None:
    """RFC 2397; what the attachment says itself counts more."""
    record(app, given={MEDIA_KEY: [{"data": "data:text/plain;charset=utf-8,a%20b"}, {"data": "data:,x"}]})
    assert stored(app) == [b"a b", b"x"]
    assert [one["content_type"] for one in references(app)] == [
        "text/plain;charset=utf-8",
        "application/octet-stream",
    ]


def test_it_belongs_to_where_it_stands(app: App) -> None:
    """Unless it says otherwise, in words that are known."""
    one = {MEDIA_KEY: {"bytes": b"1"}}
    odd = {MEDIA_KEY: [{"bytes": b"1", "attach_to": "elsewhere"}, {"bytes": b"1", "attach_to": "output"}]}
    record(app, given=one, output=one, metadata=odd)
    assert [one["attach_to"] for one in references(app)] == ["input", "output", "metadata", "output"]
    assert stored(app) == [b"1"]


def test_the_same_file_of_many_nodes_is_stored_once(app: App) -> None:
    """Deduplicated by its hash, whoever attaches it."""
    for number in range(5):
        record(app, output={MEDIA_KEY: {"bytes": PNG}}, name=f"n{number}")
    assert stored(app) == [PNG]
    assert rows(app.db_path, "SELECT count(*) FROM hush_span_media") == [(5,)]


def test_a_file_is_read_at_the_call(app: App, tmp_path: Path) -> None:
    """What happens to it afterwards does not show. 10 MB fit."""
    path = tmp_path / "ten.bin"
    data = os.urandom(10_000_000)
    path.write_bytes(data)
    attachment = {"path": path, "content_type": "video/mp4"}
    app.store.insert_node_trace(
        "r", "flow", "a", None, None, 1, None, None, 1.0, {MEDIA_KEY: attachment}, None
    )
    path.unlink()
    app.drain()
    assert stored(app) == [data]
    assert references(app)[0]["name"] == "ten.bin"
    assert "cut" not in losses(app.db_path)


def test_long_texts_beside_media_lie_apart_as_ever(app: App) -> None:
    """A row may have both."""
    text = "long " * 10_000
    record(app, given=text, output={MEDIA_KEY: {"bytes": PNG}})
    assert app.nodes()[0]["input_data"] == text
    assert stored(app) == [PNG]
    assert rows(app.db_path, "SELECT large FROM hush_spans") == [(3,)]


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("attachment", "reason"),
    [
        ({"data": "not base64!"}, "no base64"),
        ({"data": "https://example.com/x.png"}, "no base64"),
        ({"data": "ünïcödé"}, "no base64"),
        ({"data": "data:image/png"}, "no data URL"),
        ({"bytes": 12, "path": "x"}, "neither bytes nor text"),
        ({"content_type": "image/png"}, "neither bytes, base64 nor path"),
        (None, "neither bytes, base64 nor path"),
        ({"bytes": bytes(MAX_FILE_BYTES + 1)}, "too large: more than 10485760 bytes"),
        ({"path": "/nowhere/at/all"}, "cannot be read: No such file or directory"),
        ({"path": "a\0b"}, "cannot be read: no path"),
        ({"path": "\ud800"}, "cannot be read: no path"),
    ],
)
def test_what_cannot_be_taken_says_why(app: App, attachment: Any, reason: str) -> None:
    """In the reference, in place of the hash; the node itself is there."""
    assert why_missing(app, attachment) == reason


@pytest.fixture
def odd_paths(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """What is at a path and is no file."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"s")
    made = {name: tmp_path / name for name in ("link", "pipe", "directory")}
    made["link"].symlink_to(secret)
    os.mkfifo(made["pipe"])
    made["directory"].mkdir()
    yield made | {"device": Path("/dev/zero"), "terminal": Path("/dev/tty")}
    assert secret.read_bytes() == b"s"


@pytest.mark.parametrize("kind", ["link", "pipe", "directory", "device", "terminal"])
def test_only_regular_files_are_opened(app: App, odd_paths: dict[str, Path], kind: str) -> None:
    """A pipe without a writer does not hold the application."""
    assert why_missing(app, {"path": str(odd_paths[kind])}) == "no regular file"


def test_a_pipe_that_takes_a_files_place_is_not_read(
    app: App, odd_paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first look and the opening: the second look is at what was opened."""
    regular = odd_paths["link"].stat()
    monkeypatch.setattr(media.os, "lstat", lambda _: regular)
    assert why_missing(app, {"path": str(odd_paths["pipe"])}) == "no regular file"
    assert stat.S_ISFIFO(odd_paths["pipe"].stat().st_mode)


def test_a_link_that_takes_a_files_place_is_not_followed(
    app: App, odd_paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above."""
    regular = odd_paths["link"].stat()
    monkeypatch.setattr(media.os, "lstat", lambda _: regular)
    assert why_missing(app, {"path": str(odd_paths["link"])}).startswith("cannot be read: ")


def test_a_file_that_grows_is_read_to_the_limit_only(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size is believed no further than it is read."""
    path = tmp_path / "growing"
    path.write_bytes(bytes(MAX_FILE_BYTES + 1))
    monkeypatch.setattr(media, "_check_file", lambda *_: None)
    assert why_missing(app, {"path": str(path)}) == "too large: more than 10485760 bytes"


def test_many_files_share_one_records_room(app: App) -> None:
    """What has no room is missing, the rest is there, byte for byte; nothing is read for nothing."""
    big = [{"bytes": bytes([number]) * 6_000_000} for number in range(4)]
    record(app, output={"text": "x" * 2_000_000, MEDIA_KEY: big})
    assert [len(data) for data in stored(app)] == [6_000_000, 6_000_000]
    assert ["missing" in one for one in references(app)] == [False, False, True, True]
    assert losses(app.db_path)["cut"] == 2


def test_no_more_is_read_than_a_record_can_hold(tmp_path: Path) -> None:
    """However many paths are given."""
    path = tmp_path / "six"
    path.write_bytes(bytes(6_000_000))
    _, files = take_media([*(None,) * media.OUTPUT, {MEDIA_KEY: [{"path": path}] * 50}, *(None,) * 11])
    assert [type(data) for data in files] == [bytes] * 2 + [str] * 48


def test_a_content_that_fills_the_record_leaves_no_file_cut_in_two(app: App) -> None:
    """The text is whole, the file is missing as a whole."""
    text = "x" * (MAX_RECORD_BYTES - 2_000_000)
    record(app, output={"text": text, MEDIA_KEY: {"bytes": bytes(5_000_000)}})
    assert stored(app) == []
    assert references(app)[0]["missing"].startswith("too large: no room")
    assert len(json.loads(app.nodes()[0]["output_data"])["text"]) == len(text)


def test_more_files_than_any_node_has(app: App) -> None:
    """The first hundred are taken; one reference stands for the others."""
    record(app, output={MEDIA_KEY: [{"bytes": b"x"}] * 1000})
    found = references(app)
    assert len(found) == MAX_FILES + 1
    assert found[-1]["missing"] == "more than 100 files"


class Hostile:
    """Raises at every touch."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class HostileMapping(Mapping[str, Any]):
    """Likewise, and a mapping."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError(key)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError


class Liar(bytes):
    """Says that it is small and something else."""

    def __len__(self) -> int:
        return 1

    def __bytes__(self) -> bytes:
        return b"lie"


def test_objects_of_users_are_not_asked(app: App) -> None:
    """No method of theirs runs; the node is there whatever was given."""
    record(
        app,
        output={MEDIA_KEY: [Hostile(), {"bytes": Liar(b"truth"), "name": Hostile()}, {"path": Hostile()}]},
    )
    assert stored(app) == [b"truth"]
    assert [one.get("missing") for one in references(app)] == [
        "neither bytes, base64 nor path",
        None,
        "no path",
    ]


class Record(dict[str, Any]):
    """A dict with methods of its own, which nobody calls."""

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError

    def keys(self) -> Any:
        """Never asked."""
        raise RuntimeError

    items = __contains__ = __getitem__ = get = keys  # type: ignore[assignment]


@pytest.mark.parametrize("mapping", [OrderedDict, Record, UserDict, MappingProxyType])
def test_other_mappings_than_dicts_have_attachments(app: App, mapping: Any) -> None:
    """Around the key, as names, and as the attachment itself: what the encoder takes for a mapping."""
    attachment = mapping({"bytes": PNG, "content_type": "image/png"})
    record(app, output=mapping({"text": "kept", MEDIA_KEY: mapping({"chart": attachment})}))
    assert stored(app) == [PNG]
    (found,) = references(app)
    assert (found["name"], found["content_type"]) == ("chart", "image/png")
    assert json.loads(app.nodes()[0]["output_data"])["text"] == "kept"


def test_a_mapping_that_cannot_be_read_is_content(app: App) -> None:
    """The node is there, and nothing was raised."""
    endless = UserDict[str, Any]()
    endless.data = endless  # type: ignore[assignment]
    record(app, output=MappingProxyType(HostileMapping()), metadata=endless)
    assert len(app.nodes()) == 1
    assert stored(app) == []


class Key:
    """Looks like the reserved key until it is compared."""

    def __hash__(self) -> int:
        return hash(MEDIA_KEY)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError


@pytest.mark.parametrize("wrapped", [dict, UserDict, MappingProxyType])
def test_b07_a_key_that_cannot_be_compared_is_content(app: App, wrapped: Any) -> None:
    """B7: its own code raises where it meets the reserved key; a file beside it is taken all the same."""
    hostile = wrapped({Key(): 1, "kept": 2})
    record(app, given=hostile, output={"answer": 1}, name="content")
    record(app, given=hostile, output={"kept": 3, MEDIA_KEY: [{"base64": "YWJj"}]}, name="media")
    assert [json.loads(node["input_data"])["kept"] for node in app.nodes()] == [2, 2]
    assert stored(app) == [b"abc"]
    assert losses(app.db_path) == {}


@pytest.mark.parametrize("flags", [("-bb",), ("-bb", "-W", "error")], ids=" ".join)
def test_b07_bytes_that_look_like_the_key_are_content_under_bb(
    flags: tuple[str, ...], tmp_path: Path
) -> None:
    """B7: there Python raises where text is compared with bytes."""
    program = (
        "import sys; from hush_otel import get_store\n"
        "args = ('r', 'flow', 'a', None, None, 1, None, None, 1.0)\n"
        "get_store(sys.argv[1]).insert_node_trace(*args, {b'__media__': 1}, {})\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "HUSH_BACKGROUND": "external"}
    db = tmp_path / "t.db"
    subprocess.run([sys.executable, *flags, "-c", program, str(db)], env=environment, check=True, timeout=60)
    drain_once(settings_for(db))
    assert rows(db, "SELECT node_name FROM node_traces") == [("a",)]


def test_elsewhere_the_key_means_nothing(app: App) -> None:
    """Deeper in the content, and in mappings of other types, it is content like any."""
    record(app, given={"deep": {MEDIA_KEY: {"path": "/etc/passwd"}}}, output=OrderedDict({MEDIA_KEY: 1}))
    node = app.nodes()[0]
    assert json.loads(node["input_data"]) == {"deep": {MEDIA_KEY: {"path": "/etc/passwd"}}}
    assert json.loads(node["output_data"]) == {MEDIA_KEY: 1}
    assert "hush.media" not in json.loads(app.span("flow")["attributes"])


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("bytes", "base64", "data", "name", "attach_to", "x")), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=1000), name=st.text(), content_type=st.text(), odd=ANYTHING)
def test_any_bytes_names_and_types_make_the_round_trip(
    data: bytes, name: str, content_type: str, odd: Any
) -> None:
    """Through the record; beside whatever else stands there."""
    attachment = {"bytes": data, "name": name, "content_type": content_type}
    values = [None] * 22
    values[media.OUTPUT] = {MEDIA_KEY: [attachment, odd]}
    values[media.METADATA] = {MEDIA_KEY: odd}
    kept, files = take_media(values)
    payload = with_media(encode((NODE, 1, kept, None))[0], files)
    first, *others = files_of(decode_record(payload))
    assert first.data == data
    assert first.digest == hashlib.sha256(data).digest()
    assert first.reference["size"] == len(data)
    expected = name.encode("utf-16", "surrogatepass").decode("utf-16", "replace")[: media.MAX_TEXT_CHARS]
    assert first.reference["name"] == (expected or None)
    assert all(("missing" in one.reference) != bool(one.digest) for one in others)


# ------------------------------------------------------------------ redaction


def redacted(record_: Any, **rules: Any) -> Any:
    """The record after rules."""
    return RecordRedactor(RedactionRules(**rules)).record(record_)


def node_record(**attachment: Any) -> Any:
    """A record with one attachment."""
    values = ["r", "flow", "a"] + [None] * 19
    values[media.OUTPUT] = {MEDIA_KEY: attachment}  # type: ignore[call-overload]
    kept, files = take_media(values)
    return decode_record(with_media(encode((NODE, 1, kept, None))[0], files))


def test_text_within_a_file_is_looked_at() -> None:
    """A file in which a rule finds something is not stored; its name is redacted like any text."""
    found = files_of(redacted(node_record(bytes=b"mail to ana@example.com", name="ana@example.com.txt")))
    assert found[0].data == b""
    assert "ana" not in json.dumps(found[0].reference)
    assert files_of(redacted(node_record(bytes=PNG)))[0].data == PNG


def test_a_hidden_content_takes_its_files_with_it() -> None:
    """Bytes that nothing refers to any more are not stored."""
    assert files_of(redacted(node_record(bytes=PNG), keys=("output_data",))) == []


# ------------------------------------------------------------------ and back


def show(app: App, *args: str) -> Result:
    """The command on the one request."""
    return CliRunner().invoke(main.cli, ["--db", str(app.db_path), "show", "r", *args])


def test_show_gives_the_bytes_back(app: App, tmp_path: Path) -> None:
    """Under names of ours, for the owner alone; twice changes nothing."""
    hostile = {"bytes": PNG, "name": "../../evil\x1b[31m", "content_type": "image/png"}
    record(app, output={MEDIA_KEY: [hostile, {"bytes": b"x", "content_type": "../../x"}]})
    target = tmp_path / "out"
    for _ in range(2):
        done = show(app, "--save-media", str(target))
        assert done.exit_code == 0, done.output
        assert {path.name: path.read_bytes() for path in target.iterdir()} == {
            f"{hashlib.sha256(PNG).hexdigest()}.png": PNG,
            hashlib.sha256(b"x").hexdigest(): b"x",
        }
    assert {stat.S_IMODE(path.stat().st_mode) for path in target.iterdir()} == {0o600}
    assert "2 files" in show(app).output


def test_show_says_what_is_missing_and_why(app: App, tmp_path: Path) -> None:
    """By name; in a text that lies apart, too; no more of them than fit into a line."""
    gone = {"path": str(tmp_path / "gone"), "name": "chart"}
    record(app, output={MEDIA_KEY: [gone, {"bytes": b"x"}]})
    assert "missing  chart (cannot be read: No such file or directory)" in show(app).output
    assert "1 file, 1 B" in show(app).output
    many = {f"{'long ' * 20}{n}": {"path": str(tmp_path / "gone")} for n in range(MAX_FILES)}
    record(app, output={MEDIA_KEY: many}, name="b")
    (line,) = [line for line in show(app).output.splitlines() if line.startswith("missing")]
    assert line.count("cannot be read") == 5
    assert line.endswith(" and more")


def test_show_says_when_there_are_none(app: App, tmp_path: Path) -> None:
    """And makes no directory."""
    record(app)
    target = tmp_path / "out"
    done = show(app, "--save-media", str(target))
    assert "has no attachments" in str(done.exception)
    assert not target.exists()

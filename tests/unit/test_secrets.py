"""Secrets: references resolved late, literals masked and put back exactly."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hush_otel.errors import PausedError
from hush_otel.secrets import (
    FINGERPRINT_BITS,
    MASK,
    SECRET_FILE_MAX_BYTES,
    check,
    fingerprints,
    join,
    mask,
    resolve,
    split,
    values_of,
    with_fingerprints,
)


def test_resolve_replaces_variables_at_any_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference is replaced wherever a string stands, also in the middle of one."""
    monkeypatch.setenv("HUSH_TEST_TOKEN", "t0ken")
    value: Any = {
        "headers": {"authorization": "Bearer ${HUSH_TEST_TOKEN}"},
        "list": ["${HUSH_TEST_TOKEN}", 1],
    }
    assert resolve(value) == {"headers": {"authorization": "Bearer t0ken"}, "list": ["t0ken", 1]}


def test_resolve_reads_files_without_trailing_line_break(tmp_path: Path) -> None:
    """A file's secret is its text up to the last line break."""
    (tmp_path / "token").write_bytes(b"abc def\r\n")
    assert resolve({"x": f"<${{file:{tmp_path}/token}}>"}) == {"x": "<abc def>"}


@pytest.mark.parametrize("value", ["$NAME", "${}", "${1A}", "${a b}", "{NAME}", "100%"])
def test_resolve_leaves_other_text_alone(value: str) -> None:
    """Only the two documented forms are references."""
    assert resolve(value) == value


@pytest.mark.parametrize("content", [None, ""], ids=["unset", "empty"])
def test_missing_variable_pauses_and_is_named(content: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is not there pauses the destination with its name in the message."""
    monkeypatch.delenv("HUSH_TEST_TOKEN", raising=False)
    if content is not None:
        monkeypatch.setenv("HUSH_TEST_TOKEN", content)
    with pytest.raises(PausedError, match="secret HUSH_TEST_TOKEN is not set"):
        resolve({"a": "${HUSH_TEST_TOKEN}"})


@pytest.mark.parametrize(
    "content",
    [None, b"", b"\n", b"x" * (SECRET_FILE_MAX_BYTES + 1), b"\xff\xfe"],
    ids=["missing", "empty", "blank", "large", "binary"],
)
def test_unusable_file_pauses_and_is_named(content: bytes | None, tmp_path: Path) -> None:
    """A secret file that holds no secret pauses the destination with its path in the message."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PausedError, match=f"secret file:{path}"):
        resolve(f"${{file:{path}}}")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_pauses_and_keeps_nobody_waiting(kind: str, tmp_path: Path) -> None:
    """A pipe has no text before somebody writes to it, and then no second time."""
    path = Path("/dev/zero") if kind == "device" else tmp_path / "token"
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(PausedError, match=f"secret file:{path} cannot be read: it is no regular file"):
        resolve(f"${{file:{path}}}")


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        ({"headers": {"x-any": "v"}}, {"headers": {"x-any": MASK}}),
        ({"headers": {"authorization": "${TOKEN}"}}, {"headers": {"authorization": "${TOKEN}"}}),
        ({"headers": {"authorization": "Bearer ${TOKEN}"}}, {"headers": {"authorization": MASK}}),
        ({"headers": {"a": "${file:/run/secrets/a}"}}, {"headers": {"a": "${file:/run/secrets/a}"}}),
        ({"API_KEY": "k", "x": "y"}, {"API_KEY": MASK, "x": "y"}),
        (
            {"secretary": 5, "Password": None, "use_token": True},
            {"secretary": MASK, "Password": None, "use_token": True},
        ),
        ({"credentials": {"user": "u", "n": [1, "p"]}}, {"credentials": {"user": MASK, "n": [MASK, MASK]}}),
        ({"endpoint": "https://u:p@h/x"}, {"endpoint": "https://***@h/x"}),
        ({"endpoint": "https://u:p@ss@h/x"}, {"endpoint": "https://***@h/x"}),
        ({"endpoint": "https://${U}:${file:/p}@h"}, {"endpoint": "https://${U}:${file:/p}@h"}),
        ({"endpoint": "https://h/x?api_key=s&a=1"}, {"endpoint": "https://h/x?api_key=***&a=1"}),
        ({"endpoint": "https://h/a@b"}, {"endpoint": "https://h/a@b"}),
        ({"endpoint": "https://h:4318/a@b"}, {"endpoint": "https://h:4318/a@b"}),
        ({"endpoint": "https://[::1]:4318/a@b"}, {"endpoint": "https://[::1]:4318/a@b"}),
        ({"endpoint": "https://u:p/w@h/x"}, {"endpoint": "https://***@h/x"}),
        ({"endpoint": "https://u:p#w@h/x"}, {"endpoint": "https://***@h/x"}),
        ({"endpoint": "https://u:p@a/ss@h/x"}, {"endpoint": "https://***@h/x"}),
        ({"endpoint": "u:p@h:4317"}, {"endpoint": "***@h:4317"}),
        ({"endpoint": "${U}:${P}@h:4317"}, {"endpoint": "${U}:${P}@h:4317"}),
        ({"mail": "ann@example.com"}, {"mail": "ann@example.com"}),
        ({"endpoint": "https://h?sig=s&pwd=p&a=1"}, {"endpoint": "https://h?sig=***&pwd=***&a=1"}),
        ({"Headers": {"a": "v"}, "http_headers": "a=v"}, {"Headers": {"a": MASK}, "http_headers": MASK}),
        (
            {"auth": "a", "pwd": "p", "dsn": "d", "cookie": "c"},
            dict.fromkeys(["auth", "pwd", "dsn", "cookie"], MASK),
        ),
    ],
)
def test_s04_mask_hides_literals_and_keeps_references(config: Any, shown: Any) -> None:
    """What could be a secret is masked; references, switches and plain options stay readable."""
    before = json.dumps(config)
    assert mask(config) == shown
    assert json.dumps(config) == before


def test_s04_the_parts_of_a_secret_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who raises with a password says neither the URL around it nor its encoding."""
    monkeypatch.setenv("HUSH_TEST_TOKEN", "by-reference")
    monkeypatch.delenv("HUSH_TEST_NONE", raising=False)
    config: Any = {
        "endpoint": "https://joe:hunter%2122@h/x?api_key=in%20query&a=plain",
        "target": "ann:bare-word@h:4317",
        "headers": {"a": "literal", "b": "Bearer ${HUSH_TEST_TOKEN}", "c": "${HUSH_TEST_NONE}"},
    }
    known = set(values_of(config))
    assert known >= {"joe", "hunter%2122", "hunter!22", "in query", "bare-word", "literal", "by-reference"}
    assert "plain" not in known


def test_split_gives_json_able_literals() -> None:
    """Literals survive JSON and name the path of what they replace."""
    masked, literals = split({"headers": {"a": "s"}, "urls": ["x", "http://u@h"]})
    assert json.loads(json.dumps(literals)) == [[["headers", "a"], "s"], [["urls", 1], "http://u@h"]]
    assert masked == {"headers": {"a": MASK}, "urls": ["x", "http://***@h"]}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=6)
    | st.sampled_from(["***", "http://a:b@c", "${A}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["headers", "api_key", "endpoint", "x", "0"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
@settings(deadline=None, max_examples=200)
def test_join_is_the_inverse_of_split(config: Any) -> None:
    """Masked copy and literals together, also by way of JSON, give the configuration back."""
    masked, literals = split(config)
    assert join(masked, json.loads(json.dumps(literals))) == config
    assert split(masked)[0] == masked


# Fingerprints.

NAME = "HUSH_TEST_TOKEN"
CONFIG: Any = {"headers": {"authorization": f"Bearer ${{{NAME}}}"}, "urls": [f"http://${{{NAME}}}@h"]}


def test_a_fingerprint_fits_the_same_value_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another value is a pause that names the variable and what to do; the value itself stands nowhere."""
    monkeypatch.setenv(NAME, "canary-1")
    expected = fingerprints(CONFIG, "/spool")
    assert list(expected) == [NAME]
    check(expected)
    monkeypatch.setenv(NAME, "canary-2")
    with pytest.raises(PausedError, match=rf"^secret {NAME} has another value .*`hush-otel run`") as refused:
        check(expected)
    assert "canary" not in f"{refused.value}{expected}"


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_who_has_no_value_says_nothing(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as the application, nor as the process that delivers: there `resolve` says that it is missing."""
    monkeypatch.setenv(NAME, "canary")
    expected = fingerprints(CONFIG, "/spool")
    monkeypatch.delenv(NAME)
    if value is not None:
        monkeypatch.setenv(NAME, value)
    assert fingerprints(CONFIG, "/spool") == {}
    check(expected)


def test_fingerprints_are_short_salted_and_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve bits, however often it is spooled; elsewhere, and under another name, it looks different."""
    monkeypatch.setenv(NAME, "canary")
    monkeypatch.setenv("OTHER_TOKEN", "canary")
    config = {"a": f"${{{NAME}}}", "b": "${OTHER_TOKEN}"}
    once, again, elsewhere = (fingerprints(config, place) for place in ("/one", "/one", "/two"))
    assert once == again
    assert len({*once.values(), *elsewhere.values()}) == 4
    for text in once.values():
        salt, _, digits = text.partition(":")
        assert (len(salt), len(digits)) == (16, FINGERPRINT_BITS / 4)


def test_a_record_without_references_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Literals and files have no fingerprints: the one is known, the other is read when it is needed."""
    monkeypatch.setenv(NAME, "canary")
    plain: Any = {"type": "otlp", "name": "n", "config": {"headers": {"a": "literal", "b": "${file:/run/x}"}}}
    assert with_fingerprints(plain, "/spool") == plain
    assert list(with_fingerprints(plain | {"config": CONFIG}, "/spool")["secrets"]) == [NAME]  # type: ignore[arg-type]


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
@settings(deadline=None, max_examples=20)
def test_any_value_has_a_fingerprint(value: str) -> None:
    """Whatever an environment can hold."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(NAME, value)
        check(fingerprints(CONFIG, "/spool"))

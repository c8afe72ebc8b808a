"""Rules applied to values and records: what is hidden, what stays, and that a failure hides all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redacting import redactor, rules

from hush_otel import records
from hush_otel.codec import encode
from hush_otel.mapping.redaction import FAILED, RecordRedactor, is_hidden
from hush_otel.mend import decode
from hush_otel.rules import RedactionRules

MASK = "[redacted]"
MAIL = "ann@example.com"


# ------------------------------------------------------------------ keys


@pytest.mark.parametrize(
    ("rule", "key", "hidden"),
    [
        ("password", "password", True),
        ("password", "PassWord", True),
        ("password", "db.user.password", True),
        ("password", "http/request/password", True),
        ("password", "password_hint", False),
        ("api_key", "apiKey", True),
        ("api_key", "API-Key", True),
        ("api_key", "x-api-key", False),
        ("*api_key", "x-api-key", True),
        ("*secret*", "client_secret_id", True),
        ("*_token", "access_token", True),
        ("*_token", "gen_ai.usage.input_tokens", False),
        ("http.request.header.*", "http.request.header.cookie", True),
        ("http.request.header.*", "http.response.header.cookie", False),
        ("a*b*c", "a-x-b-x-c", True),
        ("a*b*c", "a-x-c", False),
        ("ab*ba", "aba", False),
        ("*", "anything", True),
    ],
)
def test_keys_fit_whole_or_by_their_last_part(rule: str, key: str, hidden: bool) -> None:
    """Whatever their case and how their words are joined."""
    assert redactor(keys=[rule], values=[]).attributes({key: "x"}) == {key: MASK if hidden else "x"}


@pytest.mark.parametrize("value", ["x", "", 1, 1.5, True, None, b"x", ["x"], {"a": "x"}, 10**20])
def test_a_hidden_key_hides_values_of_any_type(value: Any) -> None:
    """Each becomes the mask; a number as well."""
    assert redactor(keys=["pin"], values=[]).attributes({"pin": value}) == {"pin": MASK}


def test_keys_are_hidden_at_any_depth() -> None:
    """In lists of mappings of lists."""
    value = {"a": [{"b": ({"pin": 1, "c": 2},)}]}
    assert redactor(keys=["pin"]).value(value) == {"a": [{"b": [{"pin": MASK, "c": 2}]}]}


@pytest.mark.parametrize(
    "pair",
    [
        {"name": "password", "value": "canary"},
        {"value": ["canary"], "key": "db.Password"},
        {"Key": "password", "Value": 5, "Id": "a"},
        {"Name": "password", "Value": None},
        {"key": "password", "value": {"stringValue": "canary"}},
    ],
)
def test_a_key_that_is_a_value_hides_the_value_beside_it(pair: dict[str, Any]) -> None:
    """At the top, in lists, in JSON, in JSON within JSON; the key stays readable, and so does the rest."""
    under = "value" if "value" in pair else "Value"
    shown = pair | {under: MASK}
    apply = redactor(keys=["password"], values=[])
    assert apply.attributes(pair) == shown
    assert apply.value([pair]) == [shown]
    assert json.loads(apply.text(json.dumps([pair]))) == [shown]
    assert json.loads(json.loads(apply.text(json.dumps(json.dumps(pair))))) == shown
    assert list(apply.value(pair)) == list(pair)


@pytest.mark.parametrize(
    "pair",
    [
        {"name": "user", "value": "x"},
        {"name": "password"},
        {"value": "password"},
        {"name": ["password"], "value": "x"},
        {"title": "password", "value": "x"},
    ],
)
def test_what_names_no_hidden_key_stays(pair: dict[str, Any]) -> None:
    """A name of something else, none at all, or a value that has the name of a key."""
    assert redactor(keys=["password"], values=[]).value(pair) == pair


def test_a_key_that_is_a_secret_itself_is_replaced() -> None:
    """Two of them stay two entries."""
    value = {MAIL: 1, "bob@example.com": 2, "other": 3}
    assert redactor().value(value) == {MASK: 1, f"{MASK} (2)": 2, "other": 3}


def test_keys_that_are_no_text_are_looked_at() -> None:
    """By the digits of numbers, bytes as UTF-8."""
    assert redactor(keys=["7"]).value({7: "x", 4111111111111111: "y", MAIL.encode(): "z"}) == {
        7: MASK,
        MASK: "y",
        f"{MASK} (2)": "z",
    }


# ------------------------------------------------------------------ values


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (f"from {MAIL}.", f"from {MASK}."),
        (4111111111111111, MASK),
        (4111111111111111.0, MASK),
        (4111111111111112, 4111111111111112),
        (1764039516000000000, 1764039516000000000),
        (float("nan"), "nan"),
        (float("inf"), float("inf")),
        (f"x {MAIL}".encode(), MASK),
        (b"\xff\xfe plain", b"\xff\xfe plain"),
        (True, True),
        (None, None),
        ([MAIL, [MAIL]], [MASK, [MASK]]),
        ("", ""),
    ],
)
def test_values_of_any_type_are_looked_at(value: Any, shown: Any) -> None:
    """What is left alone keeps its type."""
    found = redactor().value(value)
    assert str(found) == shown if value != value else (found == shown and type(found) is type(shown))  # noqa: PLR0124


def test_own_patterns_see_every_number() -> None:
    """Ready ones need 13 digits; nobody knows what own ones need."""
    own = redactor(values=[], patterns={"pin": "^[0-9]{4}$"})
    assert own.value([1234, 12345, 1234.0, "1234"]) == [MASK, 12345, MASK, MASK]


def test_the_mask_is_the_users() -> None:
    """Any printable text."""
    assert redactor(mask="***").text(MAIL) == "***"


# ------------------------------------------------------------------ texts with structure


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"pin": 1234, "a": [1, 2]}', '{"pin":"[redacted]","a":[1,2]}'),
        ('{"pin": null}', '{"pin":"[redacted]"}'),
        ('{"a": {"api-pin": 1}}', '{"a": {"api-pin": 1}}'),
        (f'  {{"a": "{MAIL}"}}', '{"a":"[redacted]"}'),
        ('["\\u0061nn@example.com"]', '["[redacted]"]'),
        ('{"p\\u0069n": 1}', '{"pin":"[redacted]"}'),
        (f'"{MAIL}"', '"[redacted]"'),
        ('{"card": 4111111111111111}', '{"card":"[redacted]"}'),
        ('{"pin": 1, "pin": 2}', '{"pin":"[redacted]"}'),
        ('{"a": {"pin": 1234}, "a": 1}', '{"a":1}'),
        (f'{{"a": "{MAIL}", "a": 1}}', '{"a":1}'),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        ('{"pin": "12', '{"pin": "[redacted]'),
        ('{"pin": [1, 2', '{"pin": [redacted]'),
        ('{"a": 1, "pin": 12, "b": tru', '{"a": 1, "pin": [redacted], "b": tru'),
        ("{'pin': '12\\'34', 'b': 1}", "{'pin': '[redacted]', 'b': 1}"),
        ('log: {\\"pin\\": \\"12\\", \\"b\\": 1}', 'log: {\\"pin\\": \\"[redacted]\\", \\"b\\": 1}'),
        ("https://x.io/?a=1&pin=1234&b=2#f", "https://x.io/?a=1&pin=[redacted]&b=2#f"),
        ("Pin: 12 34\r\nHost: x", "Pin: [redacted]\r\nHost: x"),
        ("pin=1234 b=2", "pin=[redacted] b=2"),
        ('{"s": "a\\npin=12', '{"s": "a\\npin=[redacted]'),
        ("pin it", "pin it"),
        ("spin: 1", "spin: 1"),
        ("[INFO] all is well", "[INFO] all is well"),
        ('{"keep":   "my spaces"}', '{"keep":   "my spaces"}'),
        # JSON whose texts only speak of a key, or have it hidden already
        ('[{"c": "your pin:"}, {"c": "keep"}]', '[{"c": "your pin:"}, {"c": "keep"}]'),
        ('{"a": "pin:\\n\\nkeep", "b": 1}', '{"a": "pin:\\n\\nkeep", "b": 1}'),
        ('{"a": "pin=", "b": 1}', '{"a": "pin=", "b": 1}'),
        ('{"a": "pin=[redacted] b", "b": 1}', '{"a": "pin=[redacted] b", "b": 1}'),
        ('{"a": "\\t@x.de", "b": 1}', '{"a": "\\t@x.de", "b": 1}'),
        ('{"#pin": 1}', '{"#pin":"[redacted]"}'),
        # JSON as Python writes it, which others refuse
        ('{"a": "pin:", "b": "\\ud83d"}', '{"a": "pin:", "b": "\\ud83d"}'),
        ('{"pin": 1, "b": "\\ud83d", "c": NaN}', '{"pin":"[redacted]","b":"\\ud83d","c":NaN}'),
        # what is hidden already
        ("pin=[redacted] keep", "pin=[redacted] keep"),
        ("pin: [redacted]\nkeep", "pin: [redacted]\nkeep"),
        ("{'pin': '[redacted]', 'b': 1", "{'pin': '[redacted]', 'b': 1"),
        ("{'pin': [redacted], 'b': 1", "{'pin': [redacted], 'b': 1"),
        ("pin=[redacted]4711 b", "pin=[redacted] b"),
        ("pin=[redacted][4711, 12] b", "pin=[redacted]"),
        # as command lines, forms and programs write a pair
        ("run --pin=4711 -v", f"run --pin={MASK} -v"),
        ("net use /pin:4711", f"net use /pin:{MASK}"),
        ("user[pin]=4711&x=1", f"user[pin]={MASK}&x=1"),
        ("pin[]=4711&x=1", f"pin[]={MASK}&x=1"),
        ("x['pin'] = '4711'", f"x['pin'] = '{MASK}'"),
        ("pin => '4711', x", f"pin => '{MASK}', x"),
        ("pin" + " " * 20 + "= 4711", "pin" + " " * 20 + f"= {MASK}"),
        ("**PIN**: 4711\nx", f"**PIN**: {MASK}\nx"),
        ("`pin`: `4711`\nx", f"`pin`: {MASK}\nx"),
        ("pin：4711\nx", f"pin：{MASK}\nx"),  # noqa: RUF001 - a colon of full width
        ('pin = """47\n"11"""\nx', f'pin = """{MASK}"""\nx'),
        # as Python's repr has them
        ("User(pin=b'4711', x=1)", f"User(pin=b'{MASK}', x=1)"),
        ("{'pin': b'47,11', 'x': 1}", f"{{'pin': b'{MASK}', 'x': 1}}"),
        ("User(pin=Secret('4711', 4711))\nx", f"User(pin={MASK}\nx"),
        ('pin = ask("4711")\nx = 1', f"pin = {MASK}\nx = 1"),
    ],
)
def test_texts_with_structure(text: str, shown: str) -> None:
    """JSON is opened and stays JSON; what only resembles it is hidden to a safe end; the rest is verbatim."""
    assert redactor(keys=["pin"]).text(text) == shown


def test_json_in_json_in_json_is_opened() -> None:
    """As arguments of tool calls within messages are."""
    inner = json.dumps({"pin": 1, "mail": MAIL, "n": 1})
    text = json.dumps({"messages": [{"arguments": json.dumps({"call": inner})}]})
    opened = json.loads(redactor(keys=["pin"]).text(text))
    call = json.loads(json.loads(opened["messages"][0]["arguments"])["call"])
    assert call == {"pin": MASK, "mail": MASK, "n": 1}


def test_what_lies_too_deep_is_hidden() -> None:
    """Rather than passed by unseen."""
    value: Any = "deep"
    for _ in range(150):
        value = [value]
    text = json.dumps(redactor().value(value))
    assert MASK in text
    assert "deep" not in text


# ------------------------------------------------------------------ no planted secret survives

_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(["{", "[1,", "a\\b", '"', "Bearer ", "pin: "]),
)
_SECRETS = {
    "planted.secret@corp.example": "planted.secret",
    "4111 1111 1111 1111": "4111 1111",
    "sk-proj-PLANTED0123456789abcdef": "PLANTED0123",
    "Bearer PLANTED.0123456789abcdef": "PLANTED.0123",
}


@st.composite
def _planted(draw: st.DrawFn) -> Any:
    """A tree with secrets in it: as values, in texts, as keys, under a hidden key, in JSON within texts."""
    secret = draw(st.sampled_from(sorted(_SECRETS)))
    leaf = draw(
        st.sampled_from(
            [
                secret,
                f"a {secret} b",
                f"({secret})",
                secret.encode(),
                {"pin": "PLANTED-PIN"},
                {"pin": ["PLANTED-PIN"]},
                {secret: 1},
                json.dumps({"x": secret, "pin": "PLANTED-PIN"}),
                json.dumps({"x": [json.dumps({"pin": "PLANTED-PIN", "y": secret})]}),
                json.dumps({"pin": "PLANTED-PIN", "y": 1})[:-3],
                repr({"pin": "PLANTED-PIN", "y": secret}),
                "x?pin=PLANTED-PIN&y",
            ]
        )
    )
    for _ in range(draw(st.integers(0, 4))):
        other = draw(_LEAVES)
        key = draw(st.text(min_size=1, max_size=8))
        leaf = draw(
            st.sampled_from(
                [[leaf, other], [other, leaf], {key: leaf, "z": other}, {"z": other, key + "_": leaf}]
            )
        )
    return leaf


patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@patient
@given(_planted())
def test_no_planted_secret_survives(value: Any) -> None:
    """Wherever it stands in what an application records."""
    shown = redactor(keys=["pin"]).attributes({"value": value})
    text = encode(shown)[0].decode("utf-8", "replace")
    for part in ("PLANTED-PIN", *_SECRETS.values()):
        assert part not in text


@given(
    st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
)
def test_what_holds_no_secret_stays_as_it_is(value: Any) -> None:
    """No rule, no change, no other type."""
    assert redactor(keys=["a key that nobody has"], values=["bearer", "api_key"]).value(value) == value


# ------------------------------------------------------------------ what is no secret stays whole

_SPOKEN = st.one_of(
    st.lists(
        st.sampled_from(
            [
                *"aé1 .,;:=#&?!@'\"\\{}[]()<>*`\n\t-/\ud83d",
                "pin",
                "PIN: ",
                "--pin=",
                '"pin": ',
                "=>",
                MASK,
                f" {MAIL} ",
            ]
        ),
        max_size=12,
    ).map("".join),
    st.text(max_size=8),
)
"""Texts around a hidden key, with what ends or opens a value."""
_JSON = st.recursive(
    st.none() | st.integers() | st.floats(-1e9, 1e9) | _SPOKEN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_SPOKEN, inner, max_size=4),
    max_leaves=10,
)
_MASKS = st.sampled_from([MASK, "***", "{hidden}"])


@patient
@given(_JSON, _MASKS, st.sampled_from([None, 1]))
def test_json_stays_json(value: Any, mask: str, indent: int | None) -> None:
    """Whatever its texts say: they are looked at one by one, and never across the quotes between them."""
    shown = json.loads(redactor(keys=["pin"], mask=mask).text(json.dumps([value], indent=indent)))
    assert shown == redactor(keys=["pin"], mask=mask).value([value])


@patient
@given(_SPOKEN | _JSON.map(json.dumps) | _JSON.map(repr), _MASKS)
def test_rules_applied_twice_hide_no_more_than_once(text: str, mask: str) -> None:
    """Two sets of rules may meet, and `share` applies them once more to what the store holds."""
    once = redactor(keys=["pin"], mask=mask).text(text)
    assert redactor(keys=["pin"], mask=mask).text(once) == once


def test_what_begins_like_the_mask_is_hidden_all_the_same() -> None:
    """A short mask is the beginning of many a secret."""
    assert redactor(keys=["pin"], mask="x").text("pin=xylophone b") == "pin=x b"


def test_an_own_pattern_for_the_signs_of_json_hides_what_it_fits() -> None:
    """No text within has them; hidden is worth more than well-formed."""
    own = redactor(keys=["pin"], patterns={"id": '"id": "[0-9]+"'})
    assert own.text('{"id": "4711", "b": "pin:"}') == '{[redacted], "b": "pin:"}'


# ------------------------------------------------------------------ records


def _end(**fields: Any) -> records.End:
    values = {
        "type": records.END,
        "origin": 0,
        "trace_id": b"t" * 16,
        "span_id": b"s" * 8,
        "parent_span_id": None,
        "flags": 0,
        "name": f"GET /{MAIL}",
        "kind": 1,
        "start_ns": 1,
        "end_ns": 2,
        "status_code": 2,
        "status_message": f"no {MAIL}",
        "attributes": {"a": MAIL, "n": 1},
        "extra": records.Extra(
            f"v={MAIL}",
            [[f"e {MAIL}", 5, {"a": MAIL}, 1]],
            [[b"t" * 16, b"s" * 8, f"v={MAIL}", 1, {"a": MAIL}, 2]],
            1,
            2,
            3,
        ),
    }
    return records.End(**(values | fields))


def _sent(record: Any) -> Any:
    """As it comes out of the spool."""
    return decode(encode(record)[0])


def _records() -> list[Any]:
    node = [MAIL, f"flow {MAIL}", f"n {MAIL}", MAIL, MAIL, 1, MAIL, MAIL, 1.0, {"q": MAIL}, MAIL]
    node += [MAIL, MAIL, MAIL, 1, 2, 3, 0.5, False, {MAIL: MAIL}, MAIL, {"e": MAIL}, MAIL]
    return [
        _end(),
        records.Start(records.START, 0, b"t" * 16, b"s" * 8, None, 0, MAIL, 1, 1, {"a": MAIL}, f"v={MAIL}"),
        records.OriginRecord(records.ORIGIN, 0, {"a": MAIL}, MAIL, MAIL, MAIL, MAIL, {"a": MAIL}, []),
        records.Node(records.NODE, 1, node, 0),
        records.Mark(records.MARK, 1, MAIL, "local", {}, [MAIL]),
    ]


@pytest.mark.parametrize("record", _records(), ids=lambda record: type(record).__name__)
def test_every_field_of_a_record_is_looked_at(record: Any) -> None:
    """Names, messages, events, links, trace states, origins, nodes, tags; in any type of record."""
    shown = RecordRedactor(rules()).record(_sent(record))
    assert MAIL not in repr(shown)
    assert "example" not in encode(shown)[0].decode("utf-8", "replace")


@pytest.mark.parametrize("record", _records(), ids=lambda record: type(record).__name__)
def test_a_record_that_cannot_be_redacted_loses_its_content(
    record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps ids, times and numbers, says so, and is counted."""
    failing = RecordRedactor(rules())

    def fail(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(failing, "text", fail)
    shown = failing.record(_sent(record))
    assert failing.failed == 1
    assert "example" not in encode(shown)[0].decode("utf-8", "replace")
    if record.type in (records.END, records.START, records.NODE):
        assert is_hidden(shown)


def test_a_hidden_end_keeps_what_is_no_text() -> None:
    """So that its trace stays whole."""
    shown = RecordRedactor(rules()).hidden(_sent(_end(attributes={"a": MAIL, "hush.request_id": "r1"})))
    assert (shown.trace_id, shown.span_id, shown.start_ns, shown.end_ns) == (b"t" * 16, b"s" * 8, 1, 2)
    assert (shown.name, shown.status_message) == (MASK, MASK)
    assert shown.attributes == {FAILED: True, "hush.request_id": "r1"}
    assert (shown.extra.events, shown.extra.dropped_events) == ([], 2)


def test_request_ids_stay_distinct_and_together() -> None:
    """Records of one request find each other by what stands for its id."""
    one = RecordRedactor(rules())
    ann = one.identifier(MAIL)
    assert ann.startswith(f"{MASK}-")
    assert ann != one.identifier("bob@example.com")
    assert one.identifier("run-1") == "run-1"
    assert one.identifier(ann) == RecordRedactor(rules(keys=["request_id"])).identifier(ann) == ann
    assert one.record(_sent(_end(attributes={"hush.request_id": MAIL}))).attributes["hush.request_id"] == ann
    assert one.record(records.Mark(records.MARK, 1, MAIL, "local", {}, None)).request_id == ann
    assert one.record(records.Node(records.NODE, 1, [MAIL, "w", "n"])).values == [ann, "w", "n"]


@pytest.mark.parametrize("key", ["user_id", "user.id", "hush.user_id"])
def test_a_rule_for_an_attribute_hides_the_field_that_becomes_it(key: str) -> None:
    """A node trace and a span are hidden alike."""
    values = [None] * 22
    values[:3] = ["r", "w", "n"]
    values[11] = "ann"
    shown = RecordRedactor(rules(keys=[key], values=[])).record(records.Node(records.NODE, 1, values))
    assert shown.values[11] == MASK


# ------------------------------------------------------------------ what travels


def test_rules_travel_as_text() -> None:
    """Whoever drains has the writer's rules, not where they are applied."""
    full = rules(keys=["pin"], values=["email"], patterns={"c": "CUST-[0-9]{8}"}, mask="*", redact_in="app")
    assert RedactionRules.from_text(full.as_text()) == rules(
        keys=["pin"], values=["email"], patterns={"c": "CUST-[0-9]{8}"}, mask="*"
    )

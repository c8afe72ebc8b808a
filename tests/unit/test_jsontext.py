"""The JSON text of any value, and the truth of its exactness flag."""

import datetime as dt
import json
import uuid
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hush_otel.mapping.jsontext import MAX_DEPTH, encode_json, json_text

KEYS = st.text(max_size=5) | st.integers() | st.binary(max_size=3) | st.booleans() | st.none()
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.text(st.characters(categories=["Cs", "Lu"]), max_size=3)
    | st.binary(max_size=5)
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


def nested(levels, *, innermost=1):
    """`innermost` inside so many dicts and lists in turn."""
    value = innermost
    for level in range(levels):
        value = {"k": value} if level % 2 else [value]
    return value


def typed(value):
    """The value in a form in which 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return {(type(key), key): typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value), repr(value)


@given(VALUES)
def test_exact_if_and_only_if_decoding_gives_the_value_back(value):
    """The flag never claims what the text cannot give, and never denies what it can."""
    text, exact = encode_json(value)
    assert (typed(msgspec.json.decode(text)) == typed(value)) is exact


@given(JSON_VALUES)
def test_json_values_are_exact_and_read_by_other_readers(value):
    """Values that JSON has are exact, also for the reader of the standard library."""
    text, exact = encode_json(value)
    assert exact
    assert json.loads(text) == value
    assert json_text(value) == text


@given(VALUES)
def test_any_value_gives_valid_json(value):
    """Whatever the value, both functions give the same standard JSON, without NaN literals."""

    def refuse(literal):
        raise AssertionError(literal)

    text = json_text(value)
    json.loads(text, parse_constant=refuse)
    assert encode_json(value)[0] == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), '"NaN"'),
        (float("inf"), '"Infinity"'),
        ([float("-inf"), None], '["-Infinity",null]'),
        ({"a": {"b": float("nan")}}, '{"a":{"b":"NaN"}}'),
        (b"ab", '"YWI="'),
        ({1: "int", 2.5: "float", b"ab": "bytes"}, '{"1":"int","2.5":"float","YWI=":"bytes"}'),
        ({True: 1, None: 2, (1, "x"): 3}, '{"true":1,"null":2,"[1,\\"x\\"]":3}'),
        ({1}, "[1]"),
        (object(), '"<object>"'),
        ("\ud800x", '"\ufffdx"'),
        ({"\udfff": 1}, '{"\ufffd":1}'),
        ([10**5000], '["<int>"]'),
        (dt.date(2026, 1, 2), '"2026-01-02"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Decimal("1.50"), '"1.50"'),
    ],
)
def test_what_json_cannot_carry_becomes_text(value, text):
    """Each conversion of the module's table, and none of them is called exact."""
    assert encode_json(value) == (text, False)


@pytest.mark.parametrize("value", [2**63, 2**64, -(2**70), 10**400])
def test_integers_of_any_size_stay_exact_numbers(value):
    """Integers beyond 64 bit are JSON numbers, not rounded."""
    assert encode_json({"n": value}) == (f'{{"n":{value}}}', True)


def test_tuples_are_arrays():
    """A tuple counts as the same type as a list."""
    assert encode_json({"t": (1, 2)}) == ('{"t":[1,2]}', True)


def test_64_levels_are_kept():
    """The deepest value that is allowed stays exact."""
    assert encode_json(nested(MAX_DEPTH)) == (json.dumps(nested(MAX_DEPTH), separators=(",", ":")), True)


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 500, 5000])
def test_more_than_64_levels_are_cut(levels):
    """The 65th level is replaced, however deep the rest goes."""
    text, exact = encode_json(nested(levels, innermost="gone"))
    assert not exact
    assert "gone" not in text
    assert text.count("[") + text.count("{") == MAX_DEPTH
    assert '"<depth>"' in text


def test_many_brackets_are_not_depth():
    """A wide value with more than 64 containers is left alone."""
    value = [[1]] * 200
    assert encode_json(value) == (json.dumps(value, separators=(",", ":")), True)
    assert json_text(value) == json.dumps(value, separators=(",", ":"))


def test_cycles_are_cut_where_they_close():
    """A container inside itself is named, its neighbours stay."""
    value = {"a": 1}
    value["self"] = [value, value]
    assert json_text(value) == '{"a":1,"self":["<cycle>","<cycle>"]}'


def test_a_container_twice_is_no_cycle():
    """The same object in two places is written twice."""
    shared = [float("nan")]
    assert json_text([shared, shared]) == '[["NaN"],["NaN"]]'


def test_text_that_says_null_is_no_null():
    """The word in a text leads to the same text as everywhere else."""
    assert json_text([{"a": "null"}]) == '[{"a":"null"}]'


def test_nul_and_control_characters_round_trip():
    """NUL in text survives."""
    assert msgspec.json.decode(json_text({"a": "x\x00\x1b[31m"})) == {"a": "x\x00\x1b[31m"}


def test_subclasses_of_text_and_numbers_are_written_as_their_base():
    """A float64 of numpy is a float: it is written, but not called exact."""

    class Text(str):
        __slots__ = ()

    class Number(float):
        __slots__ = ()

    class Count(int):
        __slots__ = ()

    assert encode_json([Text("x"), Number("2.5"), Count(3)]) == ('["x",2.5,3]', False)
    assert json_text([Number("inf"), None]) == '["Infinity",null]'


def test_repr_of_foreign_objects_is_not_called():
    """An object whose methods raise is named by its type."""

    class Hostile:
        def __repr__(self):
            raise RuntimeError

        __str__ = __repr__

    assert json_text({"a": Hostile()}) == '{"a":"<Hostile>"}'


def test_a_long_float_list_is_exact_until_one_is_not_finite():
    """Embeddings take the fast way; a single NaN is still noticed."""
    vector = [0.1 * i for i in range(1536)]
    assert encode_json(vector)[1]
    text, exact = encode_json([*vector, float("nan")])
    assert not exact
    assert text.endswith(',"NaN"]')

"""User values to msgpack: the table of codec.py, row by row, and what nobody thought of."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import math
import os
import subprocess
import sys
import types
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes

from hush_otel import codec, walk
from hush_otel.codec import MAX_RECORD_BYTES, decode, encode

_decode = decode(Any)


def through(value: object) -> Any:
    """What the drain sees of a value; nothing was cut."""
    data, cut = encode([value])
    assert not cut
    return _decode(data)[0]


class Text(str):
    """A text with a representation of its own."""

    __slots__ = ()

    def __str__(self) -> str:
        raise AssertionError("a user's __str__ was called")

    __repr__ = __str__


class Number(int):
    """An integer with a representation of its own."""

    def __repr__(self) -> str:
        raise AssertionError("a user's __repr__ was called")

    __str__ = __int__ = __index__ = __repr__  # type: ignore[assignment]


class Hostile:
    """Whatever is asked of it, it refuses."""

    def __repr__(self) -> str:
        raise AssertionError("a user's __repr__ was called")

    __str__ = __repr__

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __iter__(self) -> Any:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        return 1


class BadItems(dict[str, Any]):
    """A mapping whose methods cannot be used."""

    def items(self) -> Any:
        """Not to be had."""
        raise RuntimeError

    keys = values = __iter__ = items  # type: ignore[assignment]


@dataclass
class Point:
    """Two numbers."""

    x: int
    y: Any


class Pair(NamedTuple):
    """Two more."""

    left: int
    right: str


class Packed(msgspec.Struct):
    """One of msgspec's."""

    a: int


class Renamed(msgspec.Struct, rename="upper"):
    """One whose fields are written by other names."""

    a: int
    b: str


class Tagged(Renamed, tag="kind"):
    """One that names its type."""


class Listed(Renamed, array_like=True, tag=True):
    """One that is written as a list."""


class Colour(enum.Enum):
    """One of the standard library's."""

    RED = "red"


UTC_TIME = dt.datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "text",
        "NUL \0 inside",
        "𝄞 and ü",
        0,
        -(2**63),
        2**63 - 1,
        1.5,
        True,
        None,
        b"\0\xff",
        [],
        [1, [2]],
        {"a": {"b": 1}},
    ],
    ids=repr,
)
def test_plain_values_are_themselves(value: object) -> None:
    """str, int, float, bool, None, bytes, list and dict come out equal and of the same type."""
    assert through(value) == value
    assert type(through(value)) is type(value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, "a"), [1, "a"]),
        ({1}, [1]),
        (frozenset({"x"}), ["x"]),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.defaultdict(int, a=1), {"a": 1}),
        (collections.UserDict({"a": 1}), {"a": 1}),
        (collections.UserList([1]), [1]),
        (collections.deque([1, 2]), [1, 2]),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (BoundedAttributes(attributes={"a": 1}), {"a": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_containers_of_other_types_are_lists_and_dicts(value: object, plain: object) -> None:
    """Tuples, sets, deques, views and the dict-likes become list, bytes or dict."""
    assert through(value) == plain


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Text("abc"), "abc"),
        (Number(7), 7),
        (type("F", (float,), {})(0.5), 0.5),
        (type("B", (bytes,), {"__bytes__": None, "__len__": None})(b"\1\2"), b"\1\2"),
        (type("A", (bytearray,), {"__getitem__": None, "__len__": None})(b"\1\2"), b"\1\2"),
    ],
    ids=["str", "int", "float", "bytes", "bytearray"],
)
def test_subclasses_are_their_base_without_their_own_methods(value: object, plain: object) -> None:
    """A subclass is taken by the base type's value: overridden methods are not called."""
    assert through(value) == plain
    assert type(through(value)) is type(plain)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (dt.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),  # noqa: DTZ001 - the naive case
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.time(3, 4, 5), "03:04:05"),
        (dt.timedelta(days=1, seconds=2), "P1DT2S"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Decimal("1.50"), "1.50"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_times_ids_and_decimals_are_canonical_text(value: object, text: str) -> None:
    """What has one text form takes it."""
    assert through(value) == text


def test_an_aware_datetime_is_the_same_moment() -> None:
    """Msgpack has a type of its own for it; the store writes it as ISO text."""
    assert through(UTC_TIME) == UTC_TIME


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Point(1, "a"), {"x": 1, "y": "a"}),
        (Point(1, Point(2, None)), {"x": 1, "y": {"x": 2, "y": None}}),
        (Pair(1, "a"), [1, "a"]),
        (Packed(3), {"a": 3}),
        (Colour.RED, "red"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_records_of_fields_are_their_fields(value: object, plain: object) -> None:
    """Dataclasses, namedtuples, Structs and enums give what they hold."""
    assert through(value) == plain


def test_a_pydantic_model_is_its_fields() -> None:
    """Its fields are read as they lie; no validator or serializer runs."""
    pydantic = pytest.importorskip("pydantic")

    class Model(pydantic.BaseModel):  # type: ignore[misc,name-defined]
        a: int
        inner: tuple[str, ...]

        @pydantic.model_serializer
        def refuse(self) -> Any:
            raise AssertionError("a user's serializer was called")

    assert through(Model(a=1, inner=("x",))) == {"a": 1, "inner": ["x"]}


@pytest.mark.parametrize("beside", [None, 2**70], ids=["natively", "by the walk"])
def test_a_pydantic_model_keeps_the_fields_that_its_class_does_not_know(beside: int | None) -> None:
    """As the OpenAI client's: what a compatible server adds, reasoning_content for one, is content too."""
    pydantic = pytest.importorskip("pydantic")

    class Message(pydantic.BaseModel):  # type: ignore[misc,name-defined]
        model_config = pydantic.ConfigDict(extra="allow")
        role: str

    message = Message(role="assistant", reasoning_content=["because"])
    found = through({"message": message, "beside": beside})["message"]
    assert found == {"role": "assistant", "reasoning_content": ["because"]}


def test_numpy_scalars_and_arrays_are_numbers_and_lists() -> None:
    """Up to 100,000 elements; a larger array is named with its size."""
    numpy = pytest.importorskip("numpy")
    assert through(numpy.float32(0.5)) == 0.5
    assert through(numpy.int64(7)) == 7
    assert through(numpy.arange(6).reshape(2, 3)) == [[0, 1, 2], [3, 4, 5]]
    assert through(numpy.zeros(100_001)) == "<numpy.ndarray> of 100001 elements"


def test_b01_lone_surrogates_are_replaced() -> None:
    """B1: in texts and in keys they become U+FFFD, and the pair of an astral character is no lone one."""
    assert through("a\ud800b") == "a\ufffdb"
    assert through({"k\udfff": "\ud834\udd1e"}) == {"k\ufffd": "𝄞"}


def test_b02_integers_outside_64_bit_are_text() -> None:
    """B2: up to 4,000 digits exactly, above that a marker that tells the size."""
    assert through(2**64) == str(2**64)
    assert through(-(2**63) - 1) == str(-(2**63) - 1)
    assert through([1, 2**70]) == [1, str(2**70)]
    assert through(10**5000) == f"<integer of {(10**5000).bit_length()} bits>"


def test_b03_numbers_that_are_none_stay_floats() -> None:
    """B3: NaN and the infinities travel as they are; the store tags them."""
    assert math.isnan(through(math.nan))
    assert through([math.inf, -math.inf]) == [math.inf, -math.inf]


def test_b04_cycles_are_named() -> None:
    """B4: a container inside itself is "<cycle>"; one that occurs twice beside itself is not."""
    cycle: list[Any] = [1]
    cycle.append(cycle)
    assert through(cycle) == [1, "<cycle>"]
    loop: dict[str, Any] = {}
    loop["self"] = {"deep": [loop]}
    assert through(loop) == {"self": {"deep": ["<cycle>"]}}
    shared = [2**65]
    assert through([shared, shared]) == [[str(2**65)], [str(2**65)]]
    point = Point(1, None)
    point.y = point
    assert isinstance(through(point), (dict, str))


@pytest.mark.parametrize("depth", [63, 500, 5_000])
def test_b05_depth_does_not_matter(depth: int) -> None:
    """B5: nesting is cut at 64 levels by the time it is stored; here no depth raises."""
    value: Any = "leaf"
    for _ in range(depth):
        value = [value]
    data, _ = encode([value])
    levels, found = 0, _decode(data)
    while isinstance(found, list):
        levels, found = levels + 1, found[0]
    assert found == ("leaf" if levels == depth + 1 else "<depth>")


@pytest.mark.parametrize(
    ("key", "kept"),
    [(1, 1), (None, None), (True, True), ((1, "a"), (1, "a")), (1.5, 1.5), (b"k", b"k")],
    ids=repr,
)
def test_b06_keys_of_other_types_decode(key: Any, kept: Any) -> None:
    """B6: keys that are no text survive the spool; the store writes them as text."""
    assert through({key: 1}) == {kept: 1}


def test_b06_keys_that_cannot_travel_are_text_or_named() -> None:
    """B6: once a value has to be walked, keys become text; an object as a key is named by its type."""
    assert through({1: 2**70, (1, 2): 0, None: 0}) == {"1": str(2**70), "[1, 2]": 0, "None": 0}
    assert through({Hostile(): 1}) == {f"<{__name__}.Hostile>": 1}


@pytest.mark.parametrize(
    "value", [Hostile(), object(), len, Hostile, (i for i in "ab")], ids=lambda v: type(v).__name__
)
def test_b07_anything_else_is_its_type_name(value: object) -> None:
    """B7: no code of an unknown object runs; it is named by its type."""
    kind = type(value)
    assert through(value) == f"<{kind.__module__}.{kind.__qualname__}>"
    assert through({"deep": [value, 2**70]})["deep"][0] == f"<{kind.__module__}.{kind.__qualname__}>"


def test_b07_a_mapping_that_refuses_to_be_read_harms_nothing() -> None:
    """B7: a dict subclass with broken methods is read by dict's own, or named; its neighbours stay."""
    value = through({"bad": BadItems(a=1), "good": 1})
    assert value["good"] == 1
    assert value["bad"] in ({"a": 1}, f"<{__name__}.BadItems>")


def _released() -> memoryview:
    view = memoryview(b"bytes")
    view.release()
    return view


class Endless:
    """A class whose iterator never ends, of which nothing else can be told."""

    def __iter__(self) -> Any:
        while True:
            yield 1

    def __bytes__(self) -> bytes:
        raise RuntimeError

    @property
    def __class__(self) -> Any:
        raise RuntimeError


class EndlessList(Endless, list):  # type: ignore[type-arg]
    """One that is a list."""


class EndlessTuple(Endless, tuple):  # type: ignore[type-arg]
    """One that is a tuple, and may be a key."""

    __slots__ = ()


class EndlessBytes(Endless, bytes):
    """One that is bytes."""


class Broken(set):  # type: ignore[type-arg]
    """A set that does not let itself be read."""

    def __iter__(self) -> Any:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (EndlessList([1, 2]), [1, 2]),
        (EndlessTuple((1, 2)), [1, 2]),
        (EndlessBytes(b"bytes"), b"bytes"),
        (Broken([1]), [1]),
        ({EndlessTuple((1, 2)): 1}, {"[1, 2]": 1}),
        (_released(), "<builtins.memoryview>"),
        (memoryview(b"abcd")[::2], b"ac"),
    ],
    ids=["list", "tuple", "bytes", "set", "key", "released", "steps"],
)
def test_b07_what_has_to_be_walked_is_read_by_its_base(value: object, plain: object) -> None:
    """B7: once one value cannot be encoded, the others are read without a method of theirs, or named."""
    assert through({"value": value, "reason to walk": 2**70}) == {
        "value": plain,
        "reason to walk": str(2**70),
    }


def test_b07_a_class_without_a_name_is_an_object() -> None:
    """B7: even what a class says of itself may raise."""

    class Nameless(type):
        @property
        def __module__(cls) -> Any:  # type: ignore[override]
            raise RuntimeError

    assert through([Nameless("Nameless", (), {})()]) == ["<object>"]


def test_b07_keyboard_interrupt_goes_through() -> None:
    """B7: what must end the program is not swallowed."""

    class Stop(dict[str, Any]):
        @property
        def __class__(self) -> Any:
            raise KeyboardInterrupt

    class Interrupting:
        @property
        def __pydantic_fields__(self) -> Any:
            return {}

        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode([Interrupting()])


def test_b10_a_large_text_is_cut_and_told() -> None:
    """B10: a record above 16 MiB is cut to 1 MiB a text, and says by how much."""
    data, cut = encode(["x" * (20 * 1024 * 1024), "kept"])
    assert cut
    text, kept = _decode(data)
    assert text.endswith(f"… [cut {19 * 1024 * 1024} bytes]")
    assert len(text) == 1024 * 1024 + len(f"… [cut {19 * 1024 * 1024} bytes]")
    assert kept == "kept"


def test_b10_a_cut_text_stays_valid_utf_8() -> None:
    """B10: the cut never falls inside a character."""
    data, cut = encode(["€" * (6 * 1024 * 1024)])
    assert cut
    assert _decode(data)[0].startswith("€" * 1000)


def test_b10_too_many_items_are_cut() -> None:
    """B10: a flood of items is cut to 10,000 a container, or less until it fits."""
    data, cut = encode([{f"key-{i}": "x" * 200 for i in range(100_000)}])
    assert cut
    assert len(_decode(data)[0]) == 10_000


def test_b10_bytes_are_cut() -> None:
    """B10: so are bytes."""
    data, cut = encode([bytes(30 * 1024 * 1024)])
    assert cut
    assert len(_decode(data)[0]) == 1024 * 1024


def test_b10_what_fits_is_not_touched() -> None:
    """B10: just below the limit a record is whole."""
    text = "x" * (MAX_RECORD_BYTES - 16)
    assert through(text) == text


_SHARED = """
import collections, dataclasses, resource
from hush_otel.codec import encode, decode
{numpy}
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))

@dataclasses.dataclass
class Pair:
    left: object
    right: object

def objects(part):
    array = numpy.empty(2, object)
    array[0] = array[1] = part
    return array

def mesh():
    members = [{{}} for _ in range(30)]
    for member in members:
        member.update({{str(i): other for i, other in enumerate(members)}})
    return members

def levels(step):
    part = "leaf"
    for _ in range(40):
        part = step(part)
    return part

data, cut = encode((6, 1, ["request", {value}, "kept"], 2))
found = decode(object)(data)
assert cut and found[:2] == [6, 1] and found[3] == 2 and found[2][0] == "request" and found[2][2] == "kept", found
assert b"<cut>" in data or b"<cycle>" in data
"""


@pytest.mark.parametrize(
    "value",
    [
        "levels(lambda part: [part, part])",
        "levels(lambda part: {'a': part, 'b': part})",
        "levels(lambda part: (part, {'deep': part}))",
        "levels(lambda part: Pair(part, part))",
        "levels(lambda part: collections.UserList([part, part]))",
        "levels(objects)",
        "mesh()",
        "[chr(0xd800), levels(lambda part: [part, part])]",
        "[chr(0xd800), levels(lambda part: Pair(part, part))]",
    ],
)
def test_b10_parts_that_are_shared_again_and_again_are_cut(value: str) -> None:
    """B10: 2^40 items that are forty objects take little memory, say that they are cut, and harm no neighbour."""
    needs_numpy = "objects" in value
    if needs_numpy:
        pytest.importorskip("numpy")
    script = _SHARED.format(value=value, numpy="import numpy" if needs_numpy else "")
    # Of the addresses that numpy takes for each processor, many processors would leave none.
    one_thread = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", script], check=True, env=one_thread)


def _shared(steps: list[Any]) -> object:
    part: object = "leaf"
    for step in steps:
        part = step(part)
    return part


STEPS = st.sampled_from(
    [
        lambda part: [part, part, part],
        lambda part: {"a": part, "b": part},
        lambda part: (part, 1),
        lambda part: collections.deque([part, part]),
        lambda part: Point(1, [part]),
    ]
)
SHARED = st.lists(STEPS, max_size=10).map(_shared)


@given(SHARED, SHARED)
def test_b10_a_value_is_cut_only_when_it_is_too_large(left: object, right: object) -> None:
    """B10: against a bound of 2 KB, what is smaller written out is whole, and the rest within it."""
    whole = msgspec.msgpack.encode([left, right, "kept"], enc_hook=walk.convert)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "MAX_RECORD_BYTES", 2048)
        patch.setattr(codec, "_FEW_PARTS", 20)
        patch.setattr(codec, "_SIZES", (64, 2048))
        small = [one._replace(room_bytes=one.room_bytes >> 13, part_bytes=4) for one in codec._LIMITS]
        patch.setattr(codec, "_LIMITS", small)
        data, cut = encode([left, right, "kept"])
    assert (cut, data == whole) == (len(whole) > 2048, len(whole) <= 2048)
    assert len(data) <= 2048
    assert _decode(data)[2] == "kept"


@pytest.mark.parametrize("kind", [Point, Renamed, Tagged, Listed])
def test_fields_are_the_same_by_the_walk(kind: Any) -> None:
    """An object that has to be walked gives the fields that the encoder gives."""
    value = kind(1, "a")
    assert through([value, 2**70])[0] == through(value)


def test_b14_encoding_is_a_snapshot() -> None:
    """B14: what the caller changes afterwards does not show."""
    value = {"a": [1]}
    data, _ = encode([value])
    value["a"].append(2)
    assert _decode(data) == [{"a": [1]}]


class _Zone(dt.tzinfo):
    """A time zone of Python code, as those of pytz and dateutil are."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self._meanwhile = meanwhile

    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta:
        self._meanwhile()
        return dt.timedelta(0)


def _time(meanwhile: Callable[[], object]) -> object:
    return dt.datetime(2026, 1, 1, tzinfo=_Zone(meanwhile))


def _fields(meanwhile: Callable[[], object]) -> object:
    class Computed:
        value: int

    kind: Any = dataclass(Computed)
    kind.value = property(lambda _: meanwhile(), lambda *_: None)
    return kind(1)


def _members(meanwhile: Callable[[], object]) -> object:
    class Members(set[int]):
        def __iter__(self) -> Iterator[int]:
            meanwhile()
            return super().__iter__()

    return Members([1])


@pytest.mark.parametrize("strange", [_time, _fields, _members])
@pytest.mark.parametrize("many", [10, 1_000])
def test_b14_what_changes_while_it_is_encoded_harms_nobody(
    strange: Callable[[Callable[[], object]], object], many: int
) -> None:
    """B14: whatever runs meanwhile, in this thread or another, may take away what is being read."""
    texts = [f"text {number}" for number in range(many)]
    value: list[object] = []
    value += [strange(value.clear), *texts]
    data, _ = encode([value])
    assert _decode(data)[0][1:] == texts


def test_s11_extensions_are_refused() -> None:
    """An extension type that is not msgpack's timestamp does not decode."""
    with pytest.raises(msgspec.DecodeError, match="extension type 42"):
        _decode(msgspec.msgpack.encode(msgspec.msgpack.Ext(42, b"")))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec="utf-16", exclude_categories=()) | st.sampled_from("\ud800\udfff\0"))
    | st.binary()
    | st.datetimes()
    | st.dates()
    | st.timedeltas()
    | st.uuids()
    | st.decimals()
    | st.builds(object)
    | st.builds(Hostile)
    | st.builds(Point, st.integers(), st.integers())
    | st.complex_numbers()
    | st.sampled_from([Colour.RED, len, int, ...])
)
KEYS = (
    st.text(st.sampled_from("ab\ud800"))
    | st.integers()
    | st.none()
    | st.booleans()
    | st.floats()
    | st.binary()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(KEYS, inner, max_size=5)
        | st.tuples(inner, inner)
        | st.builds(Point, st.just(1), inner)
        | st.builds(collections.deque, st.lists(inner, max_size=3))
    ),
    max_leaves=20,
)


@given(VALUES)
def test_whatever_comes_is_encoded_decodable_and_bounded(value: object) -> None:
    """No value raises, what comes out always decodes, and is never above the limit."""
    data, cut = encode((6, 1, [value]))
    assert not cut
    assert len(data) <= MAX_RECORD_BYTES
    assert _decode(data)[:2] == [6, 1]


@given(VALUES)
def test_the_walk_alone_gives_something_encodable(value: object) -> None:
    """The slow way by itself makes every value encodable, at every level of cutting."""
    for limits in codec._LIMITS:
        msgspec.msgpack.encode(walk.Walk(limits).walk(value, 0))


# ------------------------------------------------------------------ what encodes and cannot be decoded


@pytest.mark.parametrize("content", [b"\xc1", b"", b"\x91", b'{"json": 1}'])
def test_a_raw_value_that_would_break_the_record_is_a_placeholder(content: bytes) -> None:
    """The rest of the record is as it was."""
    value = {"before": [1], "raw": [msgspec.Raw(content)], "after": "x"}
    assert through(value) == {"before": [1], "raw": ["<msgspec.Raw>"], "after": "x"}


def test_keys_keep_their_values_when_a_record_has_to_be_walked() -> None:
    """Dates, enumerations and UUIDs are text as keys, too; what becomes the same text is told apart."""

    class Color(enum.Enum):
        RED = "red"

    class Key:
        pass

    day, number = dt.date(2024, 5, 1), uuid.UUID(int=1)
    found = through({Color.RED: 1, day: 2, number: 3, Key(): 4, Key(): 5, "raw": msgspec.Raw(b"\xc1")})
    assert list(found.values())[:5] == [1, 2, 3, 4, 5]
    assert list(found)[:3] == ["red", "2024-05-01", str(number)]


@pytest.mark.parametrize(
    "keys", [("1 (2)", 1, "1"), ("1", "1 (1)", "1 (2)", 1), (1, "1 (3)", "1 (4)", "1", (1,), "[1]")], ids=str
)
def test_keys_that_look_like_what_others_become_keep_their_values(keys: tuple[Any, ...]) -> None:
    """A number is added to a key that is there already, and as many as it takes."""
    given = {key: index for index, key in enumerate(keys)} | {"reason to walk": 2**70}
    assert list(through(given).values()) == [*range(len(keys)), str(2**70)]

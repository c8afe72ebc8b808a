"""Payloads that no decoder takes become readable, and those that it takes stay as they are."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hush_otel.codec import ENCODER, decode
from hush_otel.mend import mend

_decode = decode(Any)

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(-100, 100), inner),
    max_leaves=50,
)


def test_every_format_of_msgpack_is_passed_over() -> None:
    """Short and long forms of each type, at the sizes where one form ends and the next begins."""
    sizes = (0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536)
    value = [
        *("x" * size for size in sizes),
        *(b"x" * size for size in sizes),
        *([None] * size for size in sizes),
        *(dict.fromkeys(range(size)) for size in sizes),
        *(sign * 2**bits + step for sign in (1, -1) for bits in (5, 7, 8, 15, 16, 31, 32) for step in (-1, 0, 1)),
        2**64 - 1, -(2**63), 1.5, True, False, None,
    ]  # fmt: skip
    data = ENCODER.encode(value)
    assert mend(data) == data


@given(values)
def test_what_is_readable_stays_as_it_is(value: object) -> None:
    """Byte for byte."""
    data = ENCODER.encode(value)
    assert mend(data) == data


@given(values, st.data())
def test_what_is_cut_short_is_refused(value: object, draw: st.DataObject) -> None:
    """No record is made of bytes that break off: an error, or text that the decoder refuses."""
    data = ENCODER.encode([value, 1])
    cut = data[: draw.draw(st.integers(0, len(data) - 1))]
    with pytest.raises((IndexError, msgspec.MsgspecError)):
        _decode(mend(cut))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 8, 16, 17, 255, 256, 70_000])
def test_an_extension_becomes_text(size: int) -> None:
    """What lies around it is not touched."""
    data = ENCODER.encode({"a": 1, "b": [msgspec.msgpack.Ext(5, bytes(size)), 2], "c": 3})
    assert _decode(mend(data)) == {"a": 1, "b": ["<extension>", 2], "c": 3}


def test_a_timestamp_stays() -> None:
    """It is an extension that the decoder knows."""
    data = bytes.fromhex("92d6ff") + bytes(4) + b"\x01"
    assert mend(data) == data
    assert _decode(data)[1] == 1


def test_keys_that_are_containers_become_texts_of_their_own() -> None:
    """Two of them in one mapping keep their values."""
    data = b"\x83\x81\xa1x\x01\x02\x91\x81\xa1x\x03\xc3\xa1k\x04"
    with pytest.raises((msgspec.MsgspecError, TypeError)):
        _decode(data)
    assert _decode(mend(data)) == {"<key 1>": 2, "<key 2>": True, "k": 4}


@pytest.mark.parametrize("pair", [(b"\x91", b""), (b"\x82\x01\x02\xa1k", b"")])
def test_depth_is_cut(pair: tuple[bytes, bytes]) -> None:
    """Ten thousand levels take no stack, here or in the decoder, and what comes after them is read."""
    before, after = pair
    data = b"\x92" + before * 10_000 + b"\xc0" + after * 10_000 + b"\x07"
    found = _decode(mend(data))
    assert found[1] == 7
    assert "<depth>" in str(found[0])

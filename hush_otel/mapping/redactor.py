"""Values with their secrets hidden, whatever they are: texts, mappings, lists, numbers, bytes.

Values are walked to any depth; bytes are read as UTF-8, whole numbers as their digits.

**JSON within texts** (inputs and outputs of models, tool calls) is opened, as often as it is nested, when it
may hold something to hide: then it is written anew, and is JSON still. What must be hidden there is said by
its keys and each of its texts alone. In texts that are no JSON a hidden key is recognised by what follows it
(`keytext`).

What is hidden already stays: rules applied twice hide no more than once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

from hush_otel.rules import RedactionRules

from .keytext import PAIR, KeyRules, end_of_value
from .patterns import READY, Span, finders, merged

REQUEST_KEY: Final = "hush.request_id"

MAX_ROOM: Final = 100
"""Containers and JSON texts within one another; what lies deeper is hidden. The store shows 64 levels."""
SHORT_CHARS: Final = 64
KNOWN: Final = 10_000
"""Short texts in which is nothing to hide, and keys: most occur in every span, and are looked at once."""
_LEAST_CARD: Final = 10**12
_MOST_INT_BITS: Final = 13_000
"""Python writes no longer integers as text."""
_NAMED_VALUES: Final = (("name", "value"), ("key", "value"), ("Name", "Value"), ("Key", "Value"))
"""Where a key is the value of one, and under which its own stands."""
_JSON_STARTS: Final = ("{", "[", '"')
_DIGEST_BYTES: Final = 8


class Redactor:
    """Applies one set of rules. Used by one thread at a time; a subclass may see what is `found`.

    Args:
        rules: The rules.

    Attributes:
        mask: What stands in place of what is hidden.
        where: The key at the top under which it is at work.
    """

    def __init__(self, rules: RedactionRules) -> None:
        self.mask = rules.mask
        self.where: object = ""
        self._finders = finders(rules)
        self._pseudonym = re.compile(re.escape(rules.mask) + f"-[0-9a-f]{{{2 * _DIGEST_BYTES}}}")
        self._rules = KeyRules(rules.keys)
        self._least_number = 0 if rules.patterns else _LEAST_CARD
        self._clean: set[str] = set()
        self._keys: dict[str, tuple[str, str]] = {}

    def attributes(self, attributes: Mapping[Any, Any]) -> dict[Any, Any]:
        """A copy of a span's attributes, or of any mapping at the top."""
        found = self._pairs(attributes, MAX_ROOM)
        request_id = attributes.get(REQUEST_KEY)
        if type(request_id) is str:
            found[REQUEST_KEY] = self.identifier(request_id)
        return found

    def identifier(self, request_id: str) -> str:
        """The id of a request: as it is, or the mask and 16 hex digits that stand for it alone.

        So requests stay apart, and the records of one together. Whoever can guess an id can confirm it.
        """
        if self._pseudonym.fullmatch(request_id):
            return request_id
        if not self.rule_of("request_id", REQUEST_KEY) and self.text(request_id) == request_id:
            return request_id
        return self.pseudonym(request_id)

    def pseudonym(self, request_id: str) -> str:
        """What stands for an id that must not be seen."""
        digest = blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES)
        return f"{self.mask}-{digest.hexdigest()}"

    def rule_of(self, *keys: str) -> str:
        """The rule that hides a value under any of these keys; the empty text when none does."""
        return next((rule for key in keys if (rule := self._key(key)[0])), "")

    def text(self, text: str, room: int = MAX_ROOM) -> str:
        """Any text, with JSON within it."""
        short = len(text) <= SHORT_CHARS
        if short and text in self._clean:
            return text
        lower = text.lower()
        spans = [(span, rule) for rule, find in self._finders for span in find(text, lower)]
        keyed = self._rules.may_occur(lower)
        if (spans or keyed or "\\" in text) and text.lstrip()[:1] in _JSON_STARTS:
            opened = self._opened(text, room, doubled=keyed or bool(spans))
            # An own pattern may need the signs between the texts: then JSON is cut, as its author asks.
            spans = spans if opened is None else [found for found in spans if found[1] not in READY]
            if opened is not None and (opened != text or not spans):
                return opened
            keyed = keyed and opened is None
        if spans:
            text = self._cut(text, spans)
        if keyed:
            return self._cut_values(text)
        if short and not spans:
            self._remember(text)
        return text

    def value(self, value: Any, room: int = MAX_ROOM) -> Any:
        """Any value. Containers are copied; what is hidden becomes the mask, a text, whatever it was."""
        kind = type(value)
        if kind is str:
            return self.text(value, room)
        if value is None or kind is bool:
            return value
        if kind is dict or kind is list or kind is tuple:
            if room <= 0:
                return self.hide("depth", value)
            if kind is dict:
                return self._pairs(value, room - 1)
            return [self.value(item, room - 1) for item in value]
        return self._scalar(value)

    def hide(self, rule: str, value: object) -> str:
        """The mask in place of a value."""
        self.found(rule, value)
        return self.mask

    def found(self, rule: str, value: object) -> None:
        """Called with each value, and each part of a text, that a rule hides."""

    def _scalar(self, value: Any) -> Any:
        """Numbers by their digits; bytes, and a moment (msgpack knows nothing else), by their text."""
        if type(value) is int:
            if abs(value) < self._least_number:
                return value
            if value.bit_length() > _MOST_INT_BITS:
                return self.mask
            text = str(value)
        elif type(value) is float:
            if self._least_number and not (abs(value) >= self._least_number and value.is_integer()):
                return value
            text = str(int(value)) if value.is_integer() else repr(value)
        else:
            text = value.decode("utf-8", "replace") if type(value) is bytes else str(value)
        return value if self.text(text) == text else self.mask

    def _pairs(self, mapping: Mapping[Any, Any], room: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        clean, keys, top = self._clean, self._keys, room == MAX_ROOM
        if "value" in mapping or "Value" in mapping:
            mapping = self._without_named_value(mapping, top=top)
        for key, value in mapping.items():
            rule, shown = (keys.get(key) if type(key) is str else None) or self._look_at_key(key)
            if top:
                self.where = shown
            if rule:
                new: Any = self.hide(rule, value)
            elif type(value) is str:
                # As `text` begins, without the call: most are short, and the same in every span.
                new = value if len(value) <= SHORT_CHARS and value in clean else self.text(value, room)
            else:
                new = self.value(value, room)
            found[shown if shown not in found else _another(shown, found)] = new
        return found

    def _without_named_value(self, mapping: Mapping[Any, Any], *, top: bool) -> Mapping[Any, Any]:
        """``{"name": "password", "value": …}``, as headers, forms and OTLP write it."""
        for named, under in _NAMED_VALUES:
            name = mapping.get(named)
            rule = self._rules.rule_of(name) if type(name) is str and under in mapping else ""
            if rule:
                if top:
                    self.where = under
                return {**mapping, under: self.hide(rule, mapping[under])}
        return mapping

    def _key(self, key: str) -> tuple[str, str]:
        return self._keys.get(key) or self._look_at_key(key)

    def _look_at_key(self, key: Any) -> tuple[str, Any]:
        """The rule for what is under a key, and the key as it may be shown."""
        if type(key) is not str:
            text = key.decode("utf-8", "replace") if type(key) is bytes else str(key)
            return self._rules.rule_of(text), key if self.text(text) == text else self.mask
        if len(self._keys) >= KNOWN:
            self._keys.clear()
        known = self._keys[key] = (self._rules.rule_of(key), self.text(key))
        return known

    def _remember(self, text: str) -> None:
        if len(self._clean) >= KNOWN:
            self._clean.clear()
        self._clean.add(text)

    # ------------------------------------------------------------------ within texts

    def _opened(self, text: str, room: int, *, doubled: bool) -> str | None:
        """JSON as it is, or written anew where something in it is to be hidden; None when it is none.

        Args:
            text: What may be JSON.
            room: How many containers may lie within one another.
            doubled: Whether to look, too, at what a key has that stands once more behind it.
        """
        value, plain = _read_json(text)
        if value is _NO_JSON:
            return None
        if room <= 0:
            return self.hide("depth", text)
        new = self.value(value, room - 1)
        if new == value and not (doubled and self._hides_doubled(text, room - 1)):
            return text
        return _encode_json(new).decode() if plain else json.dumps(new, separators=(",", ":"))

    def _hides_doubled(self, text: str, room: int) -> bool:
        """Whether JSON has something to hide that its readers do not see: a later value has the same key."""
        covered: list[dict[str, Any]] = []

        def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            last = dict(pairs)
            if len(last) < len(pairs):
                covered.extend({key: value} for key, value in pairs if last[key] is not value)
            return last

        json.loads(text, object_pairs_hook=mapping)
        return any(self.value(pair, room) != pair for pair in covered)

    def _cut(self, text: str, spans: list[tuple[Span, str]]) -> str:
        for (start, end), rule in spans:
            self.found(rule, text[start:end])
        return self._without(text, merged([span for span, _ in spans]))

    def _cut_values(self, text: str) -> str:
        """A text that is no JSON without the values of hidden keys."""
        spans: list[Span] = []
        for pair in PAIR.finditer(text):
            if spans and pair.start() < spans[-1][1]:
                continue
            rule = self._key(pair["key"])[0]
            if not rule:
                continue
            start = pair.end()
            # Behind a mask stands what ended the value, or more of it. The mask itself opens and ends none.
            hidden = start + len(self.mask) if text.startswith(self.mask, start) else start
            end = end_of_value(text, pair, hidden)
            if end > hidden:
                self.found(rule, text[start:end])
                spans.append((start, end))
        return self._without(text, spans)

    def _without(self, text: str, spans: list[Span]) -> str:
        pieces: list[str] = []
        at = 0
        for start, end in spans:
            pieces += (text[at:start], self.mask)
            at = end
        return "".join((*pieces, text[at:]))


def _another(key: object, found: Mapping[Any, Any]) -> str:
    """Keys that became the same keep their values."""
    number = 2
    while f"{key} ({number})" in found:
        number += 1
    return f"{key} ({number})"


def _read_json(text: str) -> tuple[Any, bool]:
    """A value, and whether it is plain: Python writes NaN and halves of characters, which others refuse."""
    try:
        return _decode_json(text), True
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(text), False
    except (ValueError, RecursionError):
        return _NO_JSON, False


_NO_JSON: Final = object()
_decode_json: Final = msgspec.json.Decoder().decode
_encode_json: Final = msgspec.json.Encoder().encode

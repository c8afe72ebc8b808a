"""On the way out: the vendor's dialect on every span, and what the destination says of the resource.

Around any sender. Original attributes are never changed or left out; other destinations see nothing of it.

Images of node traces are read while spans are translated, not before: those of a batch may need more memory
than there is. They count against the destination's limit of bytes as they come, and a span that is too large
with its images goes without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import msgspec

from hush_otel import secrets
from hush_otel.destinations.base import Sender
from hush_otel.errors import OversizeError, TooLargeError
from hush_otel.mapping.dialects.catalogue import Dialect, dialect_named, translated
from hush_otel.mapping.dialects.images import texts_in, without_media
from hush_otel.model import AttributeValue, DestinationConfig, Origin, Outcome, SpanData
from hush_otel.options import EXPORTER, dialect, request_limit, with_media
from hush_otel.presets import DEFAULT_DIALECTS, PRESETS, filled


def _resource(config: DestinationConfig) -> dict[str, AttributeValue]:
    """What a destination's options say about the resource: the vendor's project, environment, release."""
    preset = PRESETS.get(config.type)
    if preset is None:
        return {}
    options = cast("Mapping[str, AttributeValue]", secrets.resolve(config.config))
    named = {key: filled(template, options) for key, template in preset.resource.items()}
    return {key: value for key, value in named.items() if value is not None}


def translating(sender: Sender, config: DestinationConfig) -> Sender:
    """The sender, with the dialect that its configuration asks for, else its type's own.

    Raises:
        PermanentError: The dialect is not known.
        PausedError: A secret that an option refers to is missing.
    """
    if config.type.startswith(EXPORTER):  # its options are all its own
        return TranslatingSender(sender, None, {})
    name = dialect(("dialect", config.config.get("dialect"))) or DEFAULT_DIALECTS.get(config.type, "none")
    limit = request_limit(config.config) if with_media(("media", config.config.get("media"))) else 0
    return TranslatingSender(sender, dialect_named(name), _resource(config), limit)


def _with_those_above(spans: Sequence[SpanData]) -> Iterator[SpanData]:
    """What is sent: a span that no row stands for goes before the node that carries it."""
    for span in spans:
        if span.above is None:
            yield span
        else:
            yield span.above
            yield msgspec.structs.replace(span, above=None)


class TranslatingSender:
    """A `base.Sender` around another one.

    Args:
        sender: The one that sends.
        dialect: None adds nothing.
        resource: What to add to each span's resource.
        media_bytes: What the images of one request may take, encoded; 0 sends none.
    """

    def __init__(
        self,
        sender: Sender,
        dialect: Dialect | None,
        resource: Mapping[str, AttributeValue],
        media_bytes: int = 0,
    ) -> None:
        self._sender = sender
        self._dialect = dialect
        self._resource = resource
        self._media_bytes = media_bytes
        self._origins: dict[int, tuple[Origin, Origin]] = {}
        self.max_in_flight = sender.max_in_flight
        self.wants_facts = dialect is not None or sender.wants_facts

    def send(self, spans: Sequence[SpanData]) -> Outcome:
        """Translate and send. Returns and raises as `base.Sender.send`.

        A span alone that is too large is sent once more without its images.
        """
        if not self._media_bytes:
            spans = [without_media(span) for span in spans]
        try:
            outcome = self._sender.send(self._all_translated(spans))
        except TooLargeError:
            bare = [without_media(span) for span in spans]
            if len(spans) > 1 or bare[0] is spans[0]:
                raise
            outcome = self._sender.send(self._all_translated(bare))
        # A receiver may refuse spans that no row stands for: the ledger knows nothing of them.
        return outcome if outcome.rejected <= len(spans) else Outcome(len(spans), outcome.message)

    def _all_translated(self, spans: Sequence[SpanData]) -> list[SpanData]:
        """What is sent for these.

        Raises:
            OversizeError: Before more images are read than one request can carry.
        """
        found, size = list[SpanData](), 0
        for span in _with_those_above(spans):
            found.append(self._translated(span))
            if span.facts.media is not None:
                size += sum(map(len, texts_in(found[-1].attributes)))
            if size > self._media_bytes and len(found) > 1:
                words = f"spans with {size} bytes of images and texts are above {self._media_bytes}"
                estimate = size * len(spans) // len(found)
                raise OversizeError(words, size_bytes=estimate, limit_bytes=self._media_bytes)
        return found

    def _translated(self, span: SpanData) -> SpanData:
        if self._dialect is not None:
            span = translated(self._dialect, span)
        if self._resource:
            span = msgspec.structs.replace(span, origin=self._origin(span.origin))
        return span

    def _origin(self, origin: Origin) -> Origin:
        """One object for each of the store's: the encoder tells resources apart by that."""
        found = self._origins.get(id(origin))
        if found is None:
            changed = msgspec.structs.replace(origin, resource={**self._resource, **origin.resource})
            # The original is kept, too: its id must not become another's.
            found = self._origins[id(origin)] = origin, changed
        return found[1]

    def close(self) -> None:
        """Close the sender. Idempotent."""
        self._sender.close()

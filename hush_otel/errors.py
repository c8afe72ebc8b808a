"""Every error of hush-otel.

    HushError
    ├── ConfigError             a setting or an argument that cannot work; raised at construction
    ├── SpoolError              a segment or the spool directory cannot be used
    ├── StoreError              the SQLite database cannot be used
    │   ├── StoreFenced         another background process has taken the database over
    │   └── StoreBusy           somebody holds it, or there is no room: it will be usable later
    ├── PageError               the page has asked for what it cannot have; carries the HTTP status
    └── DeliveryError           one attempt of one delivery failed
        ├── RetryableError      try again later, after `retry_after_s` when given
        ├── PermanentError      never succeeds: the delivery is dead
        │   └── RefusedError    because of what the request carried: some of its spans may be accepted
        │       └── TooLargeError   because of its size
        │           └── OversizeError   it was above our own limit, and not sent
        └── PausedError         nothing succeeds until someone acts: the destination is paused

Each carries what was being done, on which path or id, and a hint for the person who reads it.
"""

from __future__ import annotations


class HushError(Exception):
    """Base of all errors of this package.

    Args:
        message: What was being done, on which path or id, and what went wrong.
        hint: What the reader can do now; empty when there is nothing to do.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(HushError):
    """A setting or argument cannot work. Names the key."""


class SpoolError(HushError):
    """A segment file or the spool directory cannot be used."""


class StoreError(HushError):
    """The SQLite database cannot be opened, migrated or written."""


class StoreFenced(StoreError):  # noqa: N818 - a state, named as the field names it
    """Another background process owns the database now; this one must leave."""


class StoreBusy(StoreError):  # noqa: N818 - a state, as StoreFenced is
    """The database cannot be used now, and will be when a lock is released or space is freed."""


class PageError(HushError):
    """What was asked of the page's server is not there, not allowed, or makes no sense.

    Args:
        status: The HTTP status of the answer.
        message: What was asked, and why it is refused.
        hint: What the reader can do.
    """

    def __init__(self, status: int, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class DeliveryError(HushError):
    """One attempt to deliver failed."""


class RetryableError(DeliveryError):
    """The attempt may succeed later.

    Args:
        message: The receiver's words, or the transport's.
        hint: What the reader can do.
        retry_after_s: The receiver's own wish in seconds; None means our backoff decides.
    """

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class PermanentError(DeliveryError):
    """The receiver will never accept this; the delivery is dead."""


class RefusedError(PermanentError):
    """The receiver does not accept what this request carried; fewer spans of it may be accepted."""


class TooLargeError(RefusedError):
    """The receiver does not accept so much at once."""


class OversizeError(TooLargeError):
    """The encoded request is above the destination's limit. Nothing was sent.

    Args:
        message: With its size.
        hint: What the reader can do.
        size_bytes: Of the request.
        limit_bytes: The destination's.
    """

    def __init__(self, message: str, *, hint: str = "", size_bytes: int, limit_bytes: int) -> None:
        super().__init__(message, hint=hint)
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class PausedError(DeliveryError):
    """Nothing reaches this destination until a person acts (key, type, certificate)."""

"""Secrets in destination configurations: kept by reference, resolved late, masked everywhere else.

A reference is ``${NAME}``, an environment variable, or ``${file:/path}``, a file's text without its
trailing line break. References stay as they are in the spool, the store and every view; only
`resolve`, at the moment of use, puts the secret in. A secret that the application wrote literally is
taken out by `split`, kept in a private table, and put back by `join`.

The process that delivers has an environment of its own. So that it does not send with another value than the
application meant, a `fingerprint` of each variable travels beside the reference, and `check` compares. A file
has none: it is read at every request, so that whoever replaces it has rotated the secret.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import hmac
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias, cast
from urllib.parse import unquote

from hush_otel import config as settings
from hush_otel.errors import PausedError
from hush_otel.model import AttributeValue
from hush_otel.private import open_at_once

MASK: Final = "***"

SECRET_FILE_MAX_BYTES: Final = 64 * 1024
"""Above this a file is no secret but a mistake: tokens and keys have a few KiB at most."""

FINGERPRINT_BITS: Final = 12
"""Whoever has the database learns no more of a value than this, however long he computes: of a million
guesses 250 still fit. Another value goes unnoticed once in 4,096 times; then the receiver judges, as ever."""
FINGERPRINT_ROUNDS: Final = 20_000
"""Of PBKDF2, four milliseconds: thinning such a list takes an hour, and leaves the receiver to be asked."""

Literals: TypeAlias = list[list[Any]]
"""JSON-able: ``[[path, value], …]``, a path being the keys and indexes from the root."""

_REFERENCE: Final = re.compile(r"\$\{(file:[^}]+|[A-Za-z_][A-Za-z0-9_]*)\}")
_TELLING: Final = "key|secret|token|passw|passphrase|pwd|auth|credential|signature|cookie|header|dsn"
_SECRET_KEY: Final = re.compile(_TELLING, re.IGNORECASE)
_USERINFO: Final = re.compile(
    r"(?<=://)((?:\$\{[^}]*\}|[^/?#\s@])*(?:@[^?#\s]*)?"
    # A password may hold what ends a host where nobody encoded it: then no port follows the colon.
    r"|(?:\$\{[^}]*\}|[^/?#\s@:\[])*:(?!\d*(?:[/?#\s]|$))\S*)(?=@)"
)
_BARE_USERINFO: Final = re.compile(r"\A([^\s/@:]+:\S*)(?=@[^\s@]+\Z)")
"""``user:password@host:port``, as gRPC's endpoints have no scheme."""
_SECRET_QUERY: Final = re.compile(
    rf"([?&](?:[^=&#\s]*(?:{_TELLING})[^=&#\s]*|sig|pass|code)=)([^&#\s]+)", re.IGNORECASE
)


def resolve(value: AttributeValue) -> AttributeValue:
    """A copy of `value` with every reference in its strings replaced, at any depth. Keys are kept.

    Raises:
        PausedError: A variable is not set or empty, or a file cannot be read; the message names it.
    """
    if isinstance(value, str):
        return _REFERENCE.sub(lambda found: _secret(found[1]), value)
    if isinstance(value, Mapping):
        return {key: resolve(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolve(item) for item in value]
    return value


def _secret(name: str) -> str:
    if name.startswith("file:"):
        return _file_secret(Path(name.removeprefix("file:")))
    value = settings.environment_value(name)
    if not value:
        raise PausedError(
            f"secret {name} is not set or empty in the process that delivers", hint=_other_process(name)
        )
    return value


def _other_process(name: str) -> str:
    return (
        f"end that process, whose pid `hush-otel status` shows: the next one is started by an application,"
        f" with its {name}; or start `hush-otel run` with it"
    )


def _file_secret(path: Path) -> str:
    hint = "write the secret there; the destination is tried again every five minutes"
    try:
        text = _beginning(path).decode()
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise PausedError(f"secret file:{path} cannot be read: {reason}", hint=hint) from None
    if not text.strip() or len(text) > SECRET_FILE_MAX_BYTES:
        raise PausedError(f"secret file:{path} is empty or above {SECRET_FILE_MAX_BYTES} bytes", hint=hint)
    return text.rstrip("\r\n")


def _beginning(path: Path) -> bytes:
    with open(path, "rb", opener=open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return file.read(SECRET_FILE_MAX_BYTES + 1)


def values_of(config: AttributeValue) -> list[str]:
    """The secrets in a configuration as whoever uses it knows them: literals, and what references stand for.

    Of a URL its user part, user and password, and the secrets of its query, each also decoded. A reference
    that cannot be resolved here stands for nothing.
    """
    found: dict[str, None] = {}
    for name in _references(config):
        try:
            found[_secret(name)] = None
        except PausedError:
            continue
    for _, value in split(config)[1]:
        found.update(dict.fromkeys(_parts(str(value))))
    return list(found)


def _parts(literal: str) -> Iterator[str]:
    yield literal
    users = [user for user in _USERINFO.findall(literal) if user] + _BARE_USERINFO.findall(literal)
    parts = [part for user in users for part in (user, *user.split(":", 1))]
    parts += [value for _, value in _SECRET_QUERY.findall(literal)]
    for part in parts:
        yield part
        yield unquote(part)


def _references(value: AttributeValue) -> Iterator[str]:
    if isinstance(value, str):
        yield from _REFERENCE.findall(value)
    elif isinstance(value, (Mapping, list, tuple)):
        for _, item in _items(value):
            yield from _references(item)


def fingerprints(config: AttributeValue, place: str) -> dict[str, str]:
    """What the variables that `config` refers to are in this process: ``{NAME: fingerprint}``.

    A variable that is not set here has none: who does not know a value contradicts nobody.

    Args:
        config: JSON-able.
        place: The spool. In one place equal values always look the same, so that many records tell nobody
            more than one of them; in two places, or under two names, they do not.
    """
    names = sorted(name for name in set(_references(config)) if not name.startswith("file:"))
    known = {name: settings.environment_value(name) for name in names}
    return {name: _fingerprint(_salt(place, name), value) for name, value in known.items() if value}


def with_fingerprints(record: dict[str, AttributeValue], place: str) -> dict[str, AttributeValue]:
    """A destination's record as it is spooled: with the `fingerprints` of its secrets, if it has any."""
    found = fingerprints(record["config"], place)
    return {**record, "secrets": found} if found else record


def check(expected: Mapping[str, str]) -> None:
    """Whether this process has the values that were meant: see `fingerprints`.

    Raises:
        PausedError: One is another; the message names the variable. That one is missing, `resolve` says.
    """
    for name, fingerprint in sorted(expected.items()):
        value = settings.environment_value(name)
        salt = fingerprint.partition(":")[0]
        if value and not hmac.compare_digest(_fingerprint(salt, value), fingerprint):
            raise PausedError(
                f"secret {name} has another value in the process that delivers than in the application",
                hint=_other_process(name),
            )


def _salt(place: str, name: str) -> str:
    return hashlib.blake2b(f"{place}\0{name}".encode(errors="surrogateescape"), digest_size=8).hexdigest()


@functools.lru_cache(maxsize=64)
def _fingerprint(salt: str, value: str) -> str:
    """``salt:digits``. Cached: a mark may need it in every request."""
    data = value.encode(errors="surrogateescape")
    digest = hashlib.pbkdf2_hmac("sha256", data, salt.encode(), FINGERPRINT_ROUNDS)
    return f"{salt}:{int.from_bytes(digest[:2]) >> 16 - FINGERPRINT_BITS:03x}"


def mask(config: AttributeValue) -> AttributeValue:
    """A copy of `config` that may be shown: see `split`."""
    return split(config)[0]


def split(config: AttributeValue) -> tuple[AttributeValue, Literals]:
    """Take the literal secrets out of a JSON-able configuration.

    Taken out: every value under a key with one of the words of `_TELLING` in its name, ``headers`` among
    them, the user part of URLs, and such keys in their query. Values that consist of references only stay.
    `config` is not changed.

    Returns:
        The masked copy, and the literals that `join` puts back.
    """
    literals: Literals = []
    return _masked(config, (), literals, hide=False), literals


def literal_keys(config: AttributeValue) -> list[str]:
    """Where a configuration holds a secret itself, such as ``headers.authorization``; never the secret.

    What stands around a reference, as in ``Bearer ${NAME}``, is none.
    """
    return [
        ".".join(map(str, path))
        for path, value in split(config)[1]
        if mask_url(text := str(value)) != text or not _REFERENCE.search(text)
    ]


_Path: TypeAlias = tuple[str | int, ...]


def _masked(value: AttributeValue, path: _Path, literals: Literals, *, hide: bool) -> AttributeValue:
    if isinstance(value, (Mapping, list, tuple)):
        copies = {
            key: _masked(item, (*path, key), literals, hide=hide or _hides(key))
            for key, item in _items(value)
        }
        return copies if isinstance(value, Mapping) else list(copies.values())
    shown = _shown(value, hide=hide)
    if shown is not value and shown != value:
        literals.append([list(path), value])
    return shown


def _items(value: Any) -> Iterator[tuple[Any, AttributeValue]]:
    return iter(value.items() if isinstance(value, Mapping) else enumerate(value))


def _hides(key: str | int) -> bool:
    return isinstance(key, str) and _SECRET_KEY.search(key) is not None


def _shown(value: AttributeValue, *, hide: bool) -> AttributeValue:
    if value is None or isinstance(value, bool):
        return value  # a switch such as `use_key = true` tells nothing
    if not isinstance(value, str):
        return MASK if hide else value
    if hide:
        return value if _REFERENCE.fullmatch(value) else MASK
    return mask_url(value)


def mask_url(text: str) -> str:
    """`text` with the user part of its URLs, and secret query values, replaced by ``***``."""
    if "://" not in text:
        return _BARE_USERINFO.sub(lambda found: _masked_part(found[1]), text)
    text = _USERINFO.sub(lambda found: _masked_part(found[1]), text)
    return _SECRET_QUERY.sub(lambda found: found[1] + _masked_part(found[2]), text)


def _masked_part(part: str) -> str:
    """References joined by ``:`` name a secret without telling it."""
    return part if _REFERENCE.sub("", part) in {"", ":"} else MASK


def join(masked: AttributeValue, literals: Literals) -> AttributeValue:
    """Put the literals of `split` back: equal to the original, tuples being lists. `masked` is not changed.

    Raises:
        LookupError: The two do not belong together.
    """
    root = _copy(masked)
    for path, value in literals:
        if not path:
            return cast("AttributeValue", value)
        parent: Any = root
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = value
    return root


def _copy(value: AttributeValue) -> AttributeValue:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copy(item) for item in value]
    return value

"""Settings: one frozen object, validated once, from code, then environment, then the TOML file.

The only reader of `os.environ` in this package. `docs/configuration.md` lists every key.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

from .destination_tables import defined, resolve
from .errors import ConfigError, PermanentError
from .layers import Layers, Mistakes, absolute_path
from .model import AttributeValue, Destination
from .options import check
from .presets import check_complete, completed
from .rules import RedactionRules
from .toml_file import read_toml

DEFAULT_DB_PATH: Final = Path(os.environ.get("HUSH_TRACES_DB") or "~/.hush/traces.db")
"""Informational, as in the seed: the path that was in force when the package was imported."""

DEFAULT_CONFIG_PATH: Final = "~/.hush/hush.toml"
BackgroundMode: TypeAlias = Literal["process", "thread", "external"]
Durability: TypeAlias = Literal["process", "interval", "full"]

MIB: Final = 1024 * 1024
WEEK_S: Final = 7 * 24 * 3600.0
LEAST_RETENTION_DAYS: Final = 1e-6
"""A tenth of a second. 0 is refused: some mean by it that all is kept, and all would be deleted."""
RETENTION_HINT: Final = "a number above 0, fractions too; without it all is kept"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set, resolved to absolute paths.

    Attributes:
        db_path: The SQLite database.
        spool_dir: Where this database's segments lie, and no other's.
        spool_max_bytes: Above this, records are dropped and counted.
        force_filesystem: Use a network or FUSE filesystem in spite of what it may lose.
        background: Who drains: a process of its own, a thread of the app, or `hush-otel run` elsewhere.
        durability: ``process`` survives any process death, ``interval`` and ``full`` bound power loss.
        destinations: Default destinations of a processor that names none.
        known_destinations: By name, from the configuration file.
        live: Record spans when they start, too.
        complete_timeout_s: A request without records for this long is complete.
        delivery_max_age_s: A delivery that is not accepted for so long is dead.
        idle_exit_s: The background process leaves after this long without owners and work.
        retention_days: Delete delivered requests whose last record is older than this; None keeps all.
        retention_requests: Keep so many of the newest requests of each workflow; None keeps all.
        retention_undelivered: Delete what was not delivered, too, by the same rules.
        max_db_bytes: Bound of the database; None is unbounded.
        python: The interpreter for the background process when `sys.executable` is none.
        tracer_modules: Modules that register tracers, for the processes that run them.
        redaction: What is hidden before it is stored; None hides nothing.
        search: Build the full-text index; without it one that is there is removed.
        config_file: Where HUSH_CONFIG led when it was read; None where it named nothing.
    """

    db_path: Path
    spool_dir: Path
    spool_max_bytes: int = 1024 * MIB
    force_filesystem: bool = False
    background: BackgroundMode = "process"
    durability: Durability = "process"
    destinations: tuple[Destination, ...] = ()
    known_destinations: Mapping[str, Destination]
    live: bool = True
    complete_timeout_s: float = 60.0
    delivery_max_age_s: float = WEEK_S
    idle_exit_s: float = 60.0
    retention_days: float | None = None
    retention_requests: int | None = None
    retention_undelivered: bool = False
    max_db_bytes: int | None = None
    python: str | None = None
    tracer_modules: tuple[str, ...] = ()
    redaction: RedactionRules | None = None
    search: bool = True
    config_file: Path | None = None

    @classmethod
    def load(cls, db_path: str | os.PathLike[str] | None = None, **overrides: object) -> Settings:
        """Read environment and configuration file.

        Args:
            db_path: The database; None means ``$HUSH_TRACES_DB``, the file's ``traces_db``,
                or ``~/.hush/traces.db``.
            **overrides: Fields set in code; they win.

        Raises:
            ConfigError: A key is unknown or a value cannot work; the message names it.
        """
        found = survey(db_path)
        for mistake in found.mistakes.values():
            raise mistake
        return replace(found.settings, **cast("dict[str, Any]", overrides))

    def choose(self, destinations: Iterable[Destination | str]) -> tuple[Destination, ...]:
        """What a processor sends to: what it names, else the default; ``local`` stands for none.

        Raises:
            ConfigError: A name is neither in the configuration file nor a known type, or an option of a
                destination is missing or cannot work.
        """
        asked = resolve(destinations, self.known_destinations, "destinations", _config_place())
        return tuple(_completed(d) for d in (asked or self.destinations) if d.type != "local")


class Survey(NamedTuple):
    """Settings as far as they can be read.

    Attributes:
        settings: With the default of whatever is wrong.
        mistakes: What is wrong, by the part: a setting, ``destination.NAME``, `FILE`, `UNKNOWN`.
        sure: Whether this is the database that is meant: not where a file that nobody can read may name it.
    """

    settings: Settings
    mistakes: Mistakes
    sure: bool


FILE: Final = "file"
UNKNOWN: Final = "unknown key"
"""Parts in which a mistake can be beside the settings."""
HIDES: Final = frozenset({FILE, UNKNOWN, "redaction"})
"""Parts in which a mistake may be about what is to be hidden."""


def survey(db_path: str | os.PathLike[str] | None = None) -> Survey:
    """As `Settings.load`, but what is wrong is kept beside what can be read.

    Raises:
        ConfigError: The path of the database or of the spool cannot work.
    """
    mistakes, content = Mistakes(), dict[str, Any]()
    with mistakes.of(FILE):
        content = _read_config_file()
    with mistakes.of(UNKNOWN):
        _refuse_unknown_keys(content)
    layers = Layers(content, _config_place(), os.environ)
    place, _ = layers.raw("traces_db")
    path = _database(db_path or layers.text("traces_db"))
    values: dict[str, Any] = {}
    for name, read in _READ.items():
        with mistakes.of(name):
            values[name] = read(layers)
    known = defined(content.get("destination", {}), _config_place(), mistakes)
    if not any(part.startswith("destination") for part in mistakes):
        with mistakes.of("destinations"):
            at, names = layers.names("destinations")
            values["destinations"] = resolve(names, known, at, _config_place())
    spool = layers.text("spool_dir")
    settings = Settings(
        db_path=path,
        spool_dir=_spool_below(absolute_path(spool, "HUSH_SPOOL_DIR"), path) if spool else spool_beside(path),
        known_destinations=known,
        config_file=_chosen_file(),
        **values,
    )
    return Survey(settings, mistakes, FILE not in mistakes or bool(db_path) or place == "HUSH_TRACES_DB")


def _database(said: str | os.PathLike[str] | None) -> Path:
    path = absolute_path(said or "~/.hush/traces.db", "HUSH_TRACES_DB")
    if not path.name:
        raise ConfigError(f"HUSH_TRACES_DB is {path}, a directory", hint="name a file in it")
    return path


_READ: Final[Mapping[str, Callable[[Layers], object]]] = {
    "spool_max_bytes": lambda found: found.size("spool_max_bytes", 1024 * MIB, minimum=MIB),
    "force_filesystem": lambda found: found.boolean("force_filesystem", default=False),
    "background": lambda found: found.choice("background", ("process", "thread", "external")),
    "durability": lambda found: found.choice("durability", ("process", "interval", "full")),
    "live": lambda found: found.boolean("live", default=True),
    "complete_timeout_s": lambda found: found.number("complete_timeout_s", float, 60.0, minimum=0.1),
    "delivery_max_age_s": lambda found: found.number("delivery_max_age_s", float, WEEK_S, minimum=0.1),
    "idle_exit_s": lambda found: found.number("idle_exit_s", float, 60.0, minimum=0.0),
    "retention_days": lambda found: found.number(
        "retention_days", float, None, minimum=LEAST_RETENTION_DAYS, hint=RETENTION_HINT
    ),
    "retention_requests": lambda found: found.number("retention_requests", int, None, minimum=1),
    "retention_undelivered": lambda found: found.boolean("retention_undelivered", default=False),
    "max_db_bytes": lambda found: found.size("max_db_bytes", None, minimum=MIB),
    "python": lambda found: found.text("python"),
    "tracer_modules": lambda found: found.modules("tracer_modules"),
    "redaction": lambda found: _redaction(found.file.get("redaction")),
    "search": lambda found: found.boolean("search", default=True),
}
"""Settings that a wrong value leaves at their default. `survey` itself reads places and destinations."""


def vendor_defaults(kind: str, config: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """A destination's options with what the environment says by the vendor's conventional variables."""
    return completed(kind, config, os.environ)


def _completed(destination: Destination) -> Destination:
    """By the same name. What its vendor requires and nobody has said is an error."""
    config = vendor_defaults(destination.type, destination.config)
    try:
        check(destination.type, config)  # a variable may be wrong, too
        check_complete(destination.type, config)
    except PermanentError as exc:
        raise ConfigError(f"destination {destination.name!r}: {exc.message}", hint=exc.hint) from None
    if config == destination.config:
        return destination
    options: dict[str, Any] = config
    return Destination(destination.type, name=destination.name, **options)


def spool_beside(db_path: Path) -> Path:
    """Where a database's spool lies unless HUSH_SPOOL_DIR says otherwise."""
    return db_path.with_name(db_path.name + ".spool")


def _spool_below(chosen: Path, db_path: Path) -> Path:
    """One of its own for each database, whatever links lead to it: records do not know their database."""
    real = Path(os.path.realpath(db_path))
    digest = hashlib.blake2b(os.fsencode(real), digest_size=4).hexdigest()
    return chosen / f"{real.name}-{digest}.spool"


def _layers() -> Layers:
    return Layers(_read_config_file(), _config_place(), os.environ)


def config_path() -> Path:
    """The configuration file in force; it need not exist."""
    return absolute_path(os.environ.get("HUSH_CONFIG") or DEFAULT_CONFIG_PATH, "HUSH_CONFIG")


def _chosen_file() -> Path | None:
    with suppress(ConfigError):  # which `survey` keeps
        return config_path() if os.environ.get("HUSH_CONFIG") else None
    return None


def _config_place() -> str:
    """The configuration file as messages call it."""
    try:
        return str(config_path())
    except ConfigError:
        return "the configuration file"  # no home directory, and nobody asked for one


def _read_config_file() -> dict[str, Any]:
    try:
        path = config_path()
    except ConfigError:
        if os.environ.get("HUSH_CONFIG"):
            raise
        return {}  # no home directory: nothing to read, and nobody asked for it
    content = read_toml(path)
    if content is None:
        if os.environ.get("HUSH_CONFIG"):
            raise ConfigError(f"HUSH_CONFIG names {path}, which does not exist")
        return {}
    return content


def _refuse_unknown_keys(content: Mapping[str, Any]) -> None:
    allowed = {f.name for f in fields(Settings)} - {"db_path", "known_destinations", "config_file"} | {
        "traces_db",
        "destination",
    }
    unknown = sorted(set(content) - allowed)
    if unknown:
        raise ConfigError(
            f"unknown key {unknown[0]!r} in {config_path()}", hint=f"known: {', '.join(sorted(allowed))}"
        )


def _redaction(table: object) -> RedactionRules | None:
    if table is None:
        return None
    return RedactionRules.from_table(table, f"[redaction] in {config_path()}")


def interpreter(settings: Settings) -> str | None:
    """The Python for the background process; None where there is none (uWSGI, frozen apps)."""
    return _interpreter(settings.python)


def _interpreter(chosen: str | None) -> str | None:
    if chosen:
        return chosen
    executable = sys.executable
    if executable and "python" in Path(executable).name.lower() and not getattr(sys, "frozen", False):
        return executable
    return None


def otlp_environment() -> dict[str, str]:
    """OTel's standard OTLP variables that are set (specification, protocol/exporter.md)."""
    return {
        key: value for key, value in os.environ.items() if key.startswith("OTEL_EXPORTER_OTLP_") and value
    }


def environment_value(name: str) -> str | None:
    """One variable, for a secret kept by reference: ``${NAME}``."""
    return os.environ.get(name)


def child_environment(settings: Settings) -> dict[str, str]:
    """The environment of the background process: the app's, with the OTel SDK switched off in it.

    What the app resolved is passed on resolved, since the process has another working directory.
    """
    spool = settings.spool_dir
    environment = {
        **os.environ,
        "OTEL_SDK_DISABLED": "true",
        "HUSH_SPOOL_DIR": "" if spool == spool_beside(settings.db_path) else str(spool.parent),
    }
    # As it was read: by now the application may be in another working directory, too.
    if settings.config_file or environment.get("HUSH_CONFIG"):
        environment["HUSH_CONFIG"] = str(settings.config_file or config_path())
    return environment


class ForeignCode(NamedTuple):
    """How a process for code of others is started.

    Attributes:
        python: The interpreter; None where there is none.
        import_path: Where else than among the interpreter's own packages modules may lie.
        environment: Of the process, with the OTel SDK switched off: what delivers makes no spans.
        tracer_modules: As in Settings.
    """

    python: str | None
    import_path: list[str]
    environment: dict[str, str]
    tracer_modules: tuple[str, ...]


def foreign_code() -> ForeignCode:
    """As settings are now: a changed file counts for the next process.

    Raises:
        ConfigError: A setting cannot work.
    """
    layers = _layers()
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return ForeignCode(
        _interpreter(layers.text("python")),
        [str(Path(__file__).resolve().parents[1]), *(path for path in paths if path.startswith(os.sep))],
        {**os.environ, "OTEL_SDK_DISABLED": "true"},
        layers.modules("tracer_modules"),
    )


def self_metrics_wanted() -> bool:
    """Whether the MeterProvider is told our counts: unless the SDK is off, or its switch for its own."""
    switches = {"OTEL_SDK_DISABLED": "true", "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "false"}
    return all(os.environ.get(name, "").strip().lower() != off for name, off in switches.items())


def chosen_configurator() -> str:
    """The configurator chosen by name for auto-instrumentation; empty when none was."""
    return os.environ.get("OTEL_PYTHON_CONFIGURATOR", "").strip()


def exporters_chosen(variable: str) -> list[str]:
    """The names in one of OTel's exporter variables; empty when it is not set or says ``none``."""
    names = os.environ.get(variable, "")
    if names.strip().lower() in {"", "none"}:
        return []
    return [name.strip() for name in names.split(",")]


@contextmanager
def variables_replaced(values: Mapping[str, str]) -> Iterator[None]:
    """Other values for some variables, while the SDK sets itself up. They are put back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

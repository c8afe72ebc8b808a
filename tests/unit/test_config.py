"""Settings: code over environment over file, and errors that name the key."""

from __future__ import annotations

import dataclasses
import errno
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hush_otel import config
from hush_otel.config import Settings, child_environment, config_path, interpreter
from hush_otel.errors import ConfigError
from hush_otel.model import Destination

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory and an environment without our settings."""
    for key in list(os.environ):
        if key.startswith(("HUSH_", "OTEL_")):
            monkeypatch.delenv(key)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write(home: Path, text: str) -> None:
    """The configuration file at its default place."""
    (home / ".hush").mkdir(exist_ok=True)
    (home / ".hush" / "hush.toml").write_text(text)


def test_defaults_need_nothing(home: Path) -> None:
    """Without environment and file every setting has its documented default."""
    settings = Settings.load()
    assert settings == Settings(
        db_path=home / ".hush/traces.db",
        spool_dir=home / ".hush/traces.db.spool",
        known_destinations={},
    )
    assert settings.spool_max_bytes == 1024 * MIB
    assert (settings.background, settings.durability, settings.live) == ("process", "process", True)
    assert (settings.complete_timeout_s, settings.idle_exit_s) == (60.0, 60.0)
    assert (settings.retention_days, settings.max_db_bytes, settings.python) == (None, None, None)
    assert not home.joinpath(".hush").exists()


# key: (in the file, its value, in the environment, its value)
SETTINGS: dict[str, tuple[str, Any, str, Any]] = {
    "spool_max_bytes": ("2097152", 2 * MIB, "3145728", 3 * MIB),
    "force_filesystem": ("true", True, "off", False),
    "background": ('"thread"', "thread", "external", "external"),
    "durability": ('"interval"', "interval", "full", "full"),
    "live": ("false", False, "YES", True),
    "complete_timeout_s": ("5", 5.0, "0.5", 0.5),
    "delivery_max_age_s": ("3600", 3600.0, "0.5", 0.5),
    "idle_exit_s": ("0", 0.0, "1.5", 1.5),
    "retention_days": ("30", 30.0, "7", 7.0),
    "retention_requests": ("1000", 1000, "50", 50),
    "retention_undelivered": ("true", True, "no", False),
    "max_db_bytes": ('"1.5 GiB"', 1536 * MIB, "10MB", 10_000_000),
    "python": ('"/file/python"', "/file/python", "/env/python", "/env/python"),
    "search": ("false", False, "on", True),
    "tracer_modules": ('["shop.tracing"]', ("shop.tracing",), "a, b.c", ("a", "b.c")),
}


def test_every_setting_is_in_the_table_below() -> None:
    """A new setting gets its line here."""
    others = {"db_path", "spool_dir", "destinations", "known_destinations", "redaction", "config_file"}
    assert {field.name for field in dataclasses.fields(Settings)} == set(SETTINGS) | others


@pytest.mark.parametrize("key", SETTINGS)
def test_code_over_environment_over_file(key: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting is read from the file, then the environment wins, then code does."""
    in_file, file_value, in_env, env_value = SETTINGS[key]
    write(home, f"{key} = {in_file}\n")
    assert getattr(Settings.load(), key) == file_value
    monkeypatch.setenv(f"HUSH_{key.upper()}", in_env)
    assert getattr(Settings.load(), key) == env_value
    assert getattr(Settings.load(**{key: file_value}), key) == file_value


def test_paths_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths come from the same places; ~ is expanded and the rest made absolute."""
    write(home, 'traces_db = "~/from/file"\nspool_dir = "~/from/spool"\n')
    assert Settings.load().db_path == home / "from/file"
    assert Settings.load().spool_dir.parent == home / "from/spool"
    monkeypatch.chdir(home)
    monkeypatch.setenv("HUSH_TRACES_DB", "from/../env")
    monkeypatch.setenv("HUSH_SPOOL_DIR", "from/../spool")
    assert Settings.load().db_path == home / "env"
    assert Settings.load().spool_dir.parent == home / "spool"
    assert Settings.load("~/code").db_path == home / "code"
    assert Settings.load(home / "code").db_path == home / "code"


def test_a_symlink_in_a_path_is_kept(home: Path) -> None:
    """Paths are made absolute without being resolved: the user's name for the database stays."""
    (home / "real").mkdir()
    (home / "link").symlink_to(home / "real")
    assert Settings.load(home / "link/t.db").db_path == home / "link/t.db"


def test_the_spool_lies_beside_the_database(home: Path) -> None:
    """Unless it is set, it is `<db>.spool`."""
    assert Settings.load(home / "a.db").spool_dir == home / "a.db.spool"


def test_each_database_has_a_spool_of_its_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In HUSH_SPOOL_DIR, too; the same one by whatever links lead to the database, and for its child."""
    monkeypatch.setenv("HUSH_SPOOL_DIR", str(home / "spools"))
    (home / "real").mkdir()
    (home / "link").symlink_to(home / "real")
    (home / "real/by-name.db").symlink_to(home / "real/t.db")
    names = ("real/t.db", "real/u.db", "other/t.db")
    spools = {Settings.load(home / name).spool_dir for name in names}
    assert len(spools) == len(names)
    assert {spool.parent for spool in spools} == {home / "spools"}
    first = Settings.load(home / "real/t.db")
    assert Settings.load(home / "link/t.db").spool_dir == first.spool_dir
    assert Settings.load(home / "real/by-name.db").spool_dir == first.spool_dir
    monkeypatch.setenv("HUSH_SPOOL_DIR", child_environment(first)["HUSH_SPOOL_DIR"])
    assert Settings.load(first.db_path).spool_dir == first.spool_dir
    monkeypatch.setenv("HUSH_SPOOL_DIR", "")
    assert child_environment(Settings.load(home / "a.db"))["HUSH_SPOOL_DIR"] == ""


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("spool_max_bytes", "'much'"),
        ("spool_max_bytes", "1048575"),
        ("spool_max_bytes", "inf"),
        ("spool_max_bytes", "1.5"),
        ("spool_max_bytes", "true"),
        ("force_filesystem", "2"),
        ("background", '"fork"'),
        ("background", "[]"),
        ("durability", '"none"'),
        ("live", '"maybe"'),
        ("complete_timeout_s", "0"),
        ("complete_timeout_s", "nan"),
        ("complete_timeout_s", "inf"),
        ("delivery_max_age_s", "0"),
        ("idle_exit_s", "-1"),
        ("retention_days", '"soon"'),
        ("retention_days", "-1"),
        ("retention_days", "0"),
        ("retention_requests", "0"),
        ("retention_undelivered", "3"),
        ("max_db_bytes", "1"),
        ("max_db_bytes", "0x8000000000000000"),
        ("python", "3"),
        ("python", '"a\\u0000b"'),
        ("traces_db", '"/tmp/a\\u0000b"'),
        ("traces_db", '"~a\\u0000b/t.db"'),
        ("traces_db", '"//"'),
        ("spool_dir", '"a\\u0000b"'),
        ("traces_db", "3"),
        ("spool_dir", "false"),
        ("destinations", "3"),
        ("destinations", "[1]"),
        ("destination", "3"),
        ("destination", "{x = 3}"),
    ],
)
def test_a_bad_value_in_the_file_is_named(key: str, bad: str, home: Path) -> None:
    """Whatever cannot work is a ConfigError with the key in it."""
    write(home, f"{key} = {bad}\n")
    with pytest.raises(ConfigError, match=rf"(?i){key}"):
        Settings.load()


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("HUSH_SPOOL_MAX_BYTES", "many"),
        ("HUSH_SPOOL_MAX_BYTES", "1e9"),
        ("HUSH_SPOOL_MAX_BYTES", str(2**63)),
        ("HUSH_FORCE_FILESYSTEM", "perhaps"),
        ("HUSH_BACKGROUND", "fork"),
        ("HUSH_DURABILITY", "FULL"),
        ("HUSH_LIVE", "2"),
        ("HUSH_COMPLETE_TIMEOUT_S", "nan"),
        ("HUSH_IDLE_EXIT_S", "-0.1"),
        ("HUSH_RETENTION_DAYS", "a week"),
        ("HUSH_RETENTION_DAYS", "0"),
        ("HUSH_RETENTION_REQUESTS", "0"),
        ("HUSH_MAX_DB_BYTES", "inf"),
        ("HUSH_MAX_DB_BYTES", "9" * 400 + "GB"),
        ("HUSH_SPOOL_MAX_BYTES", "1023KiB"),
        ("HUSH_SPOOL_MAX_BYTES", "2 gibs"),
        ("HUSH_DESTINATIONS", "nowhere"),
        ("HUSH_CONFIG", "/no/such/file.toml"),
    ],
)
def test_a_bad_value_in_the_environment_is_named(key: str, bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable's own name stands in the message, and what was wrong."""
    monkeypatch.setenv(key, bad)
    with pytest.raises(ConfigError, match=rf"{key}.*{bad}"):
        Settings.load()


def test_an_empty_variable_is_an_unset_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HUSH_LIVE= in a compose file changes nothing."""
    write(home, "live = false\n")
    for key in (*SETTINGS, "traces_db", "spool_dir", "destinations", "config"):
        monkeypatch.setenv(f"HUSH_{key.upper()}", "")
    assert Settings.load().live is False


def test_an_unknown_key_is_named_with_the_known_ones(home: Path) -> None:
    """A typing error in the file is told, with what could have been meant."""
    write(home, "retention_day = 3\n")
    with pytest.raises(ConfigError, match=r"unknown key 'retention_day' in .*hush\.toml.*retention_days"):
        Settings.load()


@pytest.mark.parametrize(
    "text",
    [
        "= 3",
        "live = \n",
        'python = "\\ud800"',
        "destinations = " + 2000 * "[" + 2000 * "]",
        "spool_max_bytes = " + 5000 * "9",
        "background = 0x" + 4000 * "f",
        '[destination.a]\ntype = "otel:console"\nx = [{y = 9223372036854775808}]',
    ],
    ids=["key", "value", "surrogate", "depth", "digits", "hexadecimal", "inner"],
)
def test_a_file_that_is_no_toml_is_named(text: str, home: Path) -> None:
    """A syntax error gives the path and the place; so does what Python's own reader cannot cope with."""
    write(home, text)
    with pytest.raises(ConfigError, match=r"hush\.toml"):
        Settings.load()


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def test_a_file_that_is_no_text_is_named(home: Path) -> None:
    """So do bytes that are no UTF-8."""
    write(home, "")
    (home / ".hush/hush.toml").write_bytes(b'python = "\xff"')
    with pytest.raises(ConfigError, match=r"hush\.toml"):
        Settings.load()


@pytest.mark.parametrize(("make", "why"), [(os.mkfifo, "a pipe"), (_endless, "longer than")])
def test_a_file_without_end_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], why: str
) -> None:
    """Reading it would hang the application, or fill its memory."""
    file = home / "odd.toml"
    make(file)
    monkeypatch.setenv("HUSH_CONFIG", str(file))
    with pytest.raises(ConfigError, match=rf"odd\.toml: it is {why}"):
        Settings.load()


def test_a_device_that_is_empty_is_an_empty_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the file in the home directory can be left out."""
    write(home, "live = false")
    monkeypatch.setenv("HUSH_CONFIG", os.devnull)
    assert Settings.load().live


@pytest.mark.parametrize(
    ("wrong", "said"), [(5, "of type int"), (b"/tmp/t.db", "of type bytes"), ("t\ud800.db", "surrogate")]
)
def test_a_path_in_code_that_is_none_is_named(wrong: Any, said: str) -> None:
    """What is no text, or cannot be a file's name."""
    with pytest.raises(ConfigError, match=f"^HUSH_TRACES_DB is .*{said}"):
        Settings.load(wrong)


@pytest.mark.parametrize("wrong", [None, 5])
def test_destinations_that_are_no_list_are_named(wrong: Any) -> None:
    """The argument, not what Python says of iterating."""
    with pytest.raises(ConfigError, match=f"^destinations is of type {type(wrong).__name__}"):
        Settings.load().choose(wrong)


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize("name", [None, "mine"])
@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("path", "/tmp/\udcff.jsonl", "half a surrogate pair"),
        ("x", CYCLE, "contains itself"),
        ("headers", {1: "a"}, "a key that is no text"),
    ],
)
def test_an_option_that_nothing_can_hold_is_named(key: str, value: Any, said: str, name: str | None) -> None:
    """Said where the destination is made, whether or not it has a name of its own."""
    with pytest.raises(ConfigError, match=f"^destination '{name or 'otel:console'}': {key}: .*{said}"):
        Destination("otel:console", name=name, **{key: value})


@pytest.mark.parametrize(
    ("kind", "name", "key"), [(5, None, "type"), (None, None, "type"), ("otlp", 5, "name")]
)
def test_a_destination_whose_type_or_name_is_no_text_is_refused(kind: Any, name: Any, key: str) -> None:
    """With the argument's name."""
    with pytest.raises(ConfigError, match=f"^a destination's {key} is of type"):
        Destination(kind, name=name)


def test_a_path_in_code_that_no_file_can_have_is_named() -> None:
    """A NUL ends a path for the kernel: another file would be meant."""
    with pytest.raises(ConfigError, match="holds a NUL"):
        Settings.load("/tmp/a\0b")


@pytest.mark.parametrize("link", [".hush", ".hush/hush.toml"])
def test_a_file_behind_a_link_that_leads_nowhere_is_not_taken_for_none(link: str, home: Path) -> None:
    """Without what it says nothing would be redacted."""
    path = home / link
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(home / "gone")
    with pytest.raises(ConfigError, match=f"{path} is a link to .*gone, which is not there"):
        Settings.load(home / "t.db")


def test_hush_config_names_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file replaces the default one, and has to exist."""
    write(home, "live = true\n")
    (home / "other.toml").write_text("live = false\n")
    monkeypatch.setenv("HUSH_CONFIG", "~/other.toml")
    assert Settings.load().live is False
    assert config_path() == home / "other.toml"


@pytest.mark.usefixtures("home")
class TestWithoutHome:
    """No HOME, and no entry in the user database either: a container with an arbitrary uid."""

    @pytest.fixture(autouse=True)
    def nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """This user does not exist."""

        def unknown(uid: int) -> Any:
            raise KeyError(f"getpwuid(): uid not found: {uid}")

        monkeypatch.delenv("HOME")
        monkeypatch.setattr(pwd, "getpwuid", unknown)

    def test_f28_the_default_path_is_an_error_that_names_the_setting(self) -> None:
        """F28: without a home the default database has no place; HUSH_TRACES_DB is the way out."""
        with pytest.raises(ConfigError, match=r"HUSH_TRACES_DB.*set HUSH_TRACES_DB to an absolute path"):
            Settings.load()

    def test_an_absolute_path_is_enough(self, tmp_path: Path) -> None:
        """Who says where the database is needs no home, and no configuration file."""
        assert Settings.load(tmp_path / "t.db").db_path == tmp_path / "t.db"

    def test_a_config_path_that_needs_home_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that was asked for cannot be skipped."""
        monkeypatch.setenv("HUSH_CONFIG", "~/x.toml")
        with pytest.raises(ConfigError, match="HUSH_CONFIG"):
            Settings.load("/t.db")


def test_f28_a_file_that_cannot_be_opened_for_want_of_descriptors_is_an_error_that_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F28: what is there may say what to hide, so nothing is recorded without it; what is not there needs none."""

    def none_left(*_: object, **__: object) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", none_left)
        assert Settings.load().live
    write(home, "live = false\n")
    monkeypatch.setattr(Path, "open", none_left)
    with pytest.raises(ConfigError, match=r"hush\.toml.*Too many open files.*ulimit -n"):
        Settings.load()


def test_f28_a_deleted_working_directory_is_an_error_only_for_relative_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F28: an absolute path works from anywhere; a relative one is a ConfigError naming the key."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    try:
        assert Settings.load(tmp_path / "t.db").db_path == tmp_path / "t.db"
        with pytest.raises(ConfigError, match="HUSH_TRACES_DB"):
            Settings.load("t.db")
    finally:
        os.chdir(tmp_path)


# ------------------------------------------------------------------ destinations

FILE = """
destinations = ["lab"]
[destination.lab]
type = "otlp"
endpoint = "http://lab:4318"
headers = {x-key = "${LAB_KEY}"}
[destination.prod]
type = "langfuse"
host = "https://langfuse.example"
public_key = "pk"
secret_key = "${PROD_SECRET}"
"""
PROD = Destination(
    "langfuse",
    name="prod",
    host="https://langfuse.example",
    public_key="pk",
    secret_key="${PROD_SECRET}",  # noqa: S106 - a reference
)
LAB = Destination("otlp", name="lab", endpoint="http://lab:4318", headers={"x-key": "${LAB_KEY}"})


def test_destinations_have_names_in_the_file(home: Path) -> None:
    """A table is a destination, under its own name, whatever its type's options are."""
    write(home, FILE)
    settings = Settings.load()
    assert settings.known_destinations == {"lab": LAB, "prod": PROD}
    assert settings.destinations == (LAB,)


def test_a_processor_sends_to_what_it_names(home: Path) -> None:
    """Names from the file, objects and bare types, each once, in order."""
    write(home, FILE)
    mine = Destination("otlp", endpoint="http://mine:4318")
    chosen = Settings.load().choose(["prod", mine, "console", "prod"])
    assert [d.name for d in chosen] == ["prod", mine.name, "console"]


def test_nothing_named_means_the_default(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """() is the file's default, or the environment's."""
    write(home, FILE)
    assert Settings.load().choose(()) == (LAB,)
    monkeypatch.setenv("HUSH_DESTINATIONS", " prod , console,")
    assert [d.name for d in Settings.load().choose(())] == ["prod", "console"]


def test_local_means_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """("local",) sends nothing anywhere, whatever the default is; beside others it adds nothing."""
    write(home, FILE)
    assert Settings.load().choose(("local",)) == ()
    assert Settings.load().choose(("local", "lab")) == (LAB,)
    monkeypatch.setenv("HUSH_DESTINATIONS", "local")
    assert Settings.load().choose(()) == ()


def test_one_destination_may_stand_alone(home: Path) -> None:
    """A single name or object counts as a list of one: no name is taken apart into letters."""
    write(home, FILE)
    assert Settings.load().choose("lab") == (LAB,)  # type: ignore[arg-type]
    assert Settings.load().choose(LAB) == (LAB,)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["nowhere", 5, None, ["lab"]])
def test_an_unknown_destination_is_named_with_the_known_ones(wrong: Any, home: Path) -> None:
    """What is neither in the file nor a bare type is a ConfigError, of whatever type it is."""
    write(home, FILE)
    with pytest.raises(
        ConfigError, match=r"destinations names .*known: lab, prod; types by themselves: .*console, .*otlp"
    ):
        Settings.load().choose([wrong])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('endpoint = "x"', "has no type"),
        ("type = 5", "has no type"),
        ('type = "otlp"\nheaders = "x"', "headers"),
        ('type = "otlp"\nheaders = 5', "headers"),
    ],
)
def test_a_destination_that_cannot_work_is_named(table: str, said: str, home: Path) -> None:
    """A table without a usable type, or with headers that are none, is a ConfigError with its name."""
    write(home, f"[destination.broken]\n{table}\n")
    with pytest.raises(ConfigError, match=rf"destination\.broken.*{said}"):
        Settings.load()


CANNOT_WORK: list[tuple[str, dict[str, Any], str]] = [
    ("otlp", {"endpont": "http://x"}, "endpont: is no option of an OTLP destination .*endpoint"),
    ("jaeger", {"endpont": "http://x"}, "endpont: is no option"),
    ("otlp", {"endpoint": "localhost:4318"}, "endpoint: 'localhost:4318' is no http or https URL"),
    ("otlp", {"endpoint": "ftp://x"}, "endpoint: 'ftp://x' is no http"),
    ("otlp", {"endpoint": "http://"}, "endpoint: 'http://' is no http"),
    ("otlp", {"endpoint": "http://x:port"}, "endpoint: 'http://x:port' is no http"),
    ("otlp", {"endpoint": "http://h:99999"}, "endpoint: port 99999 is none: 1 to 65535"),
    ("otlp", {"endpoint": "http://h:0/x"}, "endpoint: port 0 is none"),
    ("otlp", {"endpoint": "http://a..b"}, "endpoint: 'a..b' is no host name"),
    ("otlp", {"endpoint": "http://user:canary@.b/"}, "endpoint: '.b' is no host name"),
    ("otlp", {"endpoint": f"https://{'x' * 64}.example"}, "endpoint: 'x+.example' is no host name"),
    ("otlp", {"endpoint": f"https://{'x.' * 128}"}, "endpoint: 'x.+' is no host name"),
    ("otlp", {"endpoint": "https://example.org.:443/"}, None),
    ("otlp", {"endpoint": "http://[::1]:65535"}, None),
    ("otlp", {"endpoint": "h:99999", "protocol": "grpc"}, "endpoint: port 99999 is none"),
    ("otlp", {"endpoint": "http://a..b", "protocol": "grpc"}, "endpoint: 'a..b' is no host name"),
    ("otlp", {"headers": {"x-key": "\u65e5 canary"}}, "headers: the value of x-key is no text"),
    ("otlp", {"headers": {"x-key": "\xe9 canary"}}, None),
    (
        "otlp",
        {"headers": {"x-key": "\xe9 canary"}, "protocol": "grpc"},
        "headers: grpc cannot carry .* x-key",
    ),
    ("otlp", {"endpoint": ""}, "endpoint: '' is no http"),
    ("otlp", {"endpoint": 4318}, "endpoint: is no text but of type int"),
    ("otlp", {"endpoint": "user:canary@x:1"}, r"endpoint: '\*\*\*@x:1' is no http"),
    ("otlp", {"endpoint": "x/?token=canary"}, "endpoint: 'x/' is no http"),
    ("otlp", {"headers": "canary"}, "headers: is no table"),
    ("otlp", {"headers": ["canary"]}, "headers: is no table"),
    ("otlp", {"headers": {"x-key": 5}}, "headers: the value of x-key is no text"),
    ("otlp", {"headers": {"x-key": "canary\n"}}, None),
    ("otlp", {"headers": {"x-key": "can\nary"}}, "headers: the value of x-key is no text"),
    ("otlp", {"headers": {"x key": "canary"}}, "headers: 'x key' is no header name"),
    ("otlp", {"headers": {"Host": "canary"}}, "headers: Host cannot be set"),
    ("otlp", {"timeout_s": "soon"}, "timeout_s: 'soon' is no timeout"),
    ("otlp", {"timeout_s": 10**400}, "timeout_s: is an integer beyond 64 bit"),
    ("otlp", {"max_in_flight": 10**5000}, "max_in_flight: is an integer beyond 64 bit"),
    ("otel:console", {"timeout_s": -(10**400)}, "timeout_s: is an integer beyond 64 bit"),
    ("otlp", {"compression": ["gzip"]}, "compression: .* is not supported"),
    ("otlp", {"endpoint": "http://h:4317/v1/traces", "protocol": "grpc"}, "endpoint: .* is no gRPC endpoint"),
    ("otlp", {"insecure": True, "endpoint": "http://h"}, "insecure: is for protocol grpc"),
    ("otlp", {"max_request_bytes": 1.5}, "max_request_bytes: 1.5 is no limit"),
    ("otlp", {"max_in_flight": 0}, "max_in_flight: 0 is not possible"),
    ("otlp", {"max_in_flight": 33}, "max_in_flight: 33 is not possible"),
    ("otlp", {"max_in_flight": True}, "max_in_flight: True is not possible"),
    ("otlp", {"protocol": ["grpc"]}, "protocol: .* is not supported"),
    ("otlp", {"verify": "no"}, "verify: is neither"),
    ("otlp", {"certificate": 5}, "certificate: is no path"),
    ("console", {"stream": "printer"}, "stream: 'printer' is not supported"),
    ("console", {"path": "/x"}, "path: is no option of a console"),
    ("file", {}, "path: a file destination needs"),
    ("file", {"path": 5}, "path: is no text but of type int"),
    ("file", {"path": "x.jsonl"}, "path: 'x.jsonl' is relative"),
    ("file", {"file": "/x"}, "file: is no option of a file"),
    ("local", {"path": "/x"}, "path: is no option of a local destination"),
    ("OTELTracer", {"endpont": "http://x"}, "endpont: is no option"),
]


@pytest.mark.parametrize(
    ("kind", "config", "said"),
    CANNOT_WORK,
    ids=lambda value: str(value)[:60] if isinstance(value, str) else "",
)
def test_an_option_that_cannot_work_is_named_in_code(
    kind: str, config: dict[str, Any], said: str | None, home: Path
) -> None:
    """What could never be delivered is a ConfigError with the key in it, and without a secret."""
    if said is None:
        asked = [Destination(kind, name="lab", **config)]
        assert Settings.load().choose(asked) == tuple(asked)
        return
    with pytest.raises(ConfigError, match=rf"destination 'lab': {said}") as raised:
        Settings.load().choose([Destination(kind, name="lab", **config)])
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('type = "otlp"\nendpont = "http://x"', "endpont: is no option"),
        ('type = "otlp"\nendpoint = "x:4318"', "endpoint: 'x:4318' is no http"),
        ('type = "otlp"\nheaders = {a = 1}', "headers: the value of a"),
        ('type = "file"\npath = ["/x"]', "path: is no text but of type list"),
        ('type = "otlp"\nself = 1', "self: is no option|cannot work"),
    ],
)
def test_an_option_that_cannot_work_is_named_in_the_file(table: str, said: str, home: Path) -> None:
    """The message has the table, the file and the key; the destination need not be in use."""
    write(home, f"[destination.lab]\n{table}\n")
    with pytest.raises(ConfigError, match=rf"\[destination\.lab\] in {home}/\.hush/hush\.toml.*({said})"):
        Settings.load()


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (
            "otlp",
            {"endpoint": "HTTPS://user:p%40ss@[::1]:4318/v1/traces?x=1", "timeout_s": "2.5", "verify": False},
        ),
        ("otlp", {"endpoint": "${COLLECTOR}", "headers": {"a": "${KEY}", "b": "Basic ${file:/x}"}}),
        ("jaeger", {"endpoint": "http://${HOST}:4318", "compression": "none", "protocol": "http/protobuf"}),
        ("file", {"path": "${OUT}/x.jsonl"}),
        ("file", {"path": "~/x.jsonl"}),
        ("console", {"stream": "stdout"}),
        ("no-such-type", {"endpont": 5, "headers": 5}),
    ],
)
def test_what_may_work_passes(kind: str, config: dict[str, Any], home: Path) -> None:
    """References wait until they are resolved, and a type that is not built in until it is known."""
    asked = Destination(kind, **config)
    assert Settings.load().choose([asked]) == (asked,)


def test_s04_a_secret_in_the_wrong_table_is_not_printed(home: Path) -> None:
    """[destinations.lf] is told from [destination.lf], and none of its values is shown."""
    write(home, '[destinations.lf]\ntype = "otlp"\nheaders = {Authorization = "canary"}\n')
    said = rf"destinations in {home}/\.hush/hush\.toml is a table.*\[destination\.lf\]"
    with pytest.raises(ConfigError, match=said) as raised:
        Settings.load()
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("key", [*SETTINGS, "traces_db", "spool_dir", "destinations", "destination"])
@pytest.mark.parametrize("value", ['{key = "canary"}', '["canary", {key = "canary"}]'])
def test_no_message_shows_what_is_in_a_table(key: str, value: str, home: Path) -> None:
    """A table or list in the place of a value is named by its kind."""
    write(home, f"{key} = {value}\n")
    with pytest.raises(ConfigError, match=key) as raised:
        Settings.load()
    assert "canary" not in str(raised.value)


def test_a_wrong_name_is_told_with_its_place(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's path, or the variable: where the name stands, and which file was looked into."""
    file = home / ".hush/hush.toml"
    write(home, 'destinations = ["lag"]\n' + FILE.partition("\n[")[2].join(["[", ""]))
    with pytest.raises(
        ConfigError, match=rf"^destinations in {file} names the destination 'lag', which {file}"
    ):
        Settings.load()
    monkeypatch.setenv("HUSH_DESTINATIONS", "lap")
    with pytest.raises(ConfigError, match=rf"^HUSH_DESTINATIONS names the destination 'lap', which {file}"):
        Settings.load()


def test_a_wrong_value_is_told_with_the_file(home: Path) -> None:
    """Which file: there may be another one than the reader thinks of; and bounds are plain numbers."""
    write(home, "spool_max_bytes = 5\n")
    said = rf"^spool_max_bytes in {home}/\.hush/hush\.toml is 5 \(a size of at least 1048576 bytes, for example 500MB or 2GiB\)$"
    with pytest.raises(ConfigError, match=said):
        Settings.load()


def test_a_name_inside_a_table_does_not_rename_it(home: Path) -> None:
    """The table's name is the destination's."""
    write(home, '[destination.a]\ntype = "otlp"\nname = "b"\n')
    assert Settings.load().known_destinations["a"].name == "a"


# ------------------------------------------------------------------ the background process


def test_the_child_sees_what_the_app_resolved(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has another working directory: paths are passed on absolute, and its own SDK is off."""
    monkeypatch.chdir(home)
    (home / "c.toml").write_text("")
    monkeypatch.setenv("HUSH_CONFIG", "c.toml")
    monkeypatch.setenv("HUSH_SPOOL_DIR", "spool")
    environment = child_environment(Settings.load("t.db"))
    assert environment["HUSH_SPOOL_DIR"] == str(home / "spool")
    assert environment["HUSH_CONFIG"] == str(home / "c.toml")
    assert environment["OTEL_SDK_DISABLED"] == "true"


@pytest.mark.parametrize("afterwards", ["hush.toml", ""], ids=["still set", "unset"])
def test_the_child_sees_the_file_that_the_app_has_read(
    afterwards: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon leaves its directory after it has read a relative path; the background process starts later."""
    (home / "hush.toml").write_text("live = false\n")
    monkeypatch.chdir(home)
    monkeypatch.setenv("HUSH_CONFIG", "hush.toml")
    settings = Settings.load()
    monkeypatch.chdir("/")
    monkeypatch.setenv("HUSH_CONFIG", afterwards)
    assert child_environment(settings)["HUSH_CONFIG"] == str(home / "hush.toml")


def test_the_interpreter_is_this_python_or_the_one_that_was_set(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HUSH_PYTHON wins; where sys.executable is no Python (uWSGI, a frozen app) there is none."""
    assert interpreter(Settings.load(home / "t.db")) == config.sys.executable
    assert interpreter(Settings.load(home / "t.db", python="/p")) == "/p"
    monkeypatch.setattr(config.sys, "executable", "/usr/bin/uwsgi")
    assert interpreter(Settings.load(home / "t.db")) is None
    monkeypatch.setattr(config.sys, "executable", "")
    assert interpreter(Settings.load(home / "t.db")) is None


def test_settings_are_frozen() -> None:
    """One object, decided once."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings.load("/t.db").live = False  # type: ignore[misc]

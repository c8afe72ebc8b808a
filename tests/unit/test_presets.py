"""Presets of vendors: what is missing or wrong is said at once, variables fill in, and the documentation is true."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from inprocess import App, dicts, no_background, rows

from hush_otel import Destination
from hush_otel.config import Settings
from hush_otel.errors import ConfigError
from hush_otel.mapping.dialects.catalogue import dialect_named
from hush_otel.presets import DIALECTS, PRESETS, completed, filled, joined

DOCS = (Path(__file__).parents[2] / "docs/destinations.md").read_text(encoding="utf-8")
VARIABLES = {
    name for preset in PRESETS.values() for option in preset.options.values() for name in option.variables
}
VARIABLES |= {name for preset in PRESETS.values() for name in preset.endpoint_variables}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No configuration file, and none of any vendor's variables."""
    no_background(monkeypatch, tmp_path)
    for key in VARIABLES.intersection(os.environ):
        monkeypatch.delenv(key)
    return tmp_path


def chosen(kind: str, **options: Any) -> Destination:
    """A destination as a processor takes it."""
    (found,) = Settings.load().choose([Destination(kind, **options)])
    return found


def needed(kind: str) -> dict[str, str]:
    """The options without which nothing can be sent."""
    return {name: "x" for name, option in PRESETS[kind].options.items() if option.required}


# ------------------------------------------------------------------ the data


@pytest.mark.parametrize("kind", PRESETS)
def test_a_preset_is_complete(kind: str) -> None:
    """Every option that a template names exists, and the dialect does."""
    preset = PRESETS[kind]
    options = dict.fromkeys(preset.options, "x")
    templates = [preset.endpoint, preset.grpc_endpoint, *preset.headers.values(), *preset.resource.values()]
    assert None not in [filled(template, options) for template in templates]
    assert set(preset.basic or ()) <= set(preset.options)
    assert preset.dialect in DIALECTS
    assert preset.evidence in {"tested", "documented", "unconfirmed"}
    assert preset.source
    assert preset.endpoint.startswith(("https://", "http://localhost:"))


@pytest.mark.parametrize("kind", PRESETS)
def test_the_documentation_has_a_row_for_each(kind: str) -> None:
    """docs/destinations.md: type, vendor, endpoint, options with variables, dialect, evidence."""
    preset = PRESETS[kind]
    row = next(line for line in DOCS.splitlines() if line.startswith(f"| `{kind}` "))
    assert preset.vendor in row
    assert f"`{preset.endpoint}{preset.path}`" in row
    assert f"| `{preset.dialect}` |" in row
    assert row.endswith(f"| {preset.evidence} |")
    for name, option in preset.options.items():
        assert f"`{name}`" + ("\\*" if option.required else "") in row, name
    assert ("grpc" in row) == ("grpc" in preset.protocols)


@pytest.mark.parametrize("kind", PRESETS)
def test_the_documentation_names_each_variable(kind: str) -> None:
    """What a variable stands for can be found by its name."""
    preset = PRESETS[kind]
    for option in preset.options.values():
        assert all(f"`{name}`" in DOCS for name in option.variables)
    assert all(f"`{name}`" in DOCS for name in preset.endpoint_variables)


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_exists_and_is_documented(name: str) -> None:
    """The names of the option `dialect`."""
    assert (dialect_named(name) is None) == (name == "none")
    assert f"`{name}`" in DOCS


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://host", "https://host/api/public/otel/v1/traces"),
        ("https://host/", "https://host/api/public/otel/v1/traces"),
        ("https://host/api/public/otel", "https://host/api/public/otel/v1/traces"),
        ("https://host/api/public/otel/v1/traces", "https://host/api/public/otel/v1/traces"),
        ("https://host/langfuse", "https://host/langfuse/api/public/otel/v1/traces"),
        ("https://host/x?a=1", "https://host/x/api/public/otel/v1/traces?a=1"),
    ],
)
def test_a_base_url_gets_what_it_lacks_of_the_path(endpoint: str, expected: str) -> None:
    """However much of the address somebody copied."""
    assert joined(endpoint, "/api/public/otel/v1/traces") == expected


def test_a_template_is_filled_once() -> None:
    """A secret with braces in it, and a reference, are no templates."""
    assert (
        filled("Bearer {api_key}", {"api_key": "a{region}b${X}", "region": "eu"}) == "Bearer a{region}b${X}"
    )
    assert filled("Bearer {api_key}", {}) is None


# ------------------------------------------------------------------ at construction


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind in PRESETS for key in needed(kind)], ids=str)
def test_a_missing_option_is_named(kind: str, key: str) -> None:
    """With the variables that may say it instead."""
    given = {name: value for name, value in needed(kind).items() if name != key}
    with pytest.raises(ConfigError, match=f"{key}: a {kind} destination needs") as caught:
        chosen(kind, **given)
    assert all(name in str(caught.value) for name in PRESETS[kind].options[key].variables)


@pytest.mark.parametrize("kind", PRESETS)
def test_what_is_required_is_enough(kind: str) -> None:
    """Nothing else has to be said."""
    assert chosen(kind, **needed(kind)).config == needed(kind)


@pytest.mark.parametrize("kind", PRESETS)
def test_an_unknown_option_is_named(kind: str) -> None:
    """A misspelt key never waits for the first delivery."""
    with pytest.raises(ConfigError, match=f"secrt: is no option of a {kind} destination"):
        chosen(kind, **needed(kind), secrt="x")


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("langfuse", {"public_key": 5.5}, "public_key: is no text"),
        ("langfuse", {"public_key": ""}, "public_key: is no text"),
        ("langfuse", {"secret_key": {"a": 1}}, "secret_key: is no text"),
        ("langfuse", {"host": "cloud.langfuse.com"}, "host: 'cloud.langfuse.com' is no http or https URL"),
        ("langfuse", {"protocol": "grpc"}, "protocol: Langfuse takes OTLP over HTTP only"),
        ("langfuse", {"dialect": "klingon"}, "dialect: 'klingon' is not known"),
        ("phoenix", {"media": "no"}, "media: is neither true nor false"),
        ("logfire", {"region": "eu/../x"}, "region: 'eu/../x' is no part of a host name"),
        ("logfire", {"region": "mars"}, "region: 'mars' is not known .*us or eu"),
        ("logfire", {"token": "can\nary"}, "token: holds what no header can carry"),
        ("phoenix", {"api_key": "\ncanary"}, "api_key: holds what no header can carry"),
        ("langsmith", {"api_key": "canary \u65e5"}, "api_key: holds what no header can carry"),
        ("braintrust", {"parent": "project_name:\u65e5"}, "parent: holds what no header can carry"),
        (
            "honeycomb",
            {"api_key": "canary \xe9", "protocol": "grpc"},
            "api_key: holds what no header can carry",
        ),
        ("datadog", {"site": "evil.example/"}, "site: .* is no part of a host name"),
        ("mlflow", {"experiment_id": True}, "experiment_id: is no text"),
    ],
)
def test_what_cannot_work_is_named(kind: str, options: dict[str, Any], said: str) -> None:
    """By its key, when the processor is made, and without a secret."""
    with pytest.raises(ConfigError, match=said) as raised:
        chosen(kind, **{**needed(kind), **options})
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("honeycomb", {"api_key": "\xe9 is latin-1\n"}),
        ("langfuse", {"secret_key": "\u65e5 is encoded"}),
        ("logfire", {"region": "eu"}),
        ("logfire", {"region": "${REGION}"}),
    ],
)
def test_what_can_be_carried_is_taken(kind: str, options: dict[str, Any]) -> None:
    """Of a header's value the ends are stripped; user and password go encoded; references are not looked into."""
    assert chosen(kind, **{**needed(kind), **options}).config.items() >= options.items()


def test_variables_fill_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets as references, which stay such; the address as it is."""
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk-1")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk-canary")
    monkeypatch.setenv("LANGFUSE_HOST", "https://langfuse.example")
    monkeypatch.setenv("LANGFUSE_TRACING_ENVIRONMENT", "staging")
    given = Destination("langfuse")
    found = chosen("langfuse")
    assert found.config == {
        "public_key": "${LANGFUSE_PUBLIC_KEY}",
        "secret_key": "${LANGFUSE_SECRET_KEY}",
        "endpoint": "https://langfuse.example",
        "environment": "staging",
    }
    assert found.name == given.name


def test_what_is_given_wins_over_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code before environment."""
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "other")
    monkeypatch.setenv("LANGFUSE_BASE_URL", "https://other.example")
    given = {"public_key": "pk", "secret_key": "sk", "host": "https://mine.example"}
    assert chosen("langfuse", **given).config == given


def test_a_wrong_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would only show at the first delivery."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks")
    with pytest.raises(ConfigError, match="endpoint: 'databricks' is no http or https URL"):
        chosen("mlflow", experiment_id="1")


def test_a_bare_type_is_enough_where_variables_say_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """HUSH_DESTINATIONS=langfuse."""
    monkeypatch.setenv("HUSH_DESTINATIONS", "langfuse,jaeger")
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk")
    assert [found.name for found in Settings.load().choose(())] == ["langfuse", "jaeger"]


def test_commands_work_where_the_variables_are_not_set(home: Path) -> None:
    """What is missing concerns the application that sends, not everyone who reads its configuration file."""
    (home / ".hush").mkdir()
    (home / ".hush/hush.toml").write_text('destinations = ["lf"]\n[destination.lf]\ntype = "langfuse"\n')
    assert [found.name for found in Settings.load().destinations] == ["lf"]
    with pytest.raises(ConfigError, match="destination 'lf': public_key"):
        Settings.load().choose(())


def test_an_option_that_only_the_default_address_needs() -> None:
    """Grafana's zone, beside an endpoint."""
    options = {"endpoint": "https://otlp.example/otlp", "instance_id": "1", "token": "t"}
    assert chosen("grafana", **options).config == options


# ------------------------------------------------------------------ marks


@pytest.mark.parametrize("kind", ["langfuse", "LangfuseTracer"])
def test_a_mark_takes_the_variables_of_the_application(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that delivers may have others, or none."""
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk-1")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk-canary")
    monkeypatch.setenv("LANGFUSE_BASE_URL", "http://127.0.0.1:9")
    app = App(tmp_path / "t.db")
    app.store.mark_request_complete("r", kind, {"environment": "prod"})
    app.drain()
    (found,) = dicts(tmp_path / "t.db", "SELECT type, config FROM hush_destinations")
    assert found["type"] == "langfuse"
    assert '"secret_key":"${LANGFUSE_SECRET_KEY}"' in found["config"]
    assert '"endpoint":"http://127.0.0.1:9"' in found["config"]
    assert '"environment":"prod"' in found["config"]
    assert "canary" not in str(rows(tmp_path / "t.db", "SELECT literals FROM hush_secrets"))


def test_types_without_preset_are_left_alone() -> None:
    """Their variables are OTel's, read where they are sent."""
    assert completed("otlp", {"endpoint": "http://x"}, {"LANGFUSE_HOST": "https://y"}) == {
        "endpoint": "http://x"
    }

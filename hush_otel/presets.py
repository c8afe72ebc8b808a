"""What each vendor's OTLP endpoint needs, as data: address, headers, protocol, options, and what shows it.

`options` checks configurations against it in the application; `destinations.vendors` fills it in where a
sender is opened. Templates name options in braces, ``Bearer {api_key}``; what names an option that is left
open is left out. Nothing here reads a variable, a file or a secret.

docs/destinations.md is the same as a table; a test compares them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from .errors import PermanentError
from .model import AttributeValue

Evidence: TypeAlias = Literal["tested", "documented", "unconfirmed"]
"""tested: a test sends to the real thing. documented: by the vendor's own documentation or source, and a test
compares what is sent with it. unconfirmed: by what others report; nobody has sent anything there."""

DIALECTS: Final = ("langfuse", "openinference", "mlflow", "langsmith", "logfire", "genai", "none")
"""What the option `dialect` may say; `mapping.dialects` has them."""

HTTP: Final = ("http/protobuf",)
BOTH: Final = ("http/protobuf", "grpc")


class Option(NamedTuple):
    """An option that a preset adds to those of OTLP. All are texts.

    Attributes:
        what: For documentation.
        variables: The vendor's conventional environment variables, first that is set.
        default: What it is when nobody says; None: open.
        required: Without it nothing can be sent.
        secret: Kept as a reference to its variable, not read by the application.
        one_of: What it may be; empty: any text.
    """

    what: str
    variables: tuple[str, ...] = ()
    default: str | None = None
    required: bool = False
    secret: bool = False
    one_of: tuple[str, ...] = ()


class Preset(NamedTuple):
    """A vendor's endpoint.

    Attributes:
        vendor: As people call it.
        endpoint: A template; without path.
        path: Joined to the endpoint, also to one that somebody gives. Empty: as for ``otlp``, /v1/traces
            where there is none.
        endpoint_variables: The vendor's variables for another endpoint.
        headers: Templates.
        basic: The options that make up ``Authorization: Basic``: user and password.
        resource: Resource attributes to add, templates.
        options: By name.
        protocols: The first is the default.
        grpc_endpoint: A template, where gRPC has another address.
        dialect: The default.
        evidence: What shows that it is right.
        source: Where it stands.
    """

    vendor: str
    endpoint: str
    path: str = "/v1/traces"
    endpoint_variables: tuple[str, ...] = ()
    headers: Mapping[str, str] = {}
    basic: tuple[str, str] | None = None
    resource: Mapping[str, str] = {}
    options: Mapping[str, Option] = {}
    protocols: tuple[str, ...] = HTTP
    grpc_endpoint: str = ""
    dialect: str = "genai"
    evidence: Evidence = "documented"
    source: str = ""


def _key(*variables: str, what: str = "the API key") -> Option:
    return Option(what, variables, required=True, secret=True)


PRESETS: Final[Mapping[str, Preset]] = {
    "langfuse": Preset(
        "Langfuse",
        "https://cloud.langfuse.com",
        "/api/public/otel/v1/traces",
        ("LANGFUSE_BASE_URL", "LANGFUSE_HOST"),
        # Without this header Langfuse waits for a trace to be complete before it shows it.
        headers={"x-langfuse-ingestion-version": "4"},
        basic=("public_key", "secret_key"),
        resource={"langfuse.environment": "{environment}", "langfuse.release": "{release}"},
        options={
            "public_key": _key("LANGFUSE_PUBLIC_KEY", what="the project's public key"),
            "secret_key": _key("LANGFUSE_SECRET_KEY", what="the project's secret key"),
            "environment": Option("environment of all traces", ("LANGFUSE_TRACING_ENVIRONMENT",)),
            "release": Option("release of all traces", ("LANGFUSE_RELEASE",)),
            "host": Option("another word for endpoint"),
        },
        dialect="langfuse",
        source="langfuse.com/integrations/native/opentelemetry",
    ),
    "phoenix": Preset(
        "Arize Phoenix",
        "http://localhost:6006",
        endpoint_variables=("PHOENIX_COLLECTOR_ENDPOINT",),
        headers={"authorization": "Bearer {api_key}"},
        resource={"openinference.project.name": "{project}"},
        options={
            "api_key": Option("where authentication is on", ("PHOENIX_API_KEY",), secret=True),
            "project": Option("the project", ("PHOENIX_PROJECT_NAME", "PHOENIX_PROJECT")),
        },
        protocols=BOTH,
        grpc_endpoint="http://localhost:4317",
        dialect="openinference",
        evidence="tested",
        source="arize.com/docs/phoenix",
    ),
    "mlflow": Preset(
        "MLflow",
        "http://localhost:5000",
        endpoint_variables=("MLFLOW_TRACKING_URI",),
        headers={"x-mlflow-experiment-id": "{experiment_id}", "authorization": "Bearer {token}"},
        options={
            "experiment_id": Option(
                "the experiment, which must exist", ("MLFLOW_EXPERIMENT_ID",), required=True
            ),
            "token": Option("where authentication is on", ("MLFLOW_TRACKING_TOKEN",), secret=True),
        },
        dialect="mlflow",
        evidence="tested",
        source="mlflow.org/docs/latest/genai/tracing/opentelemetry/ingest",
    ),
    "langsmith": Preset(
        "LangSmith",
        "https://api.smith.langchain.com",
        "/otel/v1/traces",
        ("LANGSMITH_ENDPOINT", "LANGCHAIN_ENDPOINT"),
        headers={"x-api-key": "{api_key}", "Langsmith-Project": "{project}"},
        options={
            "api_key": _key("LANGSMITH_API_KEY", "LANGCHAIN_API_KEY"),
            "project": Option("the project", ("LANGSMITH_PROJECT", "LANGCHAIN_PROJECT")),
        },
        dialect="langsmith",
        source="docs.langchain.com/langsmith/trace-with-opentelemetry",
    ),
    "logfire": Preset(
        "Pydantic Logfire",
        "https://logfire-{region}.pydantic.dev",
        endpoint_variables=("LOGFIRE_BASE_URL",),
        headers={"Authorization": "{token}"},
        options={
            "token": _key("LOGFIRE_TOKEN", what="the project's write token"),
            "region": Option("us or eu", default="us", one_of=("us", "eu")),
        },
        dialect="logfire",
        source="logfire.pydantic.dev/docs/how-to-guides/alternative-clients",
    ),
    "honeycomb": Preset(
        "Honeycomb",
        "https://api.honeycomb.io",
        endpoint_variables=("HONEYCOMB_API_ENDPOINT",),
        headers={"x-honeycomb-team": "{api_key}", "x-honeycomb-dataset": "{dataset}"},
        options={
            "api_key": _key("HONEYCOMB_API_KEY", what="the ingest key"),
            "dataset": Option("for classic environments only", ("HONEYCOMB_DATASET",)),
        },
        protocols=BOTH,
        source="docs.honeycomb.io/send-data/opentelemetry",
    ),
    "newrelic": Preset(
        "New Relic",
        "https://otlp.nr-data.net:4318",
        headers={"api-key": "{license_key}"},
        options={"license_key": _key("NEW_RELIC_LICENSE_KEY", what="the ingest licence key")},
        protocols=BOTH,
        grpc_endpoint="https://otlp.nr-data.net:4317",
        evidence="unconfirmed",
        source="docs.newrelic.com/docs/opentelemetry/best-practices/opentelemetry-otlp",
    ),
    "grafana": Preset(
        "Grafana Cloud",
        "https://otlp-gateway-{zone}.grafana.net",
        "/otlp/v1/traces",
        basic=("instance_id", "token"),
        options={
            "zone": Option("for example prod-eu-west-0; not needed beside endpoint", required=True),
            "instance_id": Option("the OTLP instance's number", ("GRAFANA_INSTANCE_ID",), required=True),
            "token": _key("GRAFANA_API_TOKEN", what="an access policy token"),
        },
        evidence="unconfirmed",
        source="grafana.com/docs/grafana-cloud/send-data/otlp",
    ),
    "datadog": Preset(
        "Datadog",
        "https://otlp.{site}",
        headers={"dd-api-key": "{api_key}", "dd-otlp-source": "{source}"},
        options={
            "api_key": _key("DD_API_KEY"),
            "site": Option("the Datadog site", ("DD_SITE",), default="datadoghq.com"),
            "source": Option("llmobs for LLM Observability, else the organisation", default="llmobs"),
        },
        evidence="unconfirmed",
        source="docs.datadoghq.com/opentelemetry/setup/otlp_ingest/traces",
    ),
    "braintrust": Preset(
        "Braintrust",
        "https://api.braintrust.dev",
        "/otel/v1/traces",
        ("BRAINTRUST_API_URL",),
        headers={"Authorization": "Bearer {api_key}", "x-bt-parent": "{parent}"},
        options={
            "api_key": _key("BRAINTRUST_API_KEY"),
            "parent": Option(
                "project_name:…, project_id:… or experiment_id:…", ("BRAINTRUST_PARENT",), required=True
            ),
        },
        source="braintrust.dev/docs/integrations/sdk-integrations/opentelemetry",
    ),
    "weave": Preset(
        "W&B Weave",
        "https://trace.wandb.ai",
        "/otel/v1/traces",
        headers={"wandb-api-key": "{api_key}"},
        resource={"wandb.entity": "{entity}", "wandb.project": "{project}"},
        options={
            "api_key": _key("WANDB_API_KEY"),
            "entity": Option("the team or user", ("WANDB_ENTITY",), required=True),
            "project": Option("the project", ("WANDB_PROJECT",), required=True),
        },
        source="docs.wandb.ai/weave/guides/tracking/otel",
    ),
    "opik": Preset(
        "Comet Opik",
        "https://www.comet.com/opik/api",
        "/v1/private/otel/v1/traces",
        ("OPIK_URL_OVERRIDE",),
        headers={
            "Authorization": "{api_key}",
            "Comet-Workspace": "{workspace}",
            "projectName": "{project}",
        },
        options={
            "api_key": Option("not needed where Opik is self-hosted", ("OPIK_API_KEY",), secret=True),
            "workspace": Option("the workspace", ("OPIK_WORKSPACE",)),
            "project": Option("the project", ("OPIK_PROJECT_NAME",)),
        },
        source="comet.com/docs/opik/integrations/opentelemetry",
    ),
    "dash0": Preset(
        "Dash0",
        "https://ingress.{region}.aws.dash0.com:4318",
        headers={"Authorization": "Bearer {token}", "Dash0-Dataset": "{dataset}"},
        options={
            "token": _key("DASH0_AUTH_TOKEN", "DASH0_AUTHORIZATION_TOKEN", what="an auth token"),
            "region": Option("for example eu-west-1", default="eu-west-1"),
            "dataset": Option("the dataset", ("DASH0_DATASET",)),
        },
        protocols=BOTH,
        grpc_endpoint="https://ingress.{region}.aws.dash0.com:4317",
        evidence="unconfirmed",
        source="dash0.com/documentation",
    ),
    "axiom": Preset(
        "Axiom",
        "https://api.axiom.co",
        headers={"Authorization": "Bearer {token}", "X-Axiom-Dataset": "{dataset}"},
        options={
            "token": _key("AXIOM_TOKEN", "AXIOM_API_TOKEN", what="an API token"),
            "dataset": Option("the dataset", ("AXIOM_DATASET",), required=True),
        },
        evidence="unconfirmed",
        source="axiom.co/docs/send-data/opentelemetry",
    ),
    "signoz": Preset(
        "SigNoz Cloud",
        "https://ingest.{region}.signoz.cloud:443",
        headers={"signoz-ingestion-key": "{ingestion_key}"},
        options={
            "ingestion_key": _key("SIGNOZ_INGESTION_KEY", what="the ingestion key"),
            "region": Option("for example us, eu or in", ("SIGNOZ_REGION",), default="us"),
        },
        protocols=BOTH,
        evidence="unconfirmed",
        source="signoz.io/docs/ingestion/signoz-cloud",
    ),
    "jaeger": Preset(
        "Jaeger 2",
        "http://localhost:4318",
        "",
        protocols=BOTH,
        grpc_endpoint="http://localhost:4317",
        dialect="none",
        evidence="tested",
        source="jaegertracing.io/docs/latest/apis",
    ),
    "tempo": Preset(
        "Grafana Tempo",
        "http://localhost:4318",
        "",
        headers={"X-Scope-OrgID": "{tenant}"},
        options={"tenant": Option("where Tempo has several tenants")},
        protocols=BOTH,
        grpc_endpoint="http://localhost:4317",
        dialect="none",
        source="grafana.com/docs/tempo/latest/api_docs",
    ),
    "collector": Preset(
        "OpenTelemetry Collector",
        "http://localhost:4318",
        "",
        protocols=BOTH,
        grpc_endpoint="http://localhost:4317",
        dialect="none",
        evidence="tested",
        source="opentelemetry.io/docs/collector/configuration",
    ),
}
"""By destination type."""

DEFAULT_DIALECTS: Final[Mapping[str, str]] = {kind: preset.dialect for kind, preset in PRESETS.items()}
"""Types that are not here have none."""

_NAMED: Final = re.compile(r"(?<!\$)\{([a-z_]+)\}")


def filled(template: str, options: Mapping[str, AttributeValue]) -> str | None:
    """A template with its options put in, which are not looked into; None when one of them is open."""
    if any(options.get(name) is None for name in _NAMED.findall(template)):
        return None
    return _NAMED.sub(lambda found: str(options[found[1]]), template)


def joined(endpoint: str, path: str) -> str:
    """A base URL with a vendor's path, of which it may have a part already.

    ``https://host``, ``https://host/api/public/otel`` and the whole URL all lead to the same place. A query
    stays at the end.
    """
    base, mark, query = endpoint.partition("?")
    base = base.rstrip("/")
    steps = path.strip("/").split("/")
    there = next((n for n in range(len(steps), 0, -1) if base.endswith("/" + "/".join(steps[:n]))), 0)
    return "/".join([base, *steps[there:]]) + mark + query


def completed(
    kind: str, config: Mapping[str, AttributeValue], environment: Mapping[str, str]
) -> dict[str, AttributeValue]:
    """A configuration with what the vendor's conventional variables say, where it is silent.

    Values of secrets are not read: they become references, ``${LANGFUSE_SECRET_KEY}``.

    Args:
        kind: The destination type.
        config: As given.
        environment: Of the process in which the destination is configured.
    """
    found = dict(config)
    preset = PRESETS.get(kind)
    if preset is None:
        return found
    for name, option in preset.options.items():
        variable = next((name for name in option.variables if environment.get(name)), None)
        if found.get(name) is None and variable is not None:
            found[name] = f"${{{variable}}}" if option.secret else environment[variable]
    if found.get("endpoint") is None and found.get("host") is None and found.get("protocol") != "grpc":
        variable = next((name for name in preset.endpoint_variables if environment.get(name)), None)
        if variable is not None:
            found["endpoint"] = environment[variable]
    return found


def address_options(preset: Preset) -> set[str]:
    """The options that are parts of the default endpoint's host name."""
    return set(_NAMED.findall(preset.endpoint))


def headers_with(preset: Preset, name: str, value: AttributeValue) -> list[str]:
    """The headers that an option goes into as it is; user and password are encoded, and not among them."""
    templates = [template for template in preset.headers.values() if name in _NAMED.findall(template)]
    return [text for template in templates if (text := filled(template, {name: value})) is not None]


def _missing(kind: str, config: Mapping[str, AttributeValue]) -> tuple[str, Option] | None:
    """The first required option that is open. What only the default endpoint needs is not, beside another."""
    preset = PRESETS[kind]
    in_endpoint = set() if config.get("endpoint") is None else address_options(preset)
    for name, option in preset.options.items():
        if option.required and config.get(name) is None and name not in in_endpoint:
            return name, option
    return None


def check_complete(kind: str, config: Mapping[str, AttributeValue]) -> None:
    """Refuse a configuration that lacks what its vendor requires.

    Args:
        kind: The type; those without a preset pass.
        config: With what the vendor's variables say (`completed`).

    Raises:
        PermanentError: The message begins with the key.
    """
    if kind not in PRESETS or (found := _missing(kind, config)) is None:
        return
    name, option = found
    variables = f", or set {' or '.join(option.variables)}" if option.variables else ""
    raise PermanentError(f"{name}: a {kind} destination needs {option.what}", hint=f"give {name}{variables}")

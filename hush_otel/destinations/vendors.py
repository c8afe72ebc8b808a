"""Types of vendors: a preset and a configuration become an OTLP configuration.

No variable of OTel's is read here: what is meant for one receiver must not lead to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from hush_otel import secrets
from hush_otel.destinations.base import Sender
from hush_otel.destinations.otlp import open_with
from hush_otel.destinations.otlp_options import Basic
from hush_otel.model import AttributeValue, DestinationConfig
from hush_otel.options import OTLP_KEYS, check, header_map
from hush_otel.presets import PRESETS, Preset, check_complete, filled, joined


def open_vendor(config: DestinationConfig) -> Sender:
    """Check a configuration and open it.

    Raises:
        PermanentError: A key is unknown or missing, or a value cannot work; the message names it.
        PausedError: A secret is missing.
    """
    preset = PRESETS[config.type]
    given = {key: value for key, value in config.config.items() if value is not None}
    check(config.type, given)
    options = vendor_options(config.type, given)
    otlp: dict[str, AttributeValue] = {key: value for key, value in given.items() if key in OTLP_KEYS}
    otlp["endpoint"], written = _endpoint(preset, options)
    otlp["headers"] = _headers(preset, options)
    basic = None if preset.basic is None else tuple(options[name] for name in preset.basic)
    return open_with(DestinationConfig(config.name, "otlp", otlp), {}, cast("Basic | None", basic), written)


def vendor_options(kind: str, given: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """A configuration with the vendor's defaults; secrets that nobody gave are references to its variables.

    Raises:
        PermanentError: What the vendor requires is missing.
    """
    options = dict(given)
    for name, option in PRESETS[kind].options.items():
        if name not in options and option.secret and option.required:
            options[name] = f"${{{option.variables[0]}}}"
        elif name not in options and option.default is not None:
            options[name] = option.default
    check_complete(kind, options)
    return options


def _endpoint(preset: Preset, options: Mapping[str, AttributeValue]) -> tuple[AttributeValue, str]:
    """The endpoint, and the same with its references."""
    given = options.get("host", options.get("endpoint"))
    if options.get("protocol") == "grpc":
        written = given or filled(preset.grpc_endpoint or preset.endpoint, options)
        return written, str(written)
    written = str(given or filled(preset.endpoint, options))
    endpoint = str(secrets.resolve(written))
    if not preset.path:
        return endpoint, written
    return joined(endpoint, preset.path), joined(written, preset.path)


def _headers(preset: Preset, options: Mapping[str, AttributeValue]) -> dict[str, Any]:
    """The vendor's, unless somebody gave a header of that name."""
    own = header_map(("headers", options.get("headers", {})))
    lowered = {str(name).lower() for name in own}
    named = {name: filled(template, options) for name, template in preset.headers.items()}
    ours = {name: value for name, value in named.items() if value is not None and name.lower() not in lowered}
    return {**ours, **own}

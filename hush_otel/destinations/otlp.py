"""OTLP: which of the two protocols a configuration means. Type ``otlp``, and what the vendors' types end in.

The protocol's module is imported when it is chosen: gRPC's library is an extra, and large.
"""

from __future__ import annotations

from collections.abc import Mapping

from hush_otel import config as settings
from hush_otel.destinations.base import Sender
from hush_otel.destinations.otlp_options import Basic, asks_for_grpc
from hush_otel.errors import PausedError
from hush_otel.model import DestinationConfig
from hush_otel.options import INSTALL_GRPC


def open_otlp(config: DestinationConfig) -> Sender:
    """Type ``otlp``: keys that are missing come from OTel's standard OTLP variables."""
    return open_with(config, settings.otlp_environment())


def open_with(
    config: DestinationConfig,
    environment: Mapping[str, str],
    basic: Basic | None = None,
    written: str | None = None,
) -> Sender:
    """By HTTP or gRPC; arguments and errors as of `otlp_options.read_options`."""
    if asks_for_grpc(config, environment):
        return _open_grpc(config, environment, basic)
    from hush_otel.destinations.otlp_http import open_otlp_http  # noqa: PLC0415 - the other one is not needed

    return open_otlp_http(config, environment, basic, written)


def _open_grpc(config: DestinationConfig, environment: Mapping[str, str], basic: Basic | None) -> Sender:
    try:
        from hush_otel.destinations.otlp_grpc import open_otlp_grpc  # noqa: PLC0415 - needs the extra
    except ImportError as exc:
        raise PausedError(
            f"protocol grpc needs grpcio, which cannot be imported here: {exc}",
            hint=f"{INSTALL_GRPC} where the background process runs, or set protocol to http/protobuf",
        ) from exc
    return open_otlp_grpc(config, environment, basic)

"""A background process of version 0.0.1: today's service, which says and believes that it is older."""

from __future__ import annotations

from hush_otel import version

version.__version__ = "0.0.1"  # before anything reads it

from common import say  # noqa: E402 - see above

from hush_otel.background.running import run_process  # noqa: E402
from hush_otel.background.service import elect  # noqa: E402
from hush_otel.config import Settings  # noqa: E402

settings = Settings.load()
service = elect(settings)
assert service is not None
say("ready")
run_process(settings, service)

"""`python -m hush_otel` is the `hush-otel` command."""

from __future__ import annotations

import sys

from .cli.main import main

sys.exit(main())

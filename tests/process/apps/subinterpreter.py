"""Record in a second interpreter of this process, beside the first: subinterpreter.py COUNT.

Of the old kind, which shares the GIL: into one that is isolated the SDK itself cannot be imported.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from common import end_spans, say, tracer

from hush_otel import get_store

WORK = """
import sys
sys.path.insert(0, {directory!r})
from common import end_spans, tracer
from hush_otel import get_store
end_spans(tracer(), "second", {count})
assert get_store().force_flush(20_000)
"""


def run_in_a_second(code: str) -> None:
    """Make an interpreter, run this in it, end it. The module changed its name and its calls with 3.13."""
    if sys.version_info >= (3, 13):
        interpreters = importlib.import_module("_interpreters")
        number = interpreters.create("legacy")
        failed = interpreters.exec(number, code)
        assert failed is None, failed
    else:
        interpreters = importlib.import_module("_xxsubinterpreters")
        number = interpreters.create(isolated=False)
        interpreters.run_string(number, code)
    interpreters.destroy(number)


count = int(sys.argv[1])
first = tracer()
end_spans(first, "before", count)
run_in_a_second(WORK.format(directory=str(Path(__file__).parent), count=count))
end_spans(first, "after", count)
say(get_store().force_flush(20_000))

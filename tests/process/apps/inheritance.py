"""Hold what a careless child would inherit: an inheritable file and socket. Then record one span."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from common import end_spans, hear, say, tracer

file = Path(sys.argv[1]).open("w")  # noqa: SIM115 - open as long as the process lives
server = socket.create_server(("127.0.0.1", 0))
for thing in (file, server):
    os.set_inheritable(thing.fileno(), True)
end_spans(tracer(), "a", 1)
say("ready")
if len(sys.argv) > 2:
    hear()

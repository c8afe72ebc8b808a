"""Runs one function of this directory in a fresh process: `child.py MODULE.FUNCTION '{"argument": …}'`.

Prints what it returns as one line of JSON. Imports nothing else: what a side costs is its own.
"""

import importlib
import json
import sys

if __name__ == "__main__":
    module, _, function = sys.argv[1].rpartition(".")
    result = getattr(importlib.import_module(module), function)(**json.loads(sys.argv[2]))
    print(json.dumps(result), flush=True)

"""One process without a supervisor, for debugging the worker itself: ``python -m monodon.single module:app``."""

import argparse
import importlib
import os
import sys

from monodon import _monodon


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m monodon.single", description=__doc__)
    parser.add_argument("app", help="module:attribute")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--timeout", type=int, default=30)
    args = parser.parse_args()
    sys.path.insert(0, os.getcwd())
    module, _, attribute = args.app.partition(":")
    app = getattr(importlib.import_module(module), attribute or "application")
    print(_monodon.serve_single(app, args.port, args.threads, args.timeout), file=sys.stderr)


if __name__ == "__main__":
    main()

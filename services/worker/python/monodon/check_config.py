"""Imports the application as a worker would, and ends: for `--check-config`, which gives the configuration on stdin."""

import json
import sys

from monodon import importer


def main() -> int:
    config = json.load(sys.stdin)
    sys.argv = ["monodon-worker", config["app"]]
    importer.prepare_path(config["pythonpath"], config["folder"])
    try:
        importer.load_as(config)
    except BaseException as error:
        print(f"monodon-worker: the application {config['app']!r} cannot be imported", file=sys.stderr)
        print(importer.explain(error), file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())

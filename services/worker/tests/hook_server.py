"""A worker whose configuration has hooks that write down when they are called, and what they have seen."""

import json

from conftest import Worker

RECORD = """
import json, os, signal, sys

def note(hook, **seen):
    seen |= {"hook": hook, "pid": os.getpid()}
    with open("events", "a") as file:
        file.write(json.dumps(seen) + "\\n")
"""


class Hooked(Worker):
    def __init__(self, folder, conf, source, *flags, **options):
        (folder / "events").touch()
        self.seen = 0
        super().__init__(folder, source, *flags, files={"gunicorn.conf.py": conf}, **options)

    def events(self, *names):
        """What was written down by these hooks since `forget`; by all without a name."""
        lines = (self.folder / "events").read_text().splitlines()[self.seen :]
        return [event for event in map(json.loads, lines) if not names or event["hook"] in names]

    def forget(self):
        self.seen += len(self.events())

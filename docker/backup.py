"""Writes the volumes to standard output as a tar. SQLite databases by SQLite's own online backup: whole, while the site writes."""
import os
import sqlite3
import sys
import tarfile
import tempfile

SQLITE = b"SQLite format 3\0"


def is_database(path):
    with open(path, "rb") as file:
        return file.read(16) == SQLITE


def beside_a_database(path):
    return any(path.endswith(end) and os.path.exists(path[: -len(end)]) for end in ("-wal", "-shm", "-journal"))


def add_database(out, path, name):
    with tempfile.NamedTemporaryFile() as copy:
        source = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=30)
        target = sqlite3.connect(copy.name)
        with target:
            source.backup(target)
        target.close()
        source.close()
        entry = out.gettarinfo(path, name)
        entry.size = os.path.getsize(copy.name)
        with open(copy.name, "rb") as file:
            out.addfile(entry, file)


with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as out:
    for volume in ("data", "media", "certificates"):
        for folder, _, names in os.walk(f"/{volume}"):
            out.add(folder, folder.lstrip("/"), recursive=False)
            for name in sorted(names):
                path = os.path.join(folder, name)
                if not os.path.isfile(path) or os.path.islink(path):
                    continue  # sockets and the like are not data
                if is_database(path):
                    add_database(out, path, path.lstrip("/"))
                elif not beside_a_database(path):
                    out.add(path, path.lstrip("/"), recursive=False)

"""Memory of each process of a Django site, with and without --preload: monodon-worker beside gunicorn.

    python bench/memory.py [--workers 4] [--requests 2000]

Proportional memory (PSS) counts a page that N processes share as a Nth, so the sum over a tree is what it takes. It is read
after the requests, for they are what makes shared pages private (reference counts, the collector). Run it with the
interpreter in whose environment both servers are; monodon-worker should be built with `release` or `image`.
"""

import argparse
import contextlib
import http.client
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

from measure import descendants

APPS = pathlib.Path(__file__).parent / "apps"
SITE = "djsite:wsgi"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def commands(port: int, workers: int, folder: str, preload: bool):
    also = ["--preload"] if preload else []
    place = ["--workers", str(workers), "--bind", f"127.0.0.1:{port}"]
    yield "monodon-worker", [
        sys.executable, "-m", "monodon", SITE, *place, "--admin", f"127.0.0.1:{free_port()}",
        "--control", f"{folder}/control.sock", *also,
    ]
    yield "gunicorn sync", [sys.executable, "-m", "gunicorn", SITE, *place, *also]


def ask(port: int, requests: int) -> None:
    """Each thread has connections of its own, so that every process gets its part."""

    def run():
        for number in range(requests // 8):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("GET", "/db" if number % 2 else "/hello")
            answer = connection.getresponse()
            assert answer.status == 200, answer.status
            answer.read()
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def wait_for(port: int, process: subprocess.Popen) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, "the server has ended"
            time.sleep(0.05)
    raise TimeoutError("the server does not listen")


def memory(pid: int) -> dict[str, float]:
    """MiB."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}


def measure(name: str, command: list[str], port: int, environment: dict, requests: int) -> str:
    process = subprocess.Popen(command, cwd=APPS, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        ask(port, requests)
        found, parents = {}, {}
        for pid in descendants([process.pid]):
            # What has ended meanwhile has no memory.
            with contextlib.suppress(OSError):
                stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
                found[pid] = memory(pid)
                parents[pid] = int(stat.rpartition(")")[2].split()[1])
        leaves = [pid for pid in found if pid not in parents.values()]
        others = [pid for pid in found if pid in parents.values()]
        each = [found[pid]["Pss"] for pid in leaves]
        resident = [found[pid]["Rss"] for pid in leaves]
        above = sum(found[pid]["Pss"] for pid in others)
        return (
            f"| {name} | {sum(resident) / len(leaves):.1f} | {sum(each) / len(leaves):.1f} | "
            f"{min(each):.1f} to {max(each):.1f} | {above:.1f} | {sum(each) + above:.1f} |"
        )
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--requests", type=int, default=2000)
    options = parser.parse_args()
    print("| server | RSS of a process (MiB) | PSS of a process | from, to | its parents | all |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MONODON_", "WEB_CONC"))}
        environment |= {"BENCH_DB": f"{folder}/db.sqlite3"}
        subprocess.run([sys.executable, "djsite.py"], cwd=APPS, env=environment, check=True)
        for preload in (False, True):
            port = free_port()
            for name, command in commands(port, options.workers, folder, preload):
                label = f"{name}{', --preload' if preload else ''}"
                print(measure(label, command, port, environment, options.requests), flush=True)


if __name__ == "__main__":
    main()

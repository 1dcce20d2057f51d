"""What the application sets with prometheus_client, on the worker's own `/metrics`."""

import math
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from conftest import until

METRICS = """
import os
from prometheus_client import Counter, Gauge, Histogram, Summary

HITS = Counter("hits", "Hits", ["path"])
TIMES = Histogram("times", "Times", buckets=(0.1, 1, 10))
SIZES = Summary("sizes", "Sizes")
BUSY = Gauge("busy", "Busy", multiprocess_mode="livesum")
OWN = Gauge("own", "Own")
HIGHEST = Gauge("highest", "Highest", multiprocess_mode="max")

def application(environ, start_response):
    HITS.labels(environ["PATH_INFO"]).inc()
    TIMES.observe(0.5)
    SIZES.observe(3)
    BUSY.set(1)
    OWN.set(5)
    HIGHEST.set(len(environ["PATH_INFO"]))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {os.environ.get('PROMETHEUS_MULTIPROC_DIR')}".encode()]
"""


def samples(text: str) -> dict:
    """Family's name and type, sample's name and labels → value; a bucket's bound as a number."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {key: float(value) if key == "le" else value for key, value in sample.labels.items()}
            found[family.name, family.type, sample.name, tuple(sorted(labels.items()))] = sample.value
    return found


def of_the_application(worker) -> dict:
    ours = ("monodon_", "process_")
    return {key: value for key, value in samples(worker.ask("/metrics")[1]).items() if not key[0].startswith(ours)}


def visit(worker, path="/", processes=2):
    """Requests until as many processes have answered; returns (pids, how many requests, the folder)."""
    pids, count = set(), 0
    while len(pids) < processes:
        answer = worker.request(path=path)[2].decode().split()
        pids.add(int(answer[0]))
        count += 1
        assert count < 1000
    return pids, count, pathlib.Path(answer[1])


@pytest.mark.parametrize("flags", [(), ("--preload-app",)])
def test_metrics_of_all_processes_are_one_and_outlive_them(worker, flags):
    server = worker(METRICS, *flags)
    pids, count, folder = visit(server)

    def hits():
        return server.metric('hits_total{path="/"}')

    assert hits() == count
    assert server.metric('times_bucket{le="0.1"}') == 0
    assert server.metric('times_bucket{le="1.0"}') == server.metric("times_count") == count
    assert server.metric("sizes_sum") == 3 * count
    assert server.metric("busy") == 2
    assert server.metric("highest") == 1
    names = {f'own{{pid="w{row["worker"]}"}}' for row in server.status()["processes"]}
    assert {server.metric(name) for name in names} == {5}
    assert {file.name for file in folder.glob("*_w*.db")} >= {"counter_w0.db", "histogram_w1.db", "gauge_livesum_w0.db"}

    dead = pids.pop()
    os.kill(dead, signal.SIGKILL)
    until(lambda: dead not in server.pids() and len(server.pids()) == 2, "another process")
    assert hits() == count and server.metric("times_count") == count
    assert server.metric("busy") == 1
    [survivor] = [row["worker"] for row in server.status()["processes"] if row["pid"] in pids]
    values = {key[3]: value for key, value in of_the_application(server).items() if key[0] == "own" and value}
    assert values == {(("pid", f"w{survivor}"),): 5}

    server.tell("reload")
    assert hits() == count and server.metric("busy") == 0

    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert not folder.exists()


MAKE = """
import os, random, sys
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, values
odd = ["", "a", 'quo"te', "back\\\\slash", "new\\nline", "größe", "\\U0001f40b", " spaces "]
random.seed(1)
for process in sys.argv[2:]:
    values.ValueClass = values.MultiProcessValue(lambda: process)
    registry = CollectorRegistry()
    for number in range(20):
        counter = Counter(f"c{number}", "Words\\nand \\\\ more", ["x", "a"], registry=registry)
        counter.labels(random.choice(odd), "1").inc(random.random() * 1e9)
        Summary(f"s{number}", "S", ["x"], registry=registry).labels(random.choice(odd)).observe(random.uniform(-5, 5))
    histogram = Histogram("h", "H", ["x"], buckets=(0.001, 0.5, 1, 10, 1e6, 2.5e7), registry=registry)
    default = Histogram("d", "D", registry=registry)
    for _ in range(50):
        histogram.labels(random.choice(odd)).observe(random.choice((1e-4, 0.7, 5, 1e5, 1e7, 1e9)))
        default.observe(random.random())
    for mode in sorted(Gauge._MULTIPROC_MODES):
        gauge = Gauge(f"g_{mode}", "G", ["x"], multiprocess_mode=mode, registry=registry)
        for value in odd:
            if random.random() < 0.6:
                gauge.labels(value).set(random.choice((0, -1.5, 3, 1e300, float("inf"), float("-inf"), random.random())))
            elif random.random() < 0.5:
                gauge.labels(value)
"""


@pytest.fixture
def made(tmp_path):
    """A folder with the files of five processes of prometheus_client's."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    command = [sys.executable, "-c", MAKE, str(folder), "4194300", "4194301", "w77", "z1", "4194302"]
    subprocess.run(command, check=True)
    return folder


PLAIN = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [b""]
"""


def test_the_merge_is_prometheus_clients(worker, made):
    from prometheus_client import generate_latest

    server = worker(PLAIN, env={"PROMETHEUS_MULTIPROC_DIR": str(made)})
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(made))
    theirs, ours = samples(generate_latest(registry).decode()), of_the_application(server)
    assert len(theirs) > 200
    assert ours.keys() == theirs.keys()
    differing = {key: (ours[key], value) for key, value in theirs.items() if not math.isclose(ours[key], value, rel_tol=1e-12)}
    # The sum of two infinities is no number, and no number is close to itself.
    assert {key: pair for key, pair in differing.items() if not all(map(math.isnan, pair))} == {}


def test_broken_files_are_skipped_and_counted(worker, made):
    server = worker(PLAIN, env={"PROMETHEUS_MULTIPROC_DIR": str(made)})
    whole = of_the_application(server)
    (made / "counter_1.db").write_bytes(b"\xff" * 100)
    (made / "histogram_1.db").write_bytes((made / "histogram_w77.db").read_bytes()[:5000])
    (made / "summary_1.db").write_bytes(b"")
    (made / "gauge_all_1.db").mkdir()
    (made / "nonsense.db").write_bytes(b"")
    assert repr(of_the_application(server)) == repr(whole)
    before = server.metric("monodon_worker_app_metrics_file_errors_total")
    server.ask("/metrics")
    after = server.metric("monodon_worker_app_metrics_file_errors_total")
    assert (before, after) == (6, 12)
    said = [line["message"] for line in server.said("are left out")]
    assert len(said) == 3, said


def test_the_users_folder_stays_his(worker, tmp_path):
    folder = tmp_path / "his" / "own"
    server = worker(METRICS, "--workers", "1", env={"PROMETHEUS_MULTIPROC_DIR": str(folder)})
    _, count, seen = visit(server, processes=1)
    assert seen == folder
    assert server.metric('hits_total{path="/"}') == count
    [file] = folder.glob("counter_w*.db")
    # Another worker may use the same folder.
    other = worker(METRICS, "--workers", "1", env={"PROMETHEUS_MULTIPROC_DIR": str(folder)})
    count += visit(other, processes=1)[1]
    assert len(list(folder.glob("counter_w*.db"))) == 2
    assert server.metric('hits_total{path="/"}') == other.metric('hits_total{path="/"}') == count
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert file.exists()


def test_a_folder_that_the_configuration_names_is_read_and_keeps_to_pids(worker, tmp_path):
    folder = tmp_path / "named"
    folder.mkdir()
    (tmp_path / "conf.py").write_text(
        f"""
import os
os.environ["PROMETHEUS_MULTIPROC_DIR"] = {str(folder)!r}
from prometheus_client import multiprocess

def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
"""
    )
    server = worker(METRICS, "--config", str(tmp_path / "conf.py"))
    pids, count, seen = visit(server)
    assert seen == folder
    assert server.metric('hits_total{path="/"}') == count and server.metric("busy") == 2
    assert {file.name for file in folder.glob("counter*")} == {f"counter_{pid}.db" for pid in pids}
    dead = pids.pop()
    os.kill(dead, signal.SIGKILL)
    until(lambda: server.metric("busy") == 1, "the hook")
    assert server.metric('hits_total{path="/"}') == count


FORKS = """
import multiprocessing, os
from prometheus_client import Counter

HITS = Counter("hits", "Hits")

def application(environ, start_response):
    HITS.inc()
    child = multiprocessing.get_context("fork").Process(target=HITS.inc, args=(10,))
    child.start()
    child.join()
    start_response("200 OK", [])
    return [str(child.pid).encode() + b" " + os.environ["PROMETHEUS_MULTIPROC_DIR"].encode()]
"""


def test_a_fork_of_the_applications_does_not_write_into_its_files(worker):
    server = worker(FORKS, "--workers", "1")
    pid, folder = server.request()[2].decode().split()
    assert server.metric("hits_total") == 11
    assert {file.name for file in pathlib.Path(folder).glob("*.db")} == {"counter_w0.db", f"counter_{pid}.db"}


OWN_PAGE = """
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

Counter("monodon_worker_requests", "Not theirs").inc(7777)
HITS = Counter("hits", "Hits")

def application(environ, start_response):
    HITS.inc()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    start_response("200 OK", [])
    return [generate_latest(registry)]
"""


def test_a_page_of_the_applications_own_goes_on_working_and_our_names_are_ours(worker):
    # A new process for each request, through all eight entries and on.
    server = worker(OWN_PAGE, "--preload-app", "--workers", "1", "--max-requests", "1")
    for number in range(1, 13):
        assert f"hits_total {number}.0" in server.request()[2].decode().splitlines()
    page = server.ask("/metrics")[1]
    assert "hits_total 12.0" in page.splitlines() and "Not theirs" not in page
    assert server.metric('monodon_worker_app_metrics_series_dropped{reason="name"}') == 1


def test_off_is_off(worker):
    server = worker(METRICS, "--no-app-metrics")
    _, _, folder = visit(server)
    assert str(folder) == "None"
    assert of_the_application(server) == {} and "app_metrics" not in server.ask("/metrics")[1]

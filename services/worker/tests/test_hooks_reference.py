"""The page on hooks says what there is, and nothing else."""

import pathlib
import re

import pytest
from monodon import gunicorn_conf
from monodon.hooks import Hooks
from monodon.hooks.cfg import Config
from monodon.hooks.exchange import Request, Response
from monodon.hooks.logger import Logger
from monodon.hooks.server import Application, Arbiter
from monodon.hooks.worker import Worker

PAGE = pathlib.Path(__file__).parents[3] / "docs" / "reference" / "worker-hooks.md"

CONFIG = {
    "app": "app",
    "workers": 1,
    "threads": 1,
    "max_requests": 0,
    "bind": ["127.0.0.1:8000"],
    "gunicorn": {"proc_name": "app"},
    "gunicorn_conf": None,
} | dict.fromkeys(("timeout", "graceful_timeout", "keepalive"), {"secs": 30, "nanos": 0})


@pytest.fixture(scope="module")
def text():
    if not PAGE.exists():
        pytest.skip("the page is not beside the tests")
    return PAGE.read_text()


@pytest.fixture(scope="module")
def objects():
    hooks = Hooks({}, None)
    cfg = Config(CONFIG, hooks)
    log = Logger()
    app = Application(cfg, "app", None)
    server = Arbiter(cfg, log, app, hooks, 1, [], None)
    worker = Worker(1, [], app, cfg, log)
    req = Request("GET", "/", "/", "", (1, 1), [], "", 1)
    return {"server": server, "worker": worker, "req": req, "resp": Response(req), "log": log, "app": app}


def section(text, heading):
    return re.split(r"^#", text.split(f"### {heading}\n")[1], maxsplit=1, flags=re.M)[0]


def test_every_hook_is_there_with_its_arguments(text):
    rows = re.findall(r"^\| `(\w+)\(([^)]*)\)` \| (?:new )?(?:zygote|worker|the same)", text, re.M)
    assert {name: len(arguments.split(",")) for name, arguments in rows} == gunicorn_conf.HOOKS


@pytest.mark.parametrize("name", ["server", "worker", "req", "resp"])
def test_every_attribute_is_there(text, objects, name):
    first = [row.split("|")[1] for row in section(text, name).splitlines() if row.startswith("| `")]
    told = set(re.findall(r"`(\w+)", " ".join(first)))
    there = {attribute for attribute in dir(objects[name]) if not attribute.startswith("_")}
    assert told == there


@pytest.mark.parametrize("name", ["log", "app"])
def test_every_name_is_there(text, objects, name):
    told = set(re.findall(r"`(\w+)", section(text, name)))
    there = {attribute for attribute in dir(objects[name]) if not attribute.startswith("_")}
    assert there - told <= {"warn", "loglevel"} and not {one for one in told - there if one not in ("logging",)}


def test_gunicorns_own_objects_have_what_ours_have():
    """What a hook can rely on here it can rely on there."""
    base = pytest.importorskip("gunicorn.workers.base")
    arbiter = pytest.importorskip("gunicorn.arbiter")
    source = "".join(
        pathlib.Path(module.__file__).read_text() for module in (base, arbiter, pytest.importorskip("gunicorn.http.message"))
    )
    ours = {"changed", "close", "bind", "notes", "interrupted", "wsgi"}
    hooks = Hooks({}, None)
    cfg = Config(CONFIG, hooks)
    for one in (Arbiter(cfg, None, None, hooks, 1, [], None), Worker(1, [], None, cfg, None)):
        for attribute in dir(one):
            if not attribute.startswith("_") and attribute not in ours:
                assert re.search(rf"\b{attribute}\b", source), attribute

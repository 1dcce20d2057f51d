"""A real page of each framework: templates, forms, cookies, files and error pages as their own code makes them."""

import re
import textwrap
import urllib.parse

import pytest


def get(one, path, **headers):
    """Status, headers by their lower-case names (all values), text."""
    return answer(one, "GET", path, None, headers)


def post(one, path, form, **headers):
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    return answer(one, "POST", path, urllib.parse.urlencode(form), headers)


def answer(one, method, path, body, headers):
    status, found, text = one.request(method, path, body=body, headers=headers)
    return status, {name.lower(): value for name, value in found.items()}, text.decode()


def cookie(headers, name):
    return re.search(rf"{name}=[^;]*", headers["set-cookie"]).group(0)


DJANGO = """
import os
from django.conf import settings

settings.configure(
    SECRET_KEY="x" * 50, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, STATIC_URL="static/", DEBUG=False,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}},
    INSTALLED_APPS=["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
                    "django.contrib.sessions", "django.contrib.messages"],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    # Tables are made as the models are: dozens of migrations would take longer than the test.
    MIGRATION_MODULES=dict.fromkeys(["admin", "auth", "contenttypes", "sessions"]),
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.contrib.sessions.middleware.SessionMiddleware",
                "django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware",
                "django.contrib.messages.middleware.MessageMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {
        "context_processors": ["django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
                               "django.contrib.messages.context_processors.messages"]}}],
)

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
call_command("migrate", run_syncdb=True, verbosity=0)

from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import path

User.objects.filter(username="ada").exists() or User.objects.create_superuser("ada", password="lovelace")
urlpatterns = [path("admin/", admin.site.urls)]
"""


def test_django_logs_in_to_its_admin(worker):
    pytest.importorskip("django")
    one = worker(DJANGO, "--workers", "1", "--preload")
    status, headers, _ = get(one, "/admin/")
    assert status == 302 and headers["location"] == "/admin/login/?next=/admin/"
    status, headers, page = get(one, "/admin/login/")
    assert status == 200 and "<title>Log in | Django site admin</title>" in page
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page).group(1)
    form = {"username": "ada", "password": "lovelace", "csrfmiddlewaretoken": token, "next": "/admin/"}
    status, headers, _ = post(one, "/admin/login/", form, Cookie=cookie(headers, "csrftoken"))
    assert status == 302 and headers["location"] == "/admin/"
    status, _, page = get(one, "/admin/", Cookie=cookie(headers, "sessionid"))
    assert status == 200 and "Site administration" in page and "ada" in page
    assert get(one, "/nothing/")[0] == 404


FLASK = """
from flask import Flask, flash, get_flashed_messages, redirect, render_template_string, request, session, url_for

app = Flask(__name__)
app.secret_key = "secret"
PAGE = "<h1>{{ name|title }}</h1>{% for word in get_flashed_messages() %}<p>{{ word }}</p>{% endfor %}"

@app.get("/<name>")
def page(name):
    session["seen"] = session.get("seen", 0) + 1
    return render_template_string(PAGE, name=name), {"X-Seen": session["seen"]}

@app.post("/")
def change():
    flash(f"{request.form['word']} <safe>")
    return redirect(url_for("page", name="flask"))
"""


def test_flask_renders_a_template_with_a_session(worker):
    pytest.importorskip("flask")
    one = worker(FLASK, "--workers", "1", app="app:app")
    status, headers, page = get(one, "/grace%20hopper")
    assert (status, page, headers["x-seen"]) == (200, "<h1>Grace Hopper</h1>", "1")
    status, headers, _ = post(one, "/", {"word": "héllo"}, Cookie=cookie(headers, "session"))
    assert (status, headers["location"]) == (302, "/flask")
    status, headers, page = get(one, "/flask", Cookie=cookie(headers, "session"))
    assert (page, headers["x-seen"]) == ("<h1>Flask</h1><p>héllo &lt;safe&gt;</p>", "2")
    assert get(one, "/a/b")[0] == 404


BOTTLE = """
import bottle

app = bottle.Bottle()

@app.get("/hello/<name>")
def hello(name):
    return bottle.template("<b>{{name}}</b> from {{request.remote_addr}}", name=name, request=bottle.request)

@app.post("/upload")
def upload():
    file = bottle.request.files.get("file")
    return {"name": file.raw_filename, "size": len(file.file.read())}

@app.get("/static/<path:path>")
def static(path):
    return bottle.static_file(path, root=".")
"""


def test_bottle_renders_a_template_takes_an_upload_and_sends_a_file(worker):
    pytest.importorskip("bottle")
    one = worker(BOTTLE, "--workers", "1", app="app:app")
    status, headers, page = get(one, "/hello/<you>".replace("<", "%3C").replace(">", "%3E"))
    assert (status, page) == (200, "<b>&lt;you&gt;</b> from 127.0.0.1")
    assert headers["content-type"] == "text/html; charset=UTF-8"
    body = '--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n' + "y" * 70_000 + "\r\n--x--\r\n"
    status, _, page = answer(one, "POST", "/upload", body, {"Content-Type": "multipart/form-data; boundary=x"})
    assert (status, page) == (200, '{"name": "a.txt", "size": 70000}')
    status, headers, page = get(one, "/static/app.py")
    assert (status, page) == (200, textwrap.dedent(BOTTLE)) and headers["content-length"] == str(len(page))
    status, headers, page = get(one, "/static/app.py", Range="bytes=8-13")
    assert (status, page) == (206, "bottle")
    assert get(one, "/static/other")[0] == 404


PYRAMID = """
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.response import FileResponse, Response
from pyramid.view import view_config

@view_config(route_name="page")
def page(request):
    return Response(f"<p>{request.matchdict['name']} {request.host_url} {request.params.get('q')}</p>")

@view_config(route_name="data", renderer="json", request_method="POST")
def data(request):
    return {"path": request.route_path("page", name="x"), "body": request.json_body}

@view_config(route_name="file")
def file(request):
    return FileResponse("app.py", request=request, content_type="text/plain")

def main(**settings):
    with Configurator(settings=settings) as config:
        config.add_route("page", "/page/{name}")
        config.add_route("data", "/data")
        config.add_route("file", "/file")
        config.scan(__name__)
        return config.make_wsgi_app()
"""


def test_pyramid_routes_renders_json_and_sends_a_file(worker):
    pytest.importorskip("pyramid")
    one = worker(PYRAMID, "--workers", "1", app="app:main()")
    status, _, page = get(one, "/page/caf%C3%A9?q=%C3%BC", Host="shop.example:81")
    assert (status, page) == (200, "<p>café http://shop.example:81 ü</p>")
    status, headers, page = answer(one, "POST", "/data", '{"a": [1]}', {"Content-Type": "application/json"})
    assert (status, page) == (200, '{"path": "/page/x", "body": {"a": [1]}}')
    assert headers["content-type"] == "application/json"
    status, headers, page = get(one, "/file")
    assert (status, page) == (200, textwrap.dedent(PYRAMID)) and headers["content-length"] == str(len(page))
    assert get(one, "/page")[0] == 404


FALCON = """
import falcon

class Things:
    def on_get(self, request, response, thing):
        response.media = {"thing": thing, "wanted": request.get_param_as_int("n"), "forwarded": request.forwarded_uri}
        response.set_cookie("seen", thing)

    def on_put(self, request, response, thing):
        response.status = falcon.HTTP_201
        response.data = request.bounded_stream.read().upper()

    def on_patch(self, request, response, thing):
        response.stream = (letter.encode() for letter in thing)

app = falcon.App()
app.add_route("/things/{thing}", Things())
app.add_static_route("/static", __file__.rpartition("/")[0])
"""


def test_falcon_answers_with_media_data_a_stream_and_a_file(worker):
    pytest.importorskip("falcon")
    one = worker(FALCON, "--workers", "1", app="app:app")
    status, headers, page = get(one, "/things/a?n=4", Host="shop.example")
    assert (status, page) == (200, '{"thing": "a", "wanted": 4, "forwarded": "http://shop.example/things/a?n=4"}')
    assert cookie(headers, "seen") == "seen=a"
    assert answer(one, "PUT", "/things/a", "loud", {})[::2] == (201, "LOUD")
    status, headers, page = answer(one, "PATCH", "/things/abc", None, {})
    assert (status, page, headers["transfer-encoding"]) == (200, "abc", "chunked")
    assert get(one, "/static/app.py")[::2] == (200, textwrap.dedent(FALCON))
    status, headers, page = answer(one, "DELETE", "/things/a", None, {})
    assert status == 405 and headers["allow"] == "GET, PATCH, PUT, OPTIONS"


# web2py is no package: its wsgihandler lies in the folder that has `gluon` and `applications`, goes there when it is
# imported, and has `gluon.main` answer. This is such a folder, with the parts of the environ that gluon leans on.
WEB2PY = """
import os, sys

here = os.path.dirname(os.path.abspath(__file__))
os.chdir(here)
if not os.path.isdir("applications"):
    raise RuntimeError("this is not the folder of web2py")
sys.path = [here] + [folder for folder in sys.path if folder != here]

import gluon.main

application = gluon.main.wsgibase
"""

GLUON = '''
import io, os, shutil, tempfile

def wsgibase(environ, responder):
    """As gluon's: names in lower case with dots as underscores, the body copied by its length, one answer."""
    request = {name.lower().replace(".", "_"): value for name, value in environ.items()}
    application, _, rest = request["path_info"].strip("/").partition("/")
    folder = os.path.join("applications", application or "welcome")
    if not os.path.isdir(folder):
        responder("404 NOT FOUND", [("Content-Type", "text/html; charset=UTF-8"), ("web2py_error", "invalid application")])
        return [b"<h1>invalid application</h1>"]
    body = tempfile.TemporaryFile()
    length = int(request.get("content_length") or 0)
    while length > 0:
        part = request["wsgi_input"].read(min(length, 10_000))
        if not part:
            break
        body.write(part)
        length -= len(part)
    size = body.tell()
    with open(os.path.join(folder, "view.html")) as view:
        page = view.read().format(client=request["remote_addr"], scheme=request["wsgi_url_scheme"], size=size,
                                  query=request.get("query_string", ""), host=request["http_host"])
    headers = [("Content-Type", "text/html; charset=UTF-8"), ("Set-Cookie", f"session_id_{application}=1; Path=/"),
               ("X-Powered-By", "web2py")]
    responder("200 OK", headers)
    if request["request_method"] == "HEAD":
        return [b""]
    return [page.encode()]
'''


def test_web2pys_wsgihandler_finds_its_folder_and_answers(worker, tmp_path):
    files = {
        "web2py/wsgihandler.py": WEB2PY,
        "web2py/gluon/__init__.py": "",
        "web2py/gluon/main.py": GLUON,
        "web2py/applications/welcome/view.html": "<h1>{host} {scheme} {client} {query} {size}</h1>",
    }
    one = worker("", "--workers", "1", "--pythonpath", "web2py", app="wsgihandler", files=files)
    status, headers, page = post(one, "/welcome/default/index?a=1", {"x": "y" * 40_000}, Host="w.example")
    assert (status, page) == (200, "<h1>w.example http 127.0.0.1 a=1 40002</h1>")
    assert cookie(headers, "session_id_welcome") and headers["x-powered-by"] == "web2py"
    assert get(one, "/other")[0] == 404


PASTE = """
[composite:main]
use = call:app:by_path
/ = home
/api = api

[app:home]
paste.app_factory = app:home
greeting = hello from paste

[pipeline:api]
pipeline = upper shout

[filter:upper]
paste.filter_factory = app:upper

[app:shout]
paste.app_factory = app:home
greeting = shouted
"""

PASTED = """
def home(settings, greeting):
    def application(environ, start_response):
        body = f"{greeting} {settings['__file__'].rpartition('/')[2]} {environ['SCRIPT_NAME']}|{environ['PATH_INFO']}"
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body.encode()]
    return application

def upper(settings):
    return lambda app: lambda environ, start_response: [part.upper() for part in app(environ, start_response)]

def by_path(loader, settings, **paths):
    apps = {path.rstrip("/"): loader.get_app(name, global_conf=settings) for path, name in paths.items()}
    def application(environ, start_response):
        path = environ["PATH_INFO"]
        prefix = max((prefix for prefix in apps if path == prefix or path.startswith(prefix + "/")), key=len)
        environ["SCRIPT_NAME"] += prefix
        environ["PATH_INFO"] = path[len(prefix):]
        return apps[prefix](environ, start_response)
    return application
"""

DEPLOY = """
import os
from paste.deploy import loadapp

application = loadapp("config:" + os.path.abspath("deploy.ini"))
"""


def test_a_paste_deployed_application_is_put_together_from_its_ini(worker):
    pytest.importorskip("paste.deploy")
    one = worker(PASTED, "--workers", "1", app="deploy", files={"deploy.ini": PASTE, "deploy.py": DEPLOY})
    assert get(one, "/a")[::2] == (200, "hello from paste deploy.ini |/a")
    assert get(one, "/api/b")[::2] == (200, "SHOUTED DEPLOY.INI /API|/B")

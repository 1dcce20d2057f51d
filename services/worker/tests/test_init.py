"""`monodon-worker init` and `release`: the files, for projects as people have them. (The compose run is an end-to-end test.)"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from monodon import init, project

ROOT = pathlib.Path(__file__).resolve().parents[3]
FILES = ["Dockerfile", "compose.yaml", ".env.example", ".dockerignore", "edge/edge.toml"]


def django(folder):
    pytest.importorskip("django")
    subprocess.run([sys.executable, "-m", "django", "startproject", "mysite", "."], cwd=folder, check=True)
    return folder


def release(folder, **environment):
    return subprocess.run(
        [sys.executable, "-m", "monodon", "release"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_a_fresh_django_project(tmp_path, capsys):
    django(tmp_path)
    assert init.main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "mysite.wsgi:application" in said and "docker compose up" in said
    dockerfile = (tmp_path / "Dockerfile").read_text()
    assert "MONODON_WORKER_APP=mysite.wsgi:application" in dockerfile
    assert "DJANGO_SETTINGS_MODULE=container_settings \\\n" in dockerfile
    compose = (tmp_path / "compose.yaml").read_text()
    assert "/static/=/srv/static,/media/=/srv/media" in compose
    assert "@" not in re.sub(r"#.*", "", compose)
    assert (tmp_path / "requirements.txt").read_text().startswith("Django~=")
    assert all((tmp_path / name).exists() for name in FILES)


def test_nothing_is_overwritten_without_force(tmp_path, capsys):
    django(tmp_path)
    (tmp_path / "Dockerfile").write_text("# mine\n")
    (tmp_path / "requirements.txt").write_text("django\n")
    assert init.main([str(tmp_path)]) == 0
    assert (tmp_path / "Dockerfile").read_text() == "# mine\n"
    assert "kept   Dockerfile" in capsys.readouterr().out
    assert init.main([str(tmp_path)]) == 1
    (tmp_path / "container_settings.py").write_text("# mine, too\n")
    assert init.main([str(tmp_path), "--force"]) == 0
    assert "FROM" in (tmp_path / "Dockerfile").read_text()
    # What a person edits by hand is theirs even then.
    assert (tmp_path / "requirements.txt").read_text() == "django\n"
    assert (tmp_path / "container_settings.py").read_text() == "# mine, too\n"


def test_the_settings_move_what_cannot_be_written_to_the_volumes(tmp_path):
    django(tmp_path)
    init.main([str(tmp_path)])
    volumes = tmp_path.parent / f"{tmp_path.name}-volumes"
    volumes.mkdir()
    environment = {
        "DJANGO_SETTINGS_MODULE": "container_settings",
        "DATA_DIR": str(volumes),
        "STATIC_ROOT": str(volumes / "static"),
        "MONODON_DOMAINS": "example.org",
    }
    first = release(tmp_path, **environment)
    assert first.returncode == 0, first.stderr
    assert (volumes / "db.sqlite3").exists() and (volumes / "static/admin/css/base.css").exists()
    second = release(tmp_path, **environment)
    assert "migrations: nothing to do" in second.stdout and "0 static files copied" in second.stdout
    show = "from django.conf import settings as s; print(s.ALLOWED_HOSTS, s.MEDIA_URL, s.DEBUG)"
    shown = subprocess.run(
        [sys.executable, "-c", show], cwd=tmp_path, env={**os.environ, **environment, "DEBUG": "false"}, text=True, capture_output=True
    )
    assert "'localhost'" in shown.stdout and "'example.org'" in shown.stdout and "/media/ False" in shown.stdout, shown.stderr
    assert not (tmp_path / "db.sqlite3").exists()


def test_the_project_s_own_places_outside_its_folder_stay(tmp_path):
    django(tmp_path)
    settings = tmp_path / "mysite/settings.py"
    settings.write_text(settings.read_text() + "\nSTATIC_ROOT = '/var/www/static'\nMEDIA_URL = 'uploads/'\nALLOWED_HOSTS = ['a.test']\n")
    init.main([str(tmp_path)])
    assert "/uploads/=/srv/media" in (tmp_path / "compose.yaml").read_text()
    show = "from django.conf import settings as s; print(s.STATIC_ROOT, s.MEDIA_URL, s.ALLOWED_HOSTS, s.DATABASES['default']['NAME'])"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "container_settings"}
    shown = subprocess.run([sys.executable, "-c", show], cwd=tmp_path, env=environment, text=True, capture_output=True)
    assert shown.stdout.split("\n")[0] == "/var/www/static /uploads/ ['a.test'] /data/db.sqlite3", shown.stderr


def test_split_settings_and_another_name(tmp_path):
    (tmp_path / "config/settings").mkdir(parents=True)
    (tmp_path / "manage.py").write_text("os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'config.settings.dev')\n")
    (tmp_path / "config/wsgi.py").write_text('os.environ.setdefault(\n    "DJANGO_SETTINGS_MODULE", "config.settings.prod"\n)\n')
    (tmp_path / "config/settings/base.py").write_text("STATIC_URL = '/assets/'\nWSGI_APPLICATION = 'config.wsgi.application'\n")
    (tmp_path / "config/settings/prod.py").write_text("from .base import *\n")
    found = project.find(tmp_path)
    assert (found.app, found.settings, found.static_url) == ("config.wsgi:application", "config.settings.prod", "/assets/")


@pytest.mark.parametrize(
    ("path", "text", "app"),
    [
        ("app.py", "from flask import Flask\napp = Flask(__name__)\n", "app:app"),
        ("wsgi.py", "from shop import create_app\napplication = create_app()\n", "wsgi:application"),
        ("shop/__init__.py", "import flask\ndef create_app():\n    return flask.Flask('shop')\n", "shop:create_app()"),
        ("main.py", "def application(environ, start_response):\n    pass\n", "main:application"),
    ],
)
def test_flask_and_any_wsgi(tmp_path, path, text, app):
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text(text)
    assert project.find(tmp_path).app == app
    assert init.main([str(tmp_path)]) == 0
    assert f"ENV MONODON_WORKER_APP={app}\n" in (tmp_path / "Dockerfile").read_text()
    compose = (tmp_path / "compose.yaml").read_text()
    # Such an application serves its static files itself.
    assert "MONODON_EDGE_STATIC" not in compose
    assert not (tmp_path / "container_settings.py").exists()


def test_requirements_from_pyproject(tmp_path):
    (tmp_path / "app.py").write_text("import flask\napp = flask.Flask('x')\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\ndependencies = ["flask>=3", "pillow"]\n')
    init.main([str(tmp_path)])
    dockerfile = (tmp_path / "Dockerfile").read_text()
    assert "COPY pyproject.toml ./" in dockerfile and not (tmp_path / "requirements.txt").exists()
    code = re.search(r'python3 -c "(.*)" >', dockerfile).group(1)
    if sys.version_info >= (3, 11):
        listed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, text=True, capture_output=True)
        assert listed.stdout == "flask>=3\npillow\n", listed.stderr


def test_what_cannot_be_served_is_said(tmp_path, capsys):
    assert init.main([str(tmp_path)]) == 1
    assert "--app" in capsys.readouterr().err
    (tmp_path / "main.py").write_text("app = FastAPI()\n")
    assert init.main([str(tmp_path)]) == 1
    assert "ASGI" in capsys.readouterr().err
    assert init.main([str(tmp_path / "nowhere")]) == 2


def test_release_without_django_does_nothing(tmp_path):
    done = release(tmp_path)
    assert (done.returncode, done.stdout) == (0, "no Django project here: nothing to do\n")


def test_release_of_a_broken_project_is_exit_3(tmp_path):
    django(tmp_path)
    (tmp_path / "mysite/settings.py").write_text("import nothing_such\n")
    done = release(tmp_path)
    assert done.returncode == 3
    assert "nothing_such" in done.stderr


@pytest.mark.parametrize("kind", ["django", "flask"])
def test_compose_takes_the_file(tmp_path, kind):
    if not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("no docker compose")
    (tmp_path / "app.py").write_text("import flask\napp = flask.Flask('x')\n")
    if kind == "django":
        django(tmp_path)
    init.main([str(tmp_path)])
    checked = subprocess.run(["docker", "compose", "config", "--quiet"], cwd=tmp_path, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def service(text, name):
    """A service's lines, without comments, build and what the project alone decides."""
    lines, inside, skipping = [], False, False
    for line in text.splitlines():
        if re.match(r"  \S", line):
            inside = line == f"  {name}:"
        elif re.match(r"\S", line):
            inside = False
        elif inside and line.strip() and not line.strip().startswith("#"):
            if line.startswith("    ") and line[4] != " ":
                skipping = line.startswith("    build:")
            if not skipping and "MONODON_EDGE_STATIC:" not in line and "MONODON_SIDECAR_PROJECT" not in line:
                # Here the folder stands where all of Monodon's own things do.
                line = line.replace(":-./docker/edge}", ":-./edge}")
                lines.append(line.replace("@VERSION@", init.__version__))
    return lines


@pytest.mark.parametrize("name", ["edge", "sidecar", "agent"])
def test_the_services_are_those_of_the_project_s_own_compose_file(name):
    own = ROOT / "compose.yaml"
    if not own.exists():
        pytest.skip("not in the project's checkout")
    template = pathlib.Path(init.__file__).parent / "templates/compose.yaml"
    assert service(template.read_text(), name) == service(own.read_text(), name)
    assert service(own.read_text(), name)


def test_the_example_and_a_project_begin_with_the_same_edge_toml(tmp_path):
    django(tmp_path)
    assert init.main([str(tmp_path)]) == 0
    assert (tmp_path / "edge/edge.toml").read_text() == (ROOT / "docker/edge/edge.toml").read_text()

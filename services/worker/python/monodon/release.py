"""`monodon-worker release`: what is to be done once before new code serves. For Django: migrations and static files.

One interpreter, no questions, nothing deleted: pages of the version before still find their files. For anything else
there is nothing to do.
"""

import argparse
import os
import pathlib
import sys
import time

from monodon import importer, project

# How long a database that is starting is waited for.
PATIENCE = 60.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="monodon-worker release",
        description="Migrates the database and collects static files, where the project is Django; quick when done.",
    )
    parser.add_argument("--no-migrate", action="store_true", help="leave the database alone")
    parser.add_argument("--no-static", action="store_true", help="leave the static files alone")
    options = parser.parse_args(arguments)
    folder = pathlib.Path.cwd()
    settings = os.environ.get("DJANGO_SETTINGS_MODULE") or project.django_settings(folder)
    if not settings:
        say("no Django project here: nothing to do")
        return 0
    os.environ["DJANGO_SETTINGS_MODULE"] = settings
    missing = export_files()
    if missing:
        print(f"monodon-worker release: the application needs {', '.join(missing)} in its environment", file=sys.stderr)
        return 2
    importer.prepare_path([])
    try:
        import django

        django.setup()
    except Exception as error:
        print(importer.explain(error), file=sys.stderr)
        print(f"monodon-worker release: the project cannot be imported (settings {settings})", file=sys.stderr)
        return 3
    if not options.no_migrate:
        migrate()
    if not options.no_static:
        collect()
    return 0


def export_files() -> list[str]:
    """As the supervisor does: NAME from NAME_FILE for each required variable; what is missing comes back."""
    missing = []
    for name in filter(None, (name.strip() for name in os.environ.get("MONODON_WORKER_REQUIRED_ENV", "").split(","))):
        if os.environ.get(name):
            continue
        path = os.environ.get(f"{name}_FILE")
        if path:
            os.environ[name] = pathlib.Path(path).read_text().rstrip("\r\n")
        else:
            missing.append(name)
    return missing


def migrate() -> None:
    from django.apps import apps
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    if not settings.DATABASES or connection.vendor == "unknown":
        return say("migrations: no database is configured")
    wait_for(connection)
    executor = MigrationExecutor(connection)
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    # Models of applications without migrations get their tables from the same command.
    bare = any(apps.get_app_config(label).models for label in executor.loader.unmigrated_apps)
    if not pending and not bare:
        return say("migrations: nothing to do")
    call_command("migrate", interactive=False, verbosity=1)


def wait_for(connection) -> None:
    from django.db import OperationalError

    deadline = time.monotonic() + (0 if connection.vendor == "sqlite" else PATIENCE)
    while True:
        try:
            return connection.ensure_connection()
        except OperationalError as error:
            if time.monotonic() >= deadline:
                raise
            say(f"the database does not answer yet: {str(error).strip().splitlines()[0]}")
            time.sleep(1)


def collect() -> None:
    from django.apps import apps
    from django.conf import settings
    from django.core.management import call_command

    if not apps.is_installed("django.contrib.staticfiles"):
        return say("static files: django.contrib.staticfiles is not installed")
    if not settings.STATIC_ROOT:
        # A fresh project has none; the image's folder for it is what the edge serves.
        settings.STATIC_ROOT = os.environ.get("STATIC_ROOT", "/srv/static")
    root = pathlib.Path(settings.STATIC_ROOT)
    if not os.access(root if root.exists() else root.parent, os.W_OK):
        return say(f"static files: {root} cannot be written to, so nothing is collected")
    call_command("collectstatic", interactive=False, clear=False, verbosity=1)


def say(words: str) -> None:
    print(words, flush=True)

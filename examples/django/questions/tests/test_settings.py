"""The production settings, imported afresh as a server would."""
import os
import subprocess
import sys
from unittest import TestCase


def load(expression, **environment):
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [sys.executable, "-c", f"from board.settings import prod; print({expression})"],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
    )


class Production(TestCase):
    def test_what_is_missing_is_named(self):
        done = load("1", SECRET_KEY="")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("set SECRET_KEY (or the same with _FILE", done.stderr)

    def test_a_secret_may_come_from_a_file(self):
        done = load("prod.SECRET_KEY == open(__import__('os').environ['SECRET_KEY_FILE']).read()", SECRET_KEY_FILE=__file__)
        self.assertEqual(done.stdout.strip(), "True", done.stderr)

    def test_hosts_follow_the_domains_of_the_edge(self):
        done = load("prod.ALLOWED_HOSTS", SECRET_KEY="x", MONODON_DOMAINS="a.example,b.example")
        self.assertIn("'a.example', 'b.example', 'localhost'", done.stdout, done.stderr)

    def test_empty_variables_mean_the_default(self):
        done = load("prod.DATABASES['default']['ENGINE']", SECRET_KEY="x", DATABASE_URL="", CACHE_URL="")
        self.assertEqual(done.stdout.strip(), "django.db.backends.sqlite3", done.stderr)

    def test_postgresql_by_url(self):
        done = load("prod.DATABASES['default']['ENGINE']", SECRET_KEY="x", DATABASE_URL="postgres://u:p@db:5432/n")
        self.assertEqual(done.stdout.strip(), "django.db.backends.postgresql", done.stderr)

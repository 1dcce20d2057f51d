"""A guest book in one file: the smallest thing that is still a site. Serve it with `monodon-worker app:app`."""
import os
import sqlite3
from datetime import datetime, timezone
from pathlib import Path

from flask import Flask, abort, g, redirect, render_template, request, url_for

DATABASE = Path(os.environ.get("DATA_DIR", Path(__file__).parent / "var")) / "guestbook.sqlite3"
PAGE = 50

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 64 * 1024


def database():
    """One connection a request. WAL, so that readers do not wait for the writer."""
    if "database" not in g:
        DATABASE.parent.mkdir(parents=True, exist_ok=True)
        g.database = sqlite3.connect(DATABASE, timeout=10)
        g.database.row_factory = sqlite3.Row
        g.database.execute("PRAGMA journal_mode=WAL")
        g.database.execute("CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, name TEXT, words TEXT, at TEXT)")
    return g.database


@app.teardown_appcontext
def close(_error):
    connection = g.pop("database", None)
    if connection is not None:
        connection.close()


@app.get("/")
def entries():
    rows = database().execute("SELECT * FROM entry ORDER BY id DESC LIMIT ?", (PAGE,)).fetchall()
    return render_template("entries.html", entries=rows)


@app.post("/")
def sign():
    # A form of another site cannot set this header right: browsers say where a form comes from.
    origin = request.headers.get("Origin")
    if origin and origin.split("://", 1)[-1] != request.host:
        abort(403)
    name, words = request.form.get("name", "").strip()[:60], request.form.get("words", "").strip()[:1000]
    if not name or not words:
        abort(422)
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    with database() as connection:
        connection.execute("INSERT INTO entry (name, words, at) VALUES (?, ?, ?)", (name, words, at))
    return redirect(url_for("entries"), code=303)


@app.get("/healthz")
def healthz():
    database().execute("SELECT 1")
    return {"status": "pass"}

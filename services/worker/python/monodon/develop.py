"""`--reload`: tells the supervisor which files to watch, and shows why the application cannot be imported."""

import html
import os
import sys
import sysconfig
import threading
import time
import traceback

# A packet has to fit into the socket's buffer.
AT_A_TIME = 200
EVERY = 0.5


class Files:
    """The files of all modules that have been imported; each is told once."""

    def __init__(self, tell):
        self.tell = tell
        self.told: set[str] = set()
        paths = sysconfig.get_paths()
        self.libraries = tuple({os.path.join(paths[name], "") for name in ("stdlib", "platstdlib")})
        self.packages = tuple({os.path.join(paths[name], "") for name in ("purelib", "platlib")})

    def look(self, error: BaseException | None = None) -> None:
        found = {file for module in list(sys.modules.values()) if (file := _source(module))}
        if error is not None:
            found |= set(_of_error(error))
        fresh = sorted(file for file in found - self.told if self._wanted(file))
        self.told |= found
        for start in range(0, len(fresh), AT_A_TIME):
            self.tell(files=fresh[start : start + AT_A_TIME])

    def _wanted(self, file: str) -> bool:
        """The standard library does not change; packages that are installed do when one works on them."""
        return os.path.isabs(file) and (file.startswith(self.packages) or not file.startswith(self.libraries))

    def keep_looking(self) -> None:
        """Modules are imported later, too: by the first request, say."""

        def run():
            count = 0
            while True:
                if count != len(sys.modules):
                    count = len(sys.modules)
                    try:
                        self.look()
                    except OSError:
                        # The supervisor is gone.
                        return
                time.sleep(EVERY)

        threading.Thread(target=run, name="monodon-files", daemon=True).start()


def _source(module) -> str | None:
    file = getattr(module, "__file__", None)
    return file if isinstance(file, str) else None


def _of_error(error: BaseException):
    """A module that fails is not among those that were imported."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, SyntaxError) and error.filename:
            yield os.path.abspath(error.filename)
        for frame in traceback.extract_tb(error.__traceback__):
            yield os.path.abspath(frame.filename)
        error = error.__cause__ or error.__context__


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">{refresh}<title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;margin:3em auto;max-width:60em;padding:0 1em}}
pre{{background:#f4f4f4;padding:1em;overflow:auto;font-size:14px}}
@media(prefers-color-scheme:dark){{body{{background:#111;color:#ddd}}pre{{background:#222}}}}</style></head>
<body><h1>The application cannot be imported</h1><pre>{traceback}</pre>
<p>This page is shown because of <code>--reload</code>. Save the file when it is mended, and the application is here again.</p>
</body></html>
"""


def page(text: str):
    """A WSGI application that answers everything with the traceback."""
    title = html.escape(text.splitlines()[-1] if text else "error")

    def application(environ, start_response):
        if "html" in environ.get("HTTP_ACCEPT", ""):
            kind = "text/html; charset=utf-8"
            # Comes back by itself; not where that would send a form again.
            refresh = '<meta http-equiv="refresh" content="1">' if environ["REQUEST_METHOD"] == "GET" else ""
            body = PAGE.format(title=title, traceback=html.escape(text), refresh=refresh)
        else:
            kind, body = "text/plain; charset=utf-8", text + "\n"
        data = body.encode("utf-8", "replace")
        headers = [("Content-Type", kind), ("Content-Length", str(len(data))), ("Cache-Control", "no-store")]
        start_response("500 Internal Server Error", headers)
        return [data]

    return application

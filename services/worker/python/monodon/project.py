"""What there is to know of the project in a folder: framework, application, settings, requirements. Nothing of it is run."""

import ast
import dataclasses
import pathlib
import re

SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE['"]\s*(?:,|\]\s*=)\s*['"]([\w.]+)['"]""")
# Where Flask's own command, the tutorials and gunicorn's users put their application.
USUAL = ("wsgi.py", "app.py", "application.py", "main.py", "server.py", "run.py")


@dataclasses.dataclass
class Project:
    framework: str  # "django", "flask", "wsgi"
    app: str
    settings: str | None = None
    static_url: str = "/static/"
    media_url: str = "/media/"
    debug: bool = False


class Unknown(Exception):
    """The text says what was looked for and what to do."""


def find(folder: pathlib.Path) -> Project:
    if (folder / "manage.py").is_file():
        return _django(folder)
    for path in _candidates(folder):
        found = _wsgi(folder, path)
        if found:
            return found
    raise Unknown(
        f"no application was found in {folder}: neither manage.py nor one of {', '.join(USUAL)} with `app`, "
        "`application` or `create_app()`. Name it: monodon-worker init --app module:attribute"
    )


def django_settings(folder: pathlib.Path) -> str | None:
    """As manage.py names it."""
    match = SETTINGS.search(_read(folder / "manage.py"))
    return match.group(1) if match else None


def _django(folder: pathlib.Path) -> Project:
    managed = django_settings(folder)
    wsgi = sorted(path for path in folder.glob("*/wsgi.py") if not path.parent.name.startswith((".", "venv")))
    # The one beside the settings that manage.py names comes first.
    package = managed.split(".")[0] if managed else ""
    wsgi.sort(key=lambda path: path.parent.name != package)
    served = SETTINGS.search(_read(wsgi[0])) if wsgi else None
    settings = served.group(1) if served else managed
    if settings is None:
        raise Unknown("manage.py names no DJANGO_SETTINGS_MODULE; name the application: init --app mysite.wsgi:application")
    text = _settings_text(folder, settings)
    named = re.search(r"""^WSGI_APPLICATION\s*=\s*['"]([\w.]+)\.(\w+)['"]""", text, re.M)
    if named:
        app = f"{named.group(1)}:{named.group(2)}"
    elif wsgi:
        app = f"{wsgi[0].parent.name}.wsgi:application"
    else:
        raise Unknown("this Django project has no wsgi.py; name the application: init --app mysite.wsgi:application")
    return Project(
        "django",
        app,
        settings,
        _prefix(text, "STATIC_URL", "/static/"),
        _prefix(text, "MEDIA_URL", "/media/"),
        re.search(r"^DEBUG\s*=\s*True", text, re.M) is not None,
    )


def _settings_text(folder: pathlib.Path, settings: str) -> str:
    """The module's text, and that of its siblings where settings are split."""
    path = folder.joinpath(*settings.split("."))
    if path.with_suffix(".py").is_file():
        text = _read(path.with_suffix(".py"))
        split = path.parent.name == "settings"
        return text + ("\n" + "\n".join(_read(other) for other in sorted(path.parent.glob("*.py"))) if split else "")
    return _read(path / "__init__.py")


def _prefix(text: str, name: str, default: str) -> str:
    match = re.search(rf"""^{name}\s*=\s*['"]([^'"]+)['"]""", text, re.M)
    if not match or "://" in match.group(1) or not match.group(1).strip("/"):
        return default
    return "/" + match.group(1).strip("/") + "/"


def _candidates(folder: pathlib.Path):
    for name in USUAL:
        if (folder / name).is_file():
            yield folder / name
    skip = {"tests", "venv", "env", "node_modules"}
    for path in sorted(folder.glob("*/__init__.py")):
        if path.parent.name not in skip and not path.parent.name.startswith("."):
            yield path


def _wsgi(folder: pathlib.Path, path: pathlib.Path) -> Project | None:
    try:
        body = ast.parse(_read(path)).body
    except SyntaxError:
        return None
    names, factories = set(), set()
    for node in body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.FunctionDef):
            (factories if node.name in ("create_app", "make_app") else names).add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    text = _read(path)
    if re.search(r"\b(FastAPI|Starlette|Quart|Litestar)\(", text):
        raise Unknown(f"{path.name} is an ASGI application; this version of Monodon serves WSGI (Django, Flask, ...)")
    attribute = next((name for name in ("application", "app") if name in names), None)
    if attribute is None and factories:
        attribute = f"{sorted(factories)[0]}()"
    if attribute is None:
        return None
    module = ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
    return Project("flask" if "flask" in text.lower() else "wsgi", f"{module}:{attribute}")


def _read(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

"""`monodon-worker init`: writes what a project needs to be served by `docker compose up`, beside what is there."""

import argparse
import importlib.metadata
import importlib.resources
import pathlib
import re
import sys

from monodon import __version__, project

USAGE = """Writes Dockerfile, compose.yaml, .env.example, .dockerignore and edge/edge.toml for the project in a folder, so
that `docker compose up` serves it. Nothing that is there is overwritten without --force."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="monodon-worker init", description=USAGE)
    parser.add_argument("folder", nargs="?", default=".", help="where the project is (default: here)")
    parser.add_argument("--app", help="the application, module:attribute, if it is not to be found out")
    parser.add_argument("--force", action="store_true", help="overwrite the files that are there")
    options = parser.parse_args(arguments)
    folder = pathlib.Path(options.folder).resolve()
    if not folder.is_dir():
        print(f"monodon-worker init: {folder} is no folder", file=sys.stderr)
        return 2
    try:
        found = project.find(folder)
    except project.Unknown as error:
        if not options.app:
            print(f"monodon-worker init: {error}", file=sys.stderr)
            return 1
        found = project.Project("wsgi", options.app)
    if options.app:
        found.app = options.app

    files = contents(folder, found)
    kept = [name for name in files if (folder / name).exists()] if not options.force else []
    # What is asked for by no name (pip's list, our settings) is the user's own once it is there.
    for name in ("requirements.txt", "container_settings.py", "edge/edge.toml"):
        if name in files and (folder / name).exists():
            kept = [*(other for other in kept if other != name), name]
    written = [name for name in files if name not in kept]
    for name in written:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(files[name], encoding="utf-8")
    report(folder, found, written, kept)
    blocked = [name for name in kept if name in ("Dockerfile", "compose.yaml")]
    return 1 if blocked and not written else 0


def contents(folder: pathlib.Path, found: project.Project) -> dict[str, str]:
    django = found.framework == "django"
    install, requirements = _install(folder, found)
    words = {
        "@APP@": found.app,
        "@NAME@": _name(folder, found),
        "@VERSION@": __version__,
        "@INSTALL@": install,
        "@SETTINGS@": found.settings or "",
        "@STATIC@": f"{found.static_url}=/srv/static,{found.media_url}=/srv/media" if django else "",
        "@STATIC_URL@": found.static_url,
        "@MEDIA_URL@": found.media_url,
    }

    def fill(template: str) -> str:
        text = importlib.resources.files("monodon").joinpath("templates", template).read_text(encoding="utf-8")
        # Lines that are for the one kind or the other are marked at their end.
        lines = []
        for line in text.splitlines():
            mark = re.search(r"\s*#@(django|other)$", line)
            if mark and (mark.group(1) == "django") != django:
                continue
            lines.append(line[: mark.start()] if mark else line)
        text = "\n".join(lines) + "\n"
        for key, value in words.items():
            text = text.replace(key, value)
        return text

    files = {
        "Dockerfile": fill("Dockerfile"),
        "compose.yaml": fill("compose.yaml"),
        ".env.example": fill("env.example"),
        ".dockerignore": fill("dockerignore"),
        "edge/edge.toml": fill("edge.toml"),
    }
    if requirements:
        files["requirements.txt"] = requirements
    if django:
        files["container_settings.py"] = fill("container_settings.py")
    return files


def _install(folder: pathlib.Path, found: project.Project) -> tuple[str, str | None]:
    """The Dockerfile's lines that install what the project needs, and a list of it where the project has none."""
    run = "RUN --mount=type=secret,id=extra_ca,uid=65532 pip install"
    for name in ("requirements.txt", "requirements/production.txt", "requirements/prod.txt", "requirements/base.txt"):
        if (folder / name).is_file():
            place = "./" if "/" not in name else "requirements/"
            return f"COPY {name if place == './' else 'requirements/'} {place}\n{run} -r {name}", None
    pyproject = folder / "pyproject.toml"
    if pyproject.is_file() and re.search(r"^\[project\]", pyproject.read_text(encoding="utf-8"), re.M):
        listed = "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb')); print(*p['project'].get('dependencies', []), sep=chr(10))"
        mount, install = run.split(" pip ")
        return (
            f'COPY pyproject.toml ./\n{mount} \\\n    python3 -c "{listed}" > /tmp/requirements.txt \\\n'
            f" && pip {install} -r /tmp/requirements.txt"
        ), None
    needed = {"django": "Django", "flask": "Flask"}.get(found.framework)
    if needed is None:
        return "# The project names no requirements; list them in requirements.txt and install them here.", None
    try:
        needed += f"~={importlib.metadata.version(needed)}"
    except importlib.metadata.PackageNotFoundError:
        pass
    return f"COPY requirements.txt ./\n{run} -r requirements.txt", needed + "\n"


def _name(folder: pathlib.Path, found: project.Project) -> str:
    """A name that Compose takes. In the image the folder is /app for everybody, which names nothing."""
    name = folder.name
    if folder == pathlib.Path("/app") and found.framework == "django":
        name = found.app.partition(".")[0]
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_") or "site"


def report(folder: pathlib.Path, found: project.Project, written: list[str], kept: list[str]) -> None:
    kind = {"django": "a Django project", "flask": "a Flask application", "wsgi": "a WSGI application"}[found.framework]
    print(f"{kind}: {found.app}" + (f", settings {found.settings}" if found.settings else ""))
    for name in written:
        print(f"  wrote  {name}")
    for name in kept:
        own = name in ("requirements.txt", "container_settings.py")
        print(f"  kept   {name}" + ("" if own else " (it was there; --force overwrites it)"))
    if found.debug:
        print(
            "DEBUG is on in the settings: good for a first look on this machine. Before anybody else sees the site, put\n"
            "DEBUG=false into .env."
        )
    print("Next:\n  docker compose up --build --detach --wait\nand open https://localhost (ports and domain: see .env.example).")
    if found.framework == "django":
        print("An administrator:\n  docker compose exec worker python manage.py createsuperuser")

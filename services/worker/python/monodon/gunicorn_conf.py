"""gunicorn's configuration file: Python that is executed, and whose variables are the settings.

The supervisor runs no Python of the user's, so it has this module executed in a process that ends at once
(`python -m monodon.gunicorn_conf LOCATION NAMES`) and prints the settings as JSON. The zygote executes the file again,
for its hooks: `load(location)`. A location is a path, `file:PATH` or `python:MODULE`.
"""

import ast
import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import os
import pathlib
import sys
import types

from monodon import importer

# Each hook, and how many arguments gunicorn gives it.
HOOKS = {
    "on_starting": 1,
    "on_reload": 1,
    "when_ready": 1,
    "pre_fork": 2,
    "post_fork": 2,
    "post_worker_init": 1,
    "worker_int": 1,
    "worker_abort": 1,
    "pre_exec": 1,
    "pre_request": 2,
    "post_request": 4,
    "child_exit": 2,
    "worker_exit": 2,
    "nworkers_changed": 3,
    "on_exit": 1,
}
# What is handed over as an object of Python's, and read again by the process that uses it.
OBJECTS = ("logconfig_dict",)

_loaded: dict[str, dict] = {}


class Wrong(Exception):
    """A value that cannot be what it stands for; the text says why."""


def load(location: str) -> dict:
    """The variables of the configuration, executed once in each process. Whatever it raises comes through."""
    if location not in _loaded:
        _loaded[location] = _execute(location)
    return _loaded[location]


def hook(namespace: dict, name: str):
    """The function for a server hook, or None; it may be written as `"module.function"`."""
    found = namespace.get(name)
    if found is None:
        return None
    if isinstance(found, str):
        module, _, attribute = found.rpartition(".")
        if not module:
            raise Wrong(f'expected a function or "module.function", got {found!r}')
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise Wrong(f"{found!r} cannot be imported: {error}") from None
    if not callable(found):
        raise Wrong(f"expected a function, got {found!r}")
    wanted = (2, 3, 4) if name == "post_request" else (HOOKS[name],)
    if not any(_takes(found, count) for count in wanted):
        raise Wrong(f"expected a function of {' or '.join(map(str, wanted))} arguments, as gunicorn calls it")
    return found


def _takes(function, count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:
        # Built in, and says nothing of itself.
        return True
    return True


def _execute(location: str) -> dict:
    if location.startswith("python:"):
        return vars(importlib.import_module(location.removeprefix("python:")))
    path = os.path.abspath(location.removeprefix("file:"))
    # The name that it has under gunicorn; no compiled file is left beside it.
    module = types.ModuleType("__config__")
    module.__file__ = path
    sys.modules["__config__"] = module
    if path.endswith(".pyc"):
        loader = importlib.machinery.SourcelessFileLoader("__config__", path)
        loader.exec_module(module)
    else:
        with open(path, "rb") as file:
            exec(compile(file.read(), path, "exec", dont_inherit=True), vars(module))
    return vars(module)


def _path(location: str) -> str:
    if not location.startswith("python:"):
        return os.path.abspath(location.removeprefix("file:"))
    name = location.removeprefix("python:")
    module = sys.modules.get(name)
    return getattr(module, "__file__", None) or name


def _lines(path: str) -> dict[str, int]:
    """Where each variable is bound for the last time, outside of functions."""
    try:
        tree = ast.parse(pathlib.Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    lines: dict[str, int] = {}
    rest: list[ast.AST] = [tree]
    while rest:
        node = rest.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names, inner = [node.name], []
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names, inner = [(alias.asname or alias.name).partition(".")[0] for alias in node.names], []
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names, inner = [node.id], []
        elif isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            names, inner = [], []
        else:
            names, inner = [], list(ast.iter_child_nodes(node))
        for name in names:
            lines[name] = max(node.lineno, lines.get(name, 0))
        rest.extend(inner)
    return lines


def _told(name: str, value):
    """A value as JSON can say it."""
    if name in HOOKS:
        return {"hook": hook({name: value}, name) is not None}
    if name in OBJECTS and isinstance(value, dict):
        return {"object": True}
    if inspect.isroutine(value) and name.endswith("_class"):
        value = value()
    if inspect.isclass(value):
        return {"value": f"{value.__module__}.{value.__qualname__}"}
    if callable(value):
        return {"hook": True}
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    try:
        return {"value": json.loads(json.dumps(value, default=_plain))}
    except (TypeError, ValueError):
        raise Wrong(f"expected a plain value, got {type(value).__name__}") from None


def _plain(value):
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError


def _answer(location: str, known: set[str]) -> dict:
    path = _path(location)
    try:
        namespace = load(location)
    except BaseException as error:
        return {"path": _path(location), **_failure(location, error)}
    path = _path(location)
    lines = _lines(path)
    settings, unknown = [], []
    for name, value in namespace.items():
        line = lines.get(name, 0)
        if name in known or name in HOOKS:
            try:
                if value is not None:
                    settings.append({"name": name, "line": line, **_told(name, value)})
            except Wrong as wrong:
                settings.append({"name": name, "line": line, "wrong": str(wrong)})
        elif line and not name.startswith("_") and not isinstance(value, types.ModuleType):
            unknown.append({"name": name, "line": line, "plain": not callable(value)})
    return {"path": path, "settings": settings, "unknown": unknown}


def _failure(location: str, error: BaseException) -> dict:
    path = _path(location)
    if isinstance(error, SystemExit):
        said = f"it called sys.exit({error.code!r})"
    else:
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    line = 0
    if isinstance(error, SyntaxError) and error.filename == path:
        line = error.lineno or 0
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == path:
            line = step.tb_lineno
        step = step.tb_next
    return {"failed": said.splitlines()[0], "line": line, "traceback": importer.explain(error)}


def main() -> int:
    location, names = sys.argv[1:]
    # What the file prints is for people; the answer has a way of its own.
    # The listening sockets and what else a running supervisor has open are not for it.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    with os.fdopen(os.dup(1), "w") as answer:
        os.dup2(2, 1)
        sys.argv = ["monodon-worker"]
        # As under gunicorn, what lies in the folder can be imported.
        sys.path.insert(0, os.getcwd())
        told = json.dumps(_answer(location, set(names.split(","))))
        sys.stdout.flush()
        answer.write(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())

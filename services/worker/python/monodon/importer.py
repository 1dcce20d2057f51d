"""Finds the application that `module:attribute` names, and says plainly why it cannot."""

import ast
import importlib
import os
import re
import sys
import traceback


class NotFound(Exception):
    """The text says all; a traceback would add nothing."""


def prepare_path(pythonpath: list[str], started_in: str | None = None) -> None:
    """The current folder comes first, as under gunicorn and `manage.py`, then what `pythonpath` adds before it. With
    `chdir` the folder that the worker was started in stays behind it, as under gunicorn."""
    here = os.getcwd()
    for folder in [started_in or here, here, *reversed(pythonpath)]:
        folder = os.path.abspath(folder)
        if folder in sys.path:
            sys.path.remove(folder)
        sys.path.insert(0, folder)


def load_as(config: dict):
    """The application as the worker's configuration names it."""
    target = config["app"]
    if target.startswith("paste:"):
        return _paste(target.removeprefix("paste:"), config["gunicorn"]["raw_paste_global_conf"])
    return load(target)


def _paste(location: str, pairs: list[str]):
    """What a PasteDeploy file describes: `/srv/production.ini`, `/srv/production.ini#name`."""
    try:
        from paste.deploy import loadapp
    except ModuleNotFoundError:
        raise NotFound(f"{location} needs PasteDeploy, which is not installed: pip install PasteDeploy") from None
    split = [re.split(r"(?<!\\)=", pair, maxsplit=1) for pair in pairs]
    variables = {name.replace("\\=", "="): value.replace("\\=", "=") for name, value in split}
    return loadapp("config:" + location, global_conf=variables)


def load(target: str):
    """`mysite.wsgi`, `mysite.wsgi:application`, `shop:create_app()`, `shop:create_app("prod", debug=False)`."""
    module_name, _, attribute = target.partition(":")
    attribute = attribute or "application"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name != missing and not module_name.startswith(missing + "."):
            raise
        raise NotFound(
            f"no module named {missing!r} (for the application {target!r}); looked in {os.getcwd()} and "
            f"{sum(1 for folder in sys.path if folder) - 1} more folders of sys.path. "
            "Is --chdir or --pythonpath right, and is the project's folder there?"
        ) from None
    name, arguments, keywords = _call(target, attribute)
    found = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            known = [key for key, value in vars(module).items() if callable(value) and key in ("app", "application")]
            hint = f"; it does have {module_name}:{known[0]}" if known else ""
            raise NotFound(f"module {module_name!r} has no attribute {name!r}{hint}") from None
    if arguments is not None:
        found = found(*arguments, **keywords)
    if not callable(found):
        raise NotFound(f"{target!r} is {type(found).__name__}, which cannot be called: it is no WSGI application")
    return found


def _call(target: str, attribute: str):
    """Takes `create_app("x", y=1)` apart; only literals are allowed, nothing is evaluated."""
    try:
        expression = ast.parse(attribute, mode="eval").body
        if not isinstance(expression, ast.Call):
            return attribute, None, {}
        arguments = [ast.literal_eval(node) for node in expression.args]
        keywords = {keyword.arg: ast.literal_eval(keyword.value) for keyword in expression.keywords}
        return ast.unparse(expression.func), arguments, keywords
    except (SyntaxError, ValueError):
        raise NotFound(f"{target!r} is not module:attribute or module:factory(literals)") from None


def explain(error: BaseException) -> str:
    """The traceback from the first line that is not ours on."""
    if isinstance(error, NotFound):
        return str(error)
    if isinstance(error, SystemExit):
        return f"the application called sys.exit({error.code!r}) while it was imported"
    step = error.__traceback__
    while step is not None and _ours(step.tb_frame.f_code.co_filename):
        step = step.tb_next
    return "".join(traceback.format_exception(type(error), error, step or error.__traceback__)).rstrip()


def _ours(filename: str) -> bool:
    return (
        filename.startswith(os.path.dirname(os.path.abspath(__file__)))
        or filename == importlib.__file__
        or filename.startswith("<frozen importlib")
    )

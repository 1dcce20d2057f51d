"""What `ps` shows for a process, in gunicorn's way."""

from monodon import _monodon


def set(setup: dict, role: str) -> None:
    """`monodon: worker 0 [shop]`"""
    config = setup["config"]
    _monodon.set_title(f"monodon: {role} [{config['mechanics']['proc_name'] or config['app']}]")

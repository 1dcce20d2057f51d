"""Development: `python manage.py runserver`, nothing to set."""
from .base import *  # noqa: F403
from .base import BASE_DIR

DEBUG = True
SECRET_KEY = "only-for-development"
ALLOWED_HOSTS = ["*"]
(BASE_DIR / "var").mkdir(exist_ok=True)

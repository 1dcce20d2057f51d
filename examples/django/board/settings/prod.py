"""Production. What must be set is checked first and named all at once."""
import os

from django.core.exceptions import ImproperlyConfigured

from .base import *  # noqa: F403
from .base import env

REQUIRED = ["SECRET_KEY"]
_missing = [name for name in REQUIRED if name not in os.environ and f"{name}_FILE" not in os.environ]
if _missing:
    raise ImproperlyConfigured(f"set {', '.join(_missing)} (or the same with _FILE, naming a file that holds the value)")

DEBUG = False
SECRET_KEY = env("SECRET_KEY")
# The domains that the edge serves, and this machine's own names.
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=env.list("MONODON_DOMAINS", default=[])) + [
    "localhost",
    ".localhost",
    "127.0.0.1",
    "[::1]",
]

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}

# The site is served over HTTPS alone; the edge redirects, and sends HSTS where the certificate is public.
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SILENCED_SYSTEM_CHECKS = ["security.W004", "security.W008"]

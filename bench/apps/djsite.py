"""A Django site in one file with the stock middleware, sessions, auth and SQLite: `/hello` is a plain page, `/db` lists users.

`python djsite.py` creates and fills its database (BENCH_DB, by default in the temporary folder).
"""

import os
import tempfile

import django
from django.conf import settings

DATABASE = os.environ.get("BENCH_DB", os.path.join(tempfile.gettempdir(), "monodon-bench.sqlite3"))
settings.configure(
    SECRET_KEY="bench" * 10,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.template import Context, Engine  # noqa: E402
from django.urls import path  # noqa: E402

LIST = Engine().from_string("<ul>{% for user in users %}<li>{{ user.username }}</li>{% endfor %}</ul>")


def hello(request):
    return HttpResponse("Hello, World!", content_type="text/plain")


def db(request):
    return HttpResponse(LIST.render(Context({"users": User.objects.all()[:20]})))


urlpatterns = [path("hello", hello), path("db", db)]
wsgi = get_wsgi_application()

if __name__ == "__main__":
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    for number in range(50):
        User.objects.get_or_create(username=f"user{number}")

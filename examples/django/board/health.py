"""Does the site work: the database answers, and what is put into the cache comes back."""
import secrets

from django.core.cache import cache
from django.db import connection
from django.http import JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


def _database():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()


def _cache():
    key, value = f"healthz-{secrets.token_hex(4)}", secrets.token_hex(8)
    cache.set(key, value, timeout=10)
    if cache.get(key) != value:
        raise RuntimeError("the cache did not give back what was put in")
    cache.delete(key)


@never_cache
@require_safe
def healthz(request):
    checks = {}
    for name, check in (("database", _database), ("cache", _cache)):
        try:
            check()
            checks[name] = "pass"
        except Exception as error:  # whatever is wrong with it is the answer to the question
            checks[name] = f"fail: {type(error).__name__}"
    healthy = all(result == "pass" for result in checks.values())
    return JsonResponse({"status": "pass" if healthy else "fail", "checks": checks}, status=200 if healthy else 503)

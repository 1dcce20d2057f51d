"""The WSGI application: what monodon-worker runs as board.wsgi:application."""
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "board.settings.prod")
application = get_wsgi_application()

from django.conf import settings
from django.conf.urls.static import static
from django.contrib import admin
from django.urls import include, path

from . import health

urlpatterns = [
    path("", include("questions.urls")),
    path("accounts/", include("django.contrib.auth.urls")),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz, name="healthz"),
]

# In production the edge serves uploads; this adds something under DEBUG only.
urlpatterns += static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT)

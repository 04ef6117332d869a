"""The site's views: those of the example, Django's own sign-in, and the page with its state."""

from __future__ import annotations

import importlib.util
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import path
from django.utils import timezone

from tests.e2e.django_site.templates import EXAMPLES, static_files

if TYPE_CHECKING:
    from django.http import HttpRequest

spec = importlib.util.spec_from_file_location("django_views", EXAMPLES / "django_views.py")
assert spec is not None
assert spec.loader is not None
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)
example.SECONDS = settings.PUSH_SECONDS

STATIC = static_files(settings.PUSH_URL)


def home(request: HttpRequest) -> HttpResponse:
    return render(request, "home.html")


def jobs(request: HttpRequest) -> HttpResponse:
    return JsonResponse([], safe=False)


def end_in(request: HttpRequest, seconds: int) -> HttpResponse:
    """Give the session a fixed end."""
    request.session.set_expiry(timezone.now() + timedelta(seconds=seconds))
    return HttpResponse()


@login_not_required
def static(request: HttpRequest) -> HttpResponse:
    kind, text = STATIC[request.path]
    return HttpResponse(text, content_type=kind)


urlpatterns = [
    path("", home),
    path("my/jobs", jobs),
    path("end-in/<int:seconds>", end_in),
    path("accounts/login/", LoginView.as_view()),
    path("push/user", example.push_user),
    path("sign-out", example.SignOut.as_view()),
    *(path(name.removeprefix("/"), static) for name in STATIC),
]

"""Views for a Django site whose session cookie opens streams. They need PUSH_ADMIN_URL in the site's settings.

path("push/user", push_user)
path("sign-out", SignOut.as_view(), name="logout")
"""

import logging

import requests
from django.conf import settings
from django.contrib.auth.decorators import login_not_required  # since Django 5.1: leave it out before
from django.contrib.auth.views import LogoutView
from django.db import transaction
from django.http import JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

log = logging.getLogger(__name__)

SECONDS = 900  # a stream ends after this time, and its page comes back: then the push service asks again


@login_not_required
@require_safe
@never_cache
def push_user(request):
    """Say who is signed in: to the push service (SSE_AUTHORIZER_URL), and to the page (session.js)."""
    # The time that is left, if the session has a fixed end. If it has none, this is the session's whole length.
    seconds = min(SECONDS, request.session.get_expiry_age())
    if not request.user.is_authenticated or seconds <= 0:
        # Never a redirect to the login page: the push service does not follow it, and does not take it for a no.
        return JsonResponse({}, status=401)
    groups = list(request.user.groups.values_list("name", flat=True))
    return JsonResponse({"user": str(request.user.pk), "groups": groups, "expires_in": seconds})


class SignOut(LogoutView):
    """Django's own view. It also ends the user's streams."""

    def post(self, request, *args, **kwargs):
        user = request.user.pk
        answer = super().post(request, *args, **kwargs)
        if user is not None:
            # After the commit. A page comes back as soon as its stream ends, and the session must be gone by then.
            transaction.on_commit(lambda: revoke(user))
        return answer


def revoke(user):
    """End the streams of a user on all devices. Those that are still signed in come back and get a new stream."""
    try:
        requests.post(f"{settings.PUSH_ADMIN_URL}/revoke", json={"user": str(user)}, timeout=2).raise_for_status()
    except requests.RequestException as error:
        log.warning("the streams of user %s could not be ended: they end within %d s (%s)", user, SECONDS, error)

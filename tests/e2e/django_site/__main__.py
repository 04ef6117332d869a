"""Runs the site: ``python -m tests.e2e.django_site DIRECTORY PORT PUSH_URL ADMIN_URL SECONDS``.

DIRECTORY is for the database, PUSH_URL and ADMIN_URL are the push service's two ports, and SECONDS is the longest
``expires_in``. The users are ann (1, in the group ops) and bob (2). The password of each is the name.
"""

from __future__ import annotations

import sys

import django
from django.conf import settings
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application

from tests.e2e.django_site.templates import TEMPLATES

DIRECTORY, PORT, PUSH_URL, ADMIN_URL, SECONDS = sys.argv[1:]

settings.configure(
    SECRET_KEY="a-secret-of-the-tests",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF="tests.e2e.django_site.urls",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{DIRECTORY}/db.sqlite3"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", TEMPLATES)]},
        }
    ],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    LOGIN_REDIRECT_URL="/",
    LOGOUT_REDIRECT_URL="/",
    USE_TZ=True,
    PUSH_URL=PUSH_URL,
    PUSH_ADMIN_URL=ADMIN_URL,
    PUSH_SECONDS=int(SECONDS),
)
django.setup()

from django.contrib.auth.models import Group, User  # noqa: E402  models exist only after setup()

call_command("migrate", verbosity=0)
if not User.objects.exists():
    User.objects.create_user("ann", password="ann").groups.add(Group.objects.create(name="ops"))
    User.objects.create_user("bob", password="bob")

server = ThreadedWSGIServer(("127.0.0.1", int(PORT)), WSGIRequestHandler)
server.daemon_threads = True
server.set_app(get_wsgi_application())
print(f"serving on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()

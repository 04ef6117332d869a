"""Runs programs in network namespaces, which end with the programs and need no clean-up."""

from __future__ import annotations

import shutil
import subprocess
import sys

HOW = (
    "this test needs network namespaces: `ip` (apt-get install iproute2), `unshare` and `nsenter` (apt-get install "
    "util-linux), and the right to create them: as root with CAP_SYS_ADMIN and CAP_NET_ADMIN, or as any user if user "
    "namespaces are allowed (sysctl user.max_user_namespaces, and kernel.apparmor_restrict_unprivileged_userns=0)"
)

# The first needs no privilege.
_WAYS = (("unshare", "--user", "--map-root-user", "--net"), ("unshare", "--net"))


class NotAllowedError(Exception):
    """No namespace can be created here. The message says what to do."""


def inside(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a test module in a new namespace, in which it may create further namespaces."""
    if missing := [name for name in ("ip", "unshare", "nsenter") if shutil.which(name) is None]:
        raise NotAllowedError(f"{', '.join(missing)} not found: {HOW}")
    said = []
    for way in _WAYS:
        tried = subprocess.run(
            [*way, "ip", "link", "add", "near", "type", "veth", "peer", "name", "far"], capture_output=True, text=True
        )
        if tried.returncode == 0:
            return [*way, *python(module, *arguments)]
        said.append(f"{' '.join(way)}: {tried.stderr.strip()}")
    raise NotAllowedError(f"{'; '.join(said)}. {HOW}")


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def ip(*arguments: str, of: int | None = None) -> None:
    """Change the network of this namespace, or of another process."""
    there = [] if of is None else ["nsenter", "--target", str(of), "--net"]
    subprocess.run([*there, "ip", *arguments], check=True)

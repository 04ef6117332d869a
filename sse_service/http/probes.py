"""``/healthz`` and ``/readyz``."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from starlette.requests import Request

    from sse_service.telemetry.health import Health


class Probes:
    """Answers health checks of load balancers, containers and deploy scripts."""

    def __init__(self, *, health: Health) -> None:
        self._health = health

    async def healthz(self, request: Request) -> Response:
        """Tell the load balancer whether to send requests to this task."""
        if not _on_this_machine(request):
            self._health.note_probe()
        if self._health.draining:
            return JSONResponse({"status": "draining"}, 503, headers={"Connection": "close"})
        healthy = self._health.healthy()
        return JSONResponse({"status": "ok" if healthy else "starting"}, 200 if healthy else 503)

    async def readyz(self, _: Request) -> Response:
        """List the dependencies by name: ``ok``, perhaps with a note, or what is wrong."""
        ready = self._health.ready()
        states = dict.fromkeys(troubles := self._health.troubles(), "ok")
        states |= {name: f"ok: {note}" for name, note in self._health.notes().items()}
        states |= {name: f"unavailable: {trouble}" for name, trouble in troubles.items() if trouble}
        status = "draining" if self._health.draining else "ready" if ready else "unready"
        return JSONResponse({"status": status, "dependencies": states}, 200 if ready else 503)


def _on_this_machine(request: Request) -> bool:
    """Whether the container's own health check asks, or somebody beside it. A load balancer has another address."""
    if request.client is None:
        return False
    try:
        address = ip_address(request.client.host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback

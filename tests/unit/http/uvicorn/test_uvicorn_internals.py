"""The internals of uvicorn that this package uses. If a release changes one, the test named after it fails."""

from __future__ import annotations

import ast
import asyncio
import inspect
from pathlib import Path

import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import HANDLED_SIGNALS, Server, ServerState

from sse_service.http import uvicorn as package
from sse_service.http.uvicorn.flow_control import LeanFlowControl
from sse_service.http.uvicorn.protocol import HTTPProtocol
from sse_service.http.uvicorn.request_reader import RequestReader

PROTOCOL_METHODS = {
    "_start_asgi_task": ["cycle", "app"],
    "_unset_keepalive_if_required": [],
    "connection_lost": ["exc"],
    "connection_made": ["transport"],
    "data_received": ["data"],
    "on_body": ["body"],
    "on_header": ["name", "value"],
    "on_headers_complete": [],
    "on_message_begin": [],
    "on_message_complete": [],
    "on_response_complete": [],
    "on_url": ["url"],
    "pause_writing": [],
    "resume_writing": [],
    "send_400_response": ["msg"],
    "shutdown": [],
    "timeout_keep_alive_handler": [],
}
"""Methods of the protocol that are overridden or called, with their parameters."""

PROTOCOL_ATTRIBUTES = {
    *("client", "connections", "cycle", "flow", "headers", "loop", "parser", "pipeline", "scheme", "scope", "server"),
    *("timeout_keep_alive", "timeout_keep_alive_task", "transport"),
}
CYCLE_ATTRIBUTES = {
    *("body", "chunked_encoding", "disconnected", "keep_alive", "message_event", "more_body", "on_response"),
    *("response_complete", "response_started", "scope"),
}
FLOW_ATTRIBUTES = {
    *("_transport", "drain", "pause_reading", "pause_writing", "read_paused", "resume_reading", "resume_writing"),
    "write_paused",
}
SERVER_METHODS = {
    "capture_signals": [],
    "handle_exit": ["sig", "frame"],
    "serve": ["sockets"],
    "shutdown": ["sockets"],
    "startup": ["sockets"],
}
SERVER_ATTRIBUTES = {"server_state", "should_exit"}


async def unused_app(scope: object, receive: object, send: object) -> None:
    """An app that never gets a request."""


@pytest.fixture
def protocol() -> HttpToolsProtocol:
    config = uvicorn.Config(unused_app, log_config=None)
    loop = asyncio.new_event_loop()
    made = HttpToolsProtocol(config, ServerState(), {}, _loop=loop)
    loop.close()
    return made


def parameters(owner: type, name: str) -> list[str]:
    """Read the parameters from the source, because sse-starlette replaces ``Server.handle_exit`` at run time."""
    (tree,) = ast.parse(inspect.getsource(owner)).body
    assert isinstance(tree, ast.ClassDef)
    methods = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = {node.name: node.args for node in methods}
    return [argument.arg for argument in found[name].args][1:]


@pytest.mark.parametrize(("name", "expected"), PROTOCOL_METHODS.items(), ids=PROTOCOL_METHODS.keys())
def test_the_protocol_has_the_method_with_these_parameters(name: str, expected: list[str]) -> None:
    assert parameters(HttpToolsProtocol, name) == expected


@pytest.mark.parametrize("name", sorted(PROTOCOL_ATTRIBUTES))
def test_the_protocol_has_the_attribute(protocol: HttpToolsProtocol, name: str) -> None:
    assert hasattr(protocol, name)


@pytest.mark.parametrize("name", sorted(CYCLE_ATTRIBUTES))
def test_the_response_cycle_has_the_attribute(name: str) -> None:
    tree = ast.parse(inspect.cleandoc(inspect.getsource(RequestResponseCycle.__init__)))
    assert name in attributes_of("self", tree)


@pytest.mark.parametrize("name", sorted(FLOW_ATTRIBUTES))
def test_the_flow_control_has_the_attribute(name: str) -> None:
    assert name in {*vars(FlowControl), *attributes_of("self", ast.parse(inspect.getsource(FlowControl)))}


@pytest.mark.parametrize(("name", "expected"), SERVER_METHODS.items(), ids=SERVER_METHODS.keys())
def test_the_server_has_the_method_with_these_parameters(name: str, expected: list[str]) -> None:
    assert parameters(Server, name) == expected


@pytest.mark.parametrize("name", sorted(SERVER_ATTRIBUTES))
def test_the_server_has_the_attribute(name: str) -> None:
    assert hasattr(Server(uvicorn.Config(unused_app, log_config=None)), name)


def test_the_list_of_handled_signals_is_not_empty() -> None:
    assert HANDLED_SIGNALS


def test_the_lists_name_everything_that_is_used_of_uvicorn() -> None:
    """The lists above contain every name that the package uses and does not define itself."""
    source = "".join(path.read_text() for path in sorted(Path(package.__path__[0]).glob("*.py")))
    for each in (RequestReader, HTTPProtocol):
        tree = ast.parse(Path(inspect.getfile(each)).read_text())
        defined = {name for ours in (RequestReader, HTTPProtocol) for name in (*ours.__slots__, *vars(ours))}
        overridden = {name for name in vars(each) if name in vars(HttpToolsProtocol) and not name.startswith("__")}
        used = attributes_of("self", tree) - (defined - vars(HttpToolsProtocol).keys())
        assert overridden <= PROTOCOL_METHODS.keys()
        assert used <= PROTOCOL_METHODS.keys() | PROTOCOL_ATTRIBUTES
    cycles = attributes_of("cycle", ast.parse(source)) | attributes_of("running", ast.parse(source))
    assert cycles <= CYCLE_ATTRIBUTES


def test_the_flow_control_replaces_everything_that_uses_the_event() -> None:
    """``__init__`` and three methods of uvicorn's use the Event, and ours has them all."""
    (tree,) = ast.parse(inspect.getsource(FlowControl)).body
    assert isinstance(tree, ast.ClassDef)
    methods = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    uses = {method.name for method in methods if "_is_writable_event" in attributes_of("self", method)}
    assert uses <= vars(LeanFlowControl).keys()
    ours = attributes_of("self", ast.parse(inspect.getsource(LeanFlowControl)))
    assert ours - {"_writable"} <= FLOW_ATTRIBUTES


def attributes_of(owner: str, tree: ast.AST) -> set[str]:
    """Return the attributes that a source uses as ``owner.x``, ``self.owner.x`` or ``self._owner.x``."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            value = node.value
            name = value.id if isinstance(value, ast.Name) else value.attr if isinstance(value, ast.Attribute) else ""
            if name.lstrip("_") == owner:
                found.add(node.attr)
    return found

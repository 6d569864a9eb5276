"""What libraries import and a daemon never uses.

A daemon that runs for months shall not carry what only others need: uvicorn takes its command line and logging's file
formats along, structlog takes rich for tracebacks that the agent writes plainly, prometheus_client three web servers
and a client of its own, APScheduler pools of processes, and most of them the list of installed packages. Without all
that a daemon is 3 MiB smaller and starts faster.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

_NEVER_USED: Mapping[str, Mapping[str, object] | None] = {
    "concurrent.futures.process": {},
    "configparser": {},
    "http.server": {},
    "importlib.metadata": {
        "entry_points": lambda **_: {},  # no plugins
        "version": lambda _: "0",
        "PackageNotFoundError": ImportError,
    },
    "logging.config": {},
    "multiprocessing": {},
    "rich": None,
    "socketserver": {},
    "sqlalchemy.dialects.sqlite.aiosqlite": {},
    "urllib.error": {},
    "urllib.request": {},
    "uvicorn.main": {},
    "wsgiref.simple_server": {},
}

_LIBRARIES = (
    "apscheduler.schedulers.asyncio",
    "prometheus_client",
    "sqlalchemy.dialects.sqlite",
    "structlog",
    "uvicorn",
)


def load_libraries() -> None:
    """Import the large libraries without what a daemon never uses. What is left out can be imported afterwards as
    ever, by whoever needs it."""
    with _stood_in():
        for name in _LIBRARIES:
            import_module(name)
        import_module("pydantic").TypeAdapter(int)  # looks for plugins, once


class _Empty(ModuleType):
    """A module that has whatever name is imported from it: an empty class, to be inherited from or never called."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


@contextmanager
def _stood_in() -> Iterator[None]:
    absent = {name: names for name, names in _NEVER_USED.items() if name not in sys.modules}
    for name, names in absent.items():
        if names is None:
            sys.modules[name] = None  # type: ignore[assignment]  # which import answers with ImportError
        else:
            sys.modules[name] = module = _Empty(name)
            vars(module).update(names)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]

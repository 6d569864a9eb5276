"""Libraries without what a daemon never uses, which is there for whoever asks for it afterwards."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

LEFT_OUT = "import sys; from agent.left_out import _NEVER_USED, load_libraries; load_libraries()"


def said(code: str) -> str:
    argv = [sys.executable, "-W", "error", "-c", f"{LEFT_OUT}; {code}"]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_nothing_of_it_is_loaded_with_the_libraries() -> None:
    assert said("print(sorted(sys.modules.keys() & _NEVER_USED.keys()))") == "[]"


def test_every_module_that_was_left_out_can_be_imported_afterwards() -> None:
    code = (
        "from importlib import import_module\n"
        "made = {name: import_module(name) for name in _NEVER_USED if not name.endswith('aiosqlite')}\n"
        "print(all(module.__file__ for module in made.values()))\n"
        "print(made['importlib.metadata'].version('codeblue') == __import__('agent').__version__)\n"
        "print(made['multiprocessing'].Queue, made['http.server'].HTTPServer)"
    )
    everything, version, names = said("\n" + code).splitlines()
    assert (everything, version) == ("True", "True")
    assert "bound method" in names
    assert "http.server.HTTPServer" in names


def test_what_they_are_used_for_works_without_it() -> None:
    code = """
import asyncio
from datetime import timedelta
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from prometheus_client import CollectorRegistry, Counter, generate_latest
from pydantic import BaseModel
from sqlalchemy import create_engine, text
from agent.runtime.grid import Grid

class Model(BaseModel):
    number: int

async def fires() -> None:
    fired = asyncio.Event()
    scheduler = AsyncIOScheduler()
    async def job() -> None:
        fired.set()
    scheduler.add_job(job, Grid(timedelta(seconds=0.1)))
    scheduler.start()
    await asyncio.wait_for(fired.wait(), 20)
    scheduler.shutdown()

registry = CollectorRegistry()
Counter("things", "Things.", registry=registry).inc()
asyncio.run(fires())
with create_engine("sqlite://").connect() as connection:
    print(Model(number="3").number, connection.execute(text("SELECT 4")).scalar())
print(b"things_total 1.0" in generate_latest(registry))
"""
    assert said("\n" + code).split() == ["3", "4", "True"]

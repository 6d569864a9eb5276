"""The one thread that talks to the database, and group commit: what waits together is committed together."""

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from time import monotonic
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection

from agent.ports import StoreUnavailable, VersionConflict
from agent.stores.database import Database

T = TypeVar("T")
log = structlog.get_logger()

Answer = tuple["asyncio.Future[Any]", object]  # the error to raise, or the value
MOST_AT_ONCE = 500


@dataclass(slots=True)
class Job:
    """Work inside a transaction shared with others. It must do its compare-and-set first: a VersionConflict that it
    raises says that it has changed nothing."""

    work: Callable[[Connection], Any]
    future: "asyncio.Future[Any]"
    writes: bool


@dataclass(slots=True)
class Reopening:
    """Look at the database again, outside of any transaction."""

    future: "asyncio.Future[bool]"


class Writer:
    """Runs jobs in the order in which they were handed over, many waiting ones in one transaction.

    - An error of one job (but a conflict, which is an answer) rolls the transaction back, and its jobs are then run one
      by one, so that one that cannot be done does not fail the others.
    - Trouble with the database fails all of them with StoreUnavailable, at once.
    - When nothing was finished for `patience` seconds, all that wait are told so by StoreUnavailable: what had not
      begun by then is never done, of what had it is not known.
    - After trouble, with `reopens`, the next job opens the database again; without, every job is refused until
      `reopen` was called, so that nothing reaches a database that somebody must first look at.

    For one event loop at a time. The thread starts with the first job and ends with `close`.
    """

    def __init__(self, database: Database, *, patience: float, reopens: bool) -> None:
        self._database = database
        self._patience = patience
        self._reopens = reopens
        self._jobs: queue.SimpleQueue[Job | Reopening | None] = queue.SimpleQueue()
        self._waiting: set[asyncio.Future[Any]] = set()
        self._watch: asyncio.TimerHandle | None = None
        self._progress = monotonic()
        self._look_at = 0.0  # when the next look is due
        self._thread: threading.Thread | None = None
        self._refusing: StoreUnavailable | None = None
        self._closed = False

    def submit(self, work: Callable[[Connection], T], *, writes: bool = True) -> "asyncio.Future[T]":
        """Hand over work; the future has its result once that is committed. Raises StoreUnavailable after `close`."""
        future: asyncio.Future[T] = self._expect()
        self._jobs.put(Job(work, future, writes))
        return future

    def reopen(self) -> "asyncio.Future[bool]":
        """Look at the database again and open it where needed. True: it may not hold what was written before."""
        future: asyncio.Future[bool] = self._expect()
        self._jobs.put(Reopening(future))
        return future

    def _expect(self) -> "asyncio.Future[Any]":
        if self._closed:
            raise StoreUnavailable(f"database {self._database.name} was closed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="store", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if not self._waiting:
            self._progress = monotonic()
        self._waiting.add(future)
        if self._watch is None:
            self._look_again(loop)
        return future

    async def close(self) -> None:
        """Finish what was handed over, then close the database and end the thread."""
        if self._closed:
            return
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        thread = self._thread
        if thread is None:
            return
        self._jobs.put(None)
        await asyncio.to_thread(thread.join, 10.0)

    def alive(self) -> None:
        """For long work: it goes on, whoever waits may go on waiting. Called in the thread."""
        self._progress = monotonic()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watch = None
        if not self._waiting or self._closed:
            return
        self._progress += max(0.0, monotonic() - self._look_at)  # time in which we were held up ourselves, or stopped
        if monotonic() - self._progress > self._patience:
            error = f"database {self._database.name} did not answer for {self._patience:g} s"
            self._deliver([(future, StoreUnavailable(error)) for future in self._waiting])
            return
        self._look_again(loop)

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look_at = monotonic() + self._patience / 4
        self._watch = loop.call_later(self._patience / 4, self._look, loop)

    def _deliver(self, answers: list[Answer]) -> None:
        for future, answer in answers:
            self._waiting.discard(future)
            if future.done():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    # ------------------------------------------------------------------------------------- in the thread

    def _run(self) -> None:
        more = True
        while more:
            batch, more = self._take()
            for kind, same in groupby(batch, key=type):
                if kind is Reopening:
                    for reopening in same:
                        self._hand_back([(reopening.future, self._reopen())])
                else:
                    self._do([job for job in same if isinstance(job, Job) and not job.future.done()])
        self._database.close()

    def _take(self) -> tuple[list[Job | Reopening], bool]:
        """Wait for a job and take all that wait with it, up to a bound. False: there will be no more."""
        batch: list[Job | Reopening] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) == MOST_AT_ONCE:
                return batch, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _hand_back(self, answers: list[Answer]) -> None:
        self.alive()
        try:
            answers[0][0].get_loop().call_soon_threadsafe(self._deliver, answers)
        except RuntimeError:  # the loop is gone, and with it everybody who waited
            log.warning("store_answer_unheard", answers=len(answers))

    def _do(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        answers = self._together(jobs)
        if answers is not None:
            self._hand_back(answers)
        elif len(jobs) > 1:
            for job in jobs:
                self._do([job])

    def _together(self, jobs: list[Job]) -> list[Answer] | None:
        """The answers of jobs that shared a transaction; None when one of several failed and each must have its own."""
        if self._refusing is not None:
            return [(job.future, self._refusing) for job in jobs]
        try:
            return self._transaction(jobs)
        except Exception as error:  # noqa: BLE001 - it is handed to whoever waits
            trouble = self._trouble(error)
            if trouble is None and len(jobs) > 1:
                return None
            return [(job.future, trouble or error) for job in jobs]

    def _transaction(self, jobs: list[Job]) -> list[Answer]:
        self._database.check()
        conn = self._database.connection()
        answers: list[Answer] = []
        with self._database.transaction(conn, writes=any(job.writes for job in jobs)):
            for job in jobs:
                try:
                    answers.append((job.future, job.work(conn)))
                except VersionConflict as conflict:
                    answers.append((job.future, conflict))
        return answers

    def _trouble(self, error: Exception) -> StoreUnavailable | None:
        trouble = self._database.trouble(error)
        if trouble is not None and not self._reopens:
            self._refusing = trouble
        return trouble

    def _reopen(self) -> object:
        try:
            self._database.check()
        except StoreUnavailable as lost:
            log.info("store_lost", reason=str(lost))  # the connection is gone with it, and a new one is made
        try:
            self._database.connection()
        except Exception as error:  # noqa: BLE001 - it is handed to whoever waits
            return self._trouble(error) or error
        self._refusing = None
        another, self._database.another = self._database.another, False
        return another

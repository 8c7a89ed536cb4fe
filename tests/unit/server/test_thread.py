from __future__ import annotations

import asyncio
import sys
import threading

from nodeproxy.server.thread import SWITCH_SECONDS, LoopThread


async def ended(task: asyncio.Task[None]) -> BaseException | None:
    async with asyncio.timeout(20):
        await asyncio.wait([task])
    return None if task.cancelled() else task.exception()


class Work:
    """Waits on the other thread, and tells what happened there."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.called = threading.Event()
        self.threads: list[int] = []
        self.is_over = False

    async def __call__(self) -> None:
        self.note()
        try:
            await asyncio.Event().wait()
        finally:
            self.is_over = True

    def note(self) -> None:
        self.threads.append(threading.get_ident())
        (self.called if self.begun.is_set() else self.begun).set()


async def test_the_work_ends_with_the_one_who_waits_for_it():
    work = Work()
    task = asyncio.create_task(LoopThread("x", work).run())
    await asyncio.to_thread(work.begun.wait, 20)

    task.cancel()
    failure = await ended(task)

    assert failure is None
    assert work.is_over


async def test_a_failure_over_there_is_raised_here():
    async def fail() -> None:
        raise ValueError("over there")

    task = asyncio.create_task(LoopThread("x", fail).run())

    assert repr(await ended(task)) == "ValueError('over there')"


async def test_calls_run_over_there_while_this_loop_is_busy():
    work = Work()
    thread = LoopThread("x", work)
    task = asyncio.create_task(thread.run())
    await asyncio.to_thread(work.begun.wait, 20)

    thread.call(work.note)
    was_called = work.called.wait(20)  # blocks this loop on purpose
    task.cancel()
    await ended(task)

    assert was_called
    assert set(work.threads) != {threading.get_ident()}
    assert len(set(work.threads)) == 1


async def test_calls_before_and_after_do_nothing():
    work = Work()
    thread = LoopThread("x", work)
    thread.call(work.note)

    task = asyncio.create_task(thread.run())
    await asyncio.to_thread(work.begun.wait, 20)
    task.cancel()
    await ended(task)
    thread.call(work.note)

    assert len(work.threads) == 1


async def test_cancelling_at_once_ends_it_too():
    work = Work()
    task = asyncio.create_task(LoopThread("x", work).run())
    await asyncio.sleep(0)

    task.cancel()
    failure = await ended(task)

    assert failure is None
    assert task.cancelled()


async def test_the_interpreter_switches_threads_quickly():
    before = sys.getswitchinterval()
    work = Work()
    try:
        task = asyncio.create_task(LoopThread("x", work).run())
        await asyncio.to_thread(work.begun.wait, 20)
        interval = sys.getswitchinterval()
        task.cancel()
        await ended(task)
    finally:
        sys.setswitchinterval(before)

    assert interval <= SWITCH_SECONDS

"""An event loop on a thread of its own, for what must answer while the agent's loop is busy.

    agent's loop                        thread
      LoopThread.run() ---- starts ----> work() in a loop of its own
           |                               |
      cancelled ---------- cancels ------> ends, closes what it opened
      raises <------------ fails --------- raises

The first sync of a large cluster keeps the agent's loop for more than a second at a time: deciding
is one step (design invariant 2). Health checks shall not wait for that. Both threads share the
interpreter, so a thread that has been asked something waits until the other one is told to let it
in; SWITCH_SECONDS is how long that takes, and it is paid several times for an answer.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

SWITCH_SECONDS = 0.001
"""Python's own 5 ms would be paid at each system call of an answer: 30 ms in the middle of a first
sync. Nothing is paid while the other thread sleeps."""


class LoopThread:
    """Runs one coroutine in a loop of its own; used once."""

    # Mutable state: the loop and the task over there, as long as they live.
    def __init__(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Nothing is started yet.

        Args:
            name: of the thread.
            work: called in the new loop; ends when it is cancelled.
        """
        self._name = name
        self._work = work
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False

    async def run(self) -> None:
        """Work until cancelled; the thread has ended when this ends.

        Raises:
            Exception: what the work raised.
        """
        sys.setswitchinterval(min(SWITCH_SECONDS, sys.getswitchinterval()))
        here = asyncio.get_running_loop()
        ended: asyncio.Future[None] = here.create_future()

        def finish(failure: BaseException | None) -> None:
            if not ended.done():
                if failure is None:
                    ended.set_result(None)
                else:
                    ended.set_exception(failure)

        def body() -> None:
            failure: BaseException | None = None
            try:
                with asyncio.Runner() as runner:
                    runner.run(self._run_there())
            except asyncio.CancelledError:
                pass
            except BaseException as exc:
                failure = exc
            here.call_soon_threadsafe(finish, failure)

        threading.Thread(target=body, name=self._name, daemon=True).start()
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            self._stop()
            await asyncio.wait([ended])
            raise

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function over there soon; nothing happens if the thread has ended or not begun.

        May be called from every thread.
        """
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(function, *arguments)
            except RuntimeError:
                return  # closed in between: the agent ends

    def _stop(self) -> None:
        self._is_stopping = True
        task = self._task
        if task is not None:
            self.call(task.cancel)

    async def _run_there(self) -> None:
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        if self._is_stopping:
            return
        try:
            await self._work()
        finally:
            self._loop = None

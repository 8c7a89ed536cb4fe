"""Who is told, and how often; tests/kernel shows what the eyes see."""

from __future__ import annotations

import asyncio

from nodeproxy.backends.iptables.foreign import watch


class ScriptedEye:
    """Sees these things one after the other, then nothing any more."""

    def __init__(self, *reasons: str) -> None:
        self._reasons = list(reasons)
        self.is_closed = False
        self.saw_all = asyncio.Event()

    def look(self) -> str:
        if not self._reasons:
            self.saw_all.set()
            return ""
        return self._reasons.pop(0)

    async def wait(self) -> None:
        await asyncio.sleep(0)

    def close(self) -> None:
        self.is_closed = True


async def test_each_change_is_told_and_quiet_looks_are_not():
    eye, told = ScriptedEye("flushed", "", "flushed again"), list[str]()

    task = asyncio.create_task(watch(eye, told.append))
    await eye.saw_all.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert told == ["flushed", "flushed again"]
    assert eye.is_closed

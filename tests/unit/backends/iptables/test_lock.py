"""Who holds the lock of the legacy commands, as /proc/locks tells it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from nodeproxy.backends.iptables.lock import is_own, lock_holder


def test_the_holder_is_named(tmp_path: Path):
    lock = tmp_path / "xtables.lock"

    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        holder = lock_holder(lock)

    assert holder.endswith(f"(pid {os.getpid()})")
    assert is_own(holder, 1)
    assert not is_own("calico-node (pid 1)", 2)


def test_a_free_or_missing_lock_has_no_holder(tmp_path: Path):
    (tmp_path / "free").touch()

    assert lock_holder(tmp_path / "free") == ""
    assert lock_holder(tmp_path / "missing") == ""


def test_a_holder_out_of_sight_is_told_as_such(tmp_path: Path):
    """It runs in a PID namespace that is not ours; those who wait are not meant."""
    lock = tmp_path / "xtables.lock"
    lock.touch()
    inode = lock.stat().st_ino
    (tmp_path / "locks").write_text(
        f"1: FLOCK  ADVISORY  WRITE 0 00:1a:{inode} 0 EOF\n"
        f"1: -> FLOCK  ADVISORY  WRITE 77 00:1a:{inode} 0 EOF\n"
    )

    assert lock_holder(lock, tmp_path) == "a process out of sight (pid 0)"

"""Who holds the lock that all legacy iptables commands share."""

from __future__ import annotations

import os
from pathlib import Path

LOCK_FILE = Path("/run/xtables.lock")


def lock_holder(lock_file: Path = LOCK_FILE, proc: Path = Path("/proc")) -> str:
    """The process that holds the lock, as `calico-node (pid 812)`; empty if nobody is seen.

    A holder in another PID namespace has the number 0 here, and no name.
    """
    try:
        inode = lock_file.stat().st_ino
        locks = (proc / "locks").read_text()
    except OSError:
        return ""
    for line in locks.splitlines():
        words = line.split()
        # 1: FLOCK  ADVISORY  WRITE 812 00:1a:4711 0 EOF; "->" marks those who wait
        if "->" in words or len(words) < 6 or words[5].rpartition(":")[2] != str(inode):
            continue
        return f"{_name(int(words[4]), proc)} (pid {words[4]})"
    return ""


def _name(pid: int, proc: Path) -> str:
    try:
        return (proc / str(pid) / "comm").read_text().strip()
    except OSError:
        return "a process out of sight"


def is_own(holder: str, pid: int) -> bool:
    """True if the holder is this process."""
    return holder.endswith(f"(pid {pid})") or holder.endswith(f"(pid {os.getpid()})")

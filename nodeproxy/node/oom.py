"""How readily the kernel ends this process when memory runs out (CT-32)."""

from __future__ import annotations

import logging
from pathlib import Path

_log = logging.getLogger("nodeproxy.node")


def set_oom_score(score: int | None, proc: Path = Path("/proc")) -> bool:
    """Set the score of this process; that it cannot be set hurts nobody, so it is hardly told.

    Args:
        score: -1000 (never) to 1000; None leaves it alone. Lowering it needs CAP_SYS_RESOURCE.
        proc: where procfs is mounted.

    Returns:
        True if the score is as wanted.
    """
    if score is None:
        return True
    file = proc / "self" / "oom_score_adj"
    try:
        if int(file.read_text()) != score:
            file.write_text(f"{score}\n")
    except (OSError, ValueError) as exc:
        _log.debug("oom_score_adj not set to %d: %s", score, exc)
        return False
    return True

"""`python -m tests.support.scenarios FILE...`: what of these scenarios does not hold."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.scenarios.iptables_mode import in_iptables_mode
from tests.support.scenarios.levels import IPTABLES_LEVELS, LEVELS
from tests.support.scenarios.mistakes import ScenarioError
from tests.support.scenarios.parsing import read_scenario
from tests.support.scenarios.running import failures_of, first, has_choices, last


def main(arguments: Sequence[str]) -> int:
    """Check the files and directories; prints what is wrong, returns the exit code."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    paths = [path for argument in arguments for path in scenario_files(Path(argument))]
    wrong = sum(1 for path in paths if not _is_right(path))
    print(f"{len(paths) - wrong} of {len(paths)} scenarios hold")
    return 1 if wrong or not paths else 0


def scenario_files(path: Path) -> list[Path]:
    """The file itself, or all scenarios below a directory."""
    return sorted(path.rglob("*.txt")) if path.is_dir() else [path]


def _is_right(path: Path) -> bool:
    """Check one file on every level of both modes, and print what does not hold."""
    try:
        scenario = read_scenario(path)
    except (ScenarioError, OSError) as exc:
        print(exc)
        return False
    modes = ((scenario, LEVELS), (in_iptables_mode(scenario), IPTABLES_LEVELS))
    found = {
        f"{failure} ({level})": failure
        for told, levels in modes
        for level, make in levels.items()
        for choose in ((first, last) if has_choices(told) else (first,))
        for failure in failures_of(told, make, choose)
    }
    for text in found:
        print(text)
    return not found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

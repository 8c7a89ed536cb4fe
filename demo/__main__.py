"""Runs the demo; see the package."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from demo import screen
from demo.examples import Examples
from demo.story import DemoFailed, Story
from lab import requirements
from lab.agent import AgentProcess
from lab.topology import private_node

_PICTURE = """
    client                     node                             backend1  10.244.0.11
    192.168.0.9  ------------  192.168.0.2      --------------  backend2  10.244.0.12
    2001:db8::9                2001:db8::2                      backend3  10.244.0.13
                               nodeproxy run                    pod       10.244.0.14
"""
_POD_NAMES = ("backend1", "backend2", "backend3", "pod")


def main() -> int:
    """Tell the story and return the exit code: 0 if everything went as it should."""
    signal.signal(signal.SIGTERM, _end)
    lacks = requirements.missing()
    if lacks:
        screen.bad("The demo cannot run here: " + "; ".join(lacks))
        return 1
    began = time.monotonic()
    try:
        problems = _run()
    except KeyboardInterrupt:
        screen.bad("Interrupted; nothing is left behind.")
        return 128 + signal.SIGINT
    except DemoFailed as exc:
        problems = [str(exc)]
    print()
    for problem in problems:
        screen.bad(f"Not as it should be: {problem}")
    if not problems:
        screen.good(
            f"Everything went as it should, in {time.monotonic() - began:.0f} s; "
            "nothing is left behind."
        )
    return 1 if problems else 0


def _run() -> list[str]:
    screen.heading("A private node: network namespaces, veth pairs, real sockets")
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="nodeproxy-demo-") as scratch,
        private_node(_POD_NAMES) as lab,
    ):
        manifests = Path(scratch, "manifests")
        manifests.mkdir()
        examples = Examples(manifests)
        lab.serve(tcp=examples.backend_ports("tcp"), udp=examples.backend_ports("udp"))
        print(_PICTURE)
        screen.say(f"built in {(time.monotonic() - began) * 1000:.0f} ms; the host is not touched")
        source, log = [f"--manifests={manifests}"], Path(scratch, "agent.log")
        agent = AgentProcess(lab.node, source, log, examples.node_name())
        story = Story(lab, agent, examples)
        try:
            story.tell()
        finally:
            if agent.is_running:
                agent.stop()
        return story.problems


def _end(number: int, _: FrameType | None) -> NoReturn:
    """Leave through all the clean-up when asked to end."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())

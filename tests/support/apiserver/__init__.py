"""An API server to test and measure against: real HTTP, real protocol, faults on demand.

::

    server -> answers -> routes, lists, watches -> store -> stored -> encoding, resources
       |         |               |
      http     faults        selectors, statuses; events that clients post

`objects` writes single objects, `population` whole clusters, `recordings` reads what a real server
said. `python -m tests.support.apiserver` serves a population in a process of its own, which
`control` lets a benchmark steer.
"""

from tests.support.apiserver.faults import (
    BookmarksOnly,
    Drip,
    Duplicate,
    EndAtOnce,
    ExtraItem,
    Fail,
    Faults,
    Hang,
    Reset,
    SendLine,
    Silent,
    Truncate,
)
from tests.support.apiserver.http import RecordedRequest
from tests.support.apiserver.server import ApiServerStandIn

__all__ = [
    "ApiServerStandIn",
    "BookmarksOnly",
    "Drip",
    "Duplicate",
    "EndAtOnce",
    "ExtraItem",
    "Fail",
    "Faults",
    "Hang",
    "RecordedRequest",
    "Reset",
    "SendLine",
    "Silent",
    "Truncate",
]

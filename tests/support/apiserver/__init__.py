"""An API server to test and measure against: real HTTP, real protocol, faults on demand."""

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

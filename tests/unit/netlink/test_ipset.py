from __future__ import annotations

import pytest

from nodeproxy.netlink.ipset import destroy_request


def test_no_request_asks_to_destroy_every_set():
    with pytest.raises(ValueError, match="without a name"):
        destroy_request("")

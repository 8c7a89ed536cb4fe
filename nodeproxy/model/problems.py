"""What was wrong with an object of the cluster, kept as data.

Bad input never stops what works: whoever reads an object keeps what is usable and reports the
rest as `Problem`s. The agent logs each once per object version and lists them in the status.
"""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True, gc=False):
    """One thing in one object that was ignored or repaired, with its consequence."""

    subject: str
    """`EndpointSlice shop/web-abc12`, `Service shop/web`, `examples/web.yaml:17`."""
    field: str
    """Path inside the object, `endpoints[3].addresses[0]`; empty for the whole object."""
    message: str
    """What is wrong and what follows, `"10.0.0" is not an IP address; endpoint ignored`."""

    def __str__(self) -> str:
        where = f": {self.field}" if self.field else ""
        return f"{self.subject}{where}: {self.message}"

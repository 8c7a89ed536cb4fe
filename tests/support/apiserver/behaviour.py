"""What kind of API server the stand-in is: version, features, who may come in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(kw_only=True, eq=False)
class Behaviour:
    """Properties of the server; each may be changed while it runs."""

    token: str | None = None
    """The bearer token clients must present; None lets everybody in."""
    served_discovery: Collection[str] = ("v1",)
    """Versions of discovery.k8s.io that are served: any of v1 and v1beta1."""
    serves_service_cidrs: bool = True
    """False as before Kubernetes 1.33."""
    serves_events: bool = True
    """False as before Kubernetes 1.19, which has no events.k8s.io/v1."""
    supports_watch_list: bool = True
    """False refuses streaming lists with an ERROR event (code 500), as on an older etcd."""
    knows_watch_list: bool = True
    """False takes a streaming list for a plain watch, as servers before 1.27 do."""
    ignores_limit_at_rv0: bool = True
    """A list at resourceVersion 0 comes from the watch cache, which does not page."""
    bookmark_interval: float = 60.0
    """Seconds between the bookmarks of a watch; the real server takes about a minute."""
    minor_version: int = 36
    """Of Kubernetes 1.x, for /version."""

"""Stands in for the agent behind the commands."""

from __future__ import annotations

from collections.abc import Sequence

from nodeproxy.config.schema import Config
from nodeproxy.model.leftovers import Origin, Search


class FakeWork:
    """Remembers what it was asked; raises `failure` if there is one."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure
        self.configs: list[Config] = []
        self.forms: list[str] = []
        self.initialised: list[Config] = []
        self.removed: Sequence[str] = ()
        self.found = Search()
        self.origins: list[Origin] = []

    async def run(self, config: Config) -> None:
        self._take(config)

    async def render(self, config: Config, form: str) -> str:
        self.forms.append(form)
        self._take(config)
        return "table ip nodeproxy {\n}\n"

    async def initialise(self, config: Config) -> Sequence[str]:
        self.initialised.append(config)
        return ["net.netfilter.nf_conntrack_max: 131072"]

    def search(self, origin: Origin) -> Search:
        self.origins.append(origin)
        if self.failure:
            raise self.failure
        return self.found

    async def cleanup(self) -> Sequence[str]:
        if self.failure:
            raise self.failure
        return self.removed

    def _take(self, config: Config) -> None:
        self.configs.append(config)
        if self.failure:
            raise self.failure

"""Reading the configuration again while the agent runs.

SIGHUP, file --> load_config --> compare --+--> live: applied, and told
                     |                     +--> needs a restart: told, stays as it was
                does not load: told, everything stays as it was
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from nodeproxy.agent.configfile import ConfigTrigger
from nodeproxy.config.doubts import all_remarks
from nodeproxy.config.load import load_config
from nodeproxy.config.reader import InvalidSettings
from nodeproxy.config.reload import compare, taken_over
from nodeproxy.config.schema import Config
from nodeproxy.errors import ConfigError

_log = logging.getLogger("nodeproxy.config")


class Reloader:
    """Keeps the settings in force, and exchanges them."""

    # Mutable: the settings in force.
    def __init__(self, config: Config, apply: Callable[[Config], None]) -> None:
        """Begin with the settings of the start.

        Args:
            config: in force now; its flags are what a reload starts from.
            apply: takes what shall be in force instead. Called after every successful reading,
                also without a difference: asking again is how an operator has things retried.
        """
        self.config = config
        self._apply = apply

    async def run(self, trigger: ConfigTrigger) -> None:
        """Reload whenever the trigger says so."""
        while True:
            await self.reload(await trigger.wait())

    async def reload(self, cause: str) -> None:
        """Read the configuration and take over what can be taken over.

        Args:
            cause: why, for the log.
        """
        try:
            new = await asyncio.to_thread(load_config, self.config.flags, os.uname().nodename)
        except ConfigError as exc:
            _tell_failure(exc, cause)
            return
        changes = compare(self.config, new)
        remarks = {remark.text for remark in all_remarks(self.config)}
        self.config = taken_over(self.config, new)
        self._apply(self.config)
        _log.info(
            "configuration read again cause=%r changes=%d",
            cause,
            len(changes.live) + len(changes.restart),
        )
        for change in changes.live:
            _log.info("in force now: %s", change)
        for change in changes.restart:
            _log.warning("takes effect when the agent is started again: %s", change)
        for remark in all_remarks(self.config):
            if remark.text not in remarks:
                _log.log(logging.WARNING if remark.is_warning else logging.INFO, "%s", remark.text)


def _tell_failure(exc: ConfigError, cause: str) -> None:
    messages = exc.messages if isinstance(exc, InvalidSettings) else [str(exc)]
    for message in messages:
        _log.error("%s", message)
    _log.error("configuration not taken over cause=%r; the settings before stay in force", cause)

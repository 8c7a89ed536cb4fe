"""What an operator wrote, before anybody has looked at what it means."""

from __future__ import annotations

import msgspec

from nodeproxy.config.schema import Origin, OriginKind


class Given(msgspec.Struct, frozen=True):
    """The text of one setting, and where it stands."""

    name: str
    """The field, `conntrack.min`; of a setting that came by a flag, the setting's own name."""
    text: str
    """Items of a list are joined by commas."""
    origin: Origin
    item_lines: tuple[int, ...] = ()
    """Where the items of a list or the gates stand, 1-based; of files only."""
    item_names: tuple[str, ...] = ()
    """`nodePortAddresses[1]`, `featureGates.AllAlpha`; of files only."""

    @property
    def label(self) -> str:
        """The place, as messages begin with it."""
        if self.origin.kind is OriginKind.FILE:
            return f"{self.origin}: {self.name}"
        return self.origin.flag

    def item_label(self, index: int) -> str:
        """The place of an item; that of the whole if items have none."""
        if index >= len(self.item_lines):
            return self.label
        return f"{self.origin.path}:{self.item_lines[index]}: {self.item_names[index]}"

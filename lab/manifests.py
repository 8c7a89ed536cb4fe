"""A directory of manifests that changes while the agent follows it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from lab.objects import Json


def write_objects(directory: Path, name: str, objects: Sequence[Json]) -> None:
    """Replace the file of a name by one that holds these objects.

    The file appears whole or not at all: it is written beside under a hidden name first.
    """
    hidden = directory / f".{name}.json.new"
    hidden.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
    os.replace(hidden, directory / f"{name}.json")


def remove_objects(directory: Path, name: str) -> None:
    """Remove the file of a name."""
    (directory / f"{name}.json").unlink()

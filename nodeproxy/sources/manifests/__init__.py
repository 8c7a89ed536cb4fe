"""The source for bare metal: a directory of YAML and JSON manifests, followed live.

| Module     | Tells                                                                        |
|------------|------------------------------------------------------------------------------|
| `source`   | the loop: wait, look, read, tell                                             |
| `watch`    | when to look: `inotify`, or the clock                                        |
| `folder`   | which files count, and when a changed one is fit to be read                  |
| `decode`   | from bytes to objects; below it `yamltext`, `jsontext`, `defaults`, `content` |
| `catalog`  | all files together: which object counts, and what changed                    |
| `broken`   | files that cannot be read: told once, and once when mended                   |
"""

from __future__ import annotations

from nodeproxy.sources.manifests.folder import Timing
from nodeproxy.sources.manifests.source import ManifestSource, open_source

__all__ = ["ManifestSource", "Timing", "open_source"]

"""Settings written as YAML: mappings of plain values, with comments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_PLAIN = re.compile(r"[A-Za-z0-9/][A-Za-z0-9_./-]*\Z")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
_INVISIBLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON leaves as it is and YAML does not take, or takes for a line break."""
_NUMBER = re.compile(
    r"(?:[0-9_]+\.?[0-9]*(?:e[-+]?[0-9]+)?|0[xob]?[0-9a-f]+|[0-9]+-[0-9]+-[0-9].*)\Z", re.IGNORECASE
)
"""What some reader of YAML may take for a number or a date."""


def format_yaml(
    document: Mapping[str, Any],
    above: Mapping[str, str] | None = None,
    beside: Mapping[str, str] | None = None,
) -> str:
    """A mapping of texts, numbers, booleans, lists of texts, and mappings of these, as YAML.

    Args:
        document: the values.
        above: comments on lines of their own, by path, `conntrack.min`.
        beside: comments at the end of a line, by path.
    """
    lines = _lines(document, "", "", above or {}, beside or {})
    return "".join(f"{line}\n" for line in lines)


def _lines(
    mapping: Mapping[str, Any],
    indent: str,
    prefix: str,
    above: Mapping[str, str],
    beside: Mapping[str, str],
) -> Iterator[str]:
    for key, value in mapping.items():
        path = f"{prefix}{key}"
        if path in above:
            yield from (f"{indent}# {line}" for line in above[path].splitlines())
        comment = f"  # {beside[path]}" if path in beside else ""
        if isinstance(value, dict) and value:
            yield f"{indent}{key}:{comment}"
            yield from _lines(value, f"{indent}  ", f"{path}.", above, beside)
        elif isinstance(value, list) and value:
            yield f"{indent}{key}:{comment}"
            yield from (f"{indent}- {_scalar(item)}" for item in value)
        else:
            yield f"{indent}{key}: {_scalar(value)}{comment}"


def _scalar(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str) and not _needs_quotes(value):
        return value
    return _INVISIBLE.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False)
    )


def _needs_quotes(text: str) -> bool:
    return not _PLAIN.match(text) or text.lower() in _WORDS or bool(_NUMBER.match(text))

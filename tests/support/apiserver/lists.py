"""Answering a list: which objects, at which resourceVersion, in which page."""

from __future__ import annotations

import base64
import binascii
import bisect
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from tests.support.apiserver.selectors import Selection
from tests.support.apiserver.statuses import CONTINUE_EXPIRED, ApiError
from tests.support.apiserver.store import Collection
from tests.support.apiserver.stored import Stored

_ITEMS_PER_PIECE = 256


class ContinueToken(msgspec.Struct, frozen=True):
    """Where the next page starts, in the form the API server gives it."""

    v: str
    rv: int
    start: str
    """The last key of the page before, followed by a zero byte."""

    def encode(self) -> str:
        """The text that goes into metadata.continue."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> ContinueToken:
        """Read the text of a `continue` parameter.

        Raises:
            ApiError: 400, it is not one of ours.
        """
        try:
            padded = text + "=" * (-len(text) % 4)
            return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=cls)
        except (binascii.Error, ValueError, msgspec.MsgspecError) as exc:
            raise ApiError(
                400, f"invalid continue token: continue key is not valid: {exc}"
            ) from exc


class Page(msgspec.Struct, frozen=True):
    """The answer to one list request."""

    collection: Collection
    version: str
    """API version of the items: `v1`, `v1beta1`."""
    resource_version: int
    items: Sequence[Stored]
    continue_token: str = ""
    remaining: int = 0

    def pieces(self, extra_items: Sequence[bytes] = ()) -> Iterator[bytes]:
        """The body, in pieces of a few hundred items."""
        yield self._head()
        separator = b""
        for start in range(0, len(self.items), _ITEMS_PER_PIECE):
            part = self.items[start : start + _ITEMS_PER_PIECE]
            yield separator + b",".join([item.body(self.version) for item in part])
            separator = b","
        for item in extra_items:
            yield separator + item
            separator = b","
        yield b"]}\n"

    def _head(self) -> bytes:
        metadata: dict[str, str | int] = {"resourceVersion": str(self.resource_version)}
        if self.continue_token:
            metadata["continue"] = self.continue_token
        if self.remaining:
            metadata["remainingItemCount"] = self.remaining
        resource = self.collection.resource
        return b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
            resource.list_kind.encode(),
            resource.api_version(self.version).encode(),
            msgspec.json.encode(metadata),
        )


def list_page(
    collection: Collection,
    newest: int,
    version: str,
    selection: Selection,
    query: Mapping[str, str],
    *,
    ignores_limit_at_rv0: bool,
) -> Page:
    """Choose the objects of one list request.

    Args:
        collection: the objects of the kind.
        newest: the store's resourceVersion, which a list without resourceVersion reports.
        version: API version of the request.
        selection: namespace and selectors.
        query: the request's parameters.
        ignores_limit_at_rv0: serve everything at once when resourceVersion is 0, as a list from
            the watch cache does.

    Raises:
        ApiError: 400 for a bad parameter, 410 for an expired page or version, 504 for a
            resourceVersion from the future.
    """
    limit = parse_number(query, "limit")
    if query.get("continue"):
        token = ContinueToken.decode(query["continue"])
        snapshot = collection.snapshot_at(token.rv)
        if snapshot is None:
            raise ApiError(410, CONTINUE_EXPIRED)
        return _cut(collection, version, token.rv, snapshot, selection, limit, token.start)
    wanted = parse_resource_version(query)
    if wanted == 0:
        limit = 0 if ignores_limit_at_rv0 else limit
        return _first(collection, version, collection.version, selection, limit)
    if wanted is not None:
        require_not_future(wanted, newest)
    if wanted is not None and query.get("resourceVersionMatch") == "Exact" and wanted < newest:
        snapshot = collection.snapshot_at(wanted)
        if snapshot is None:
            raise ApiError(410, f"too old resource version: {wanted} ({newest})")
        return _cut(collection, version, wanted, snapshot, selection, limit, "")
    return _first(collection, version, newest, selection, limit)


def _first(
    collection: Collection, version: str, resource_version: int, selection: Selection, limit: int
) -> Page:
    objects = collection.snapshot(resource_version) if limit else collection.in_order()
    return _cut(collection, version, resource_version, objects, selection, limit, "")


def _cut(
    collection: Collection,
    version: str,
    resource_version: int,
    objects: Sequence[Stored],
    selection: Selection,
    limit: int,
    start: str,
) -> Page:
    """The page of `objects` that begins at the key `start`."""
    first = bisect.bisect_left(objects, start, key=lambda stored: stored.key)
    items = [stored for stored in objects[first:] if stored.is_selected(selection)]
    if not limit or len(items) <= limit:
        return Page(collection, version, resource_version, items)
    token = ContinueToken("meta.k8s.io/v1", resource_version, items[limit - 1].key + "\0")
    # With selectors the API server does not count what is left.
    remaining = 0 if selection.has_selectors else len(items) - limit
    return Page(collection, version, resource_version, items[:limit], token.encode(), remaining)


def parse_number(query: Mapping[str, str], name: str) -> int:
    """A numeric parameter, 0 when absent.

    Raises:
        ApiError: 400, it is not a number.
    """
    text = query.get(name) or "0"
    if not text.isdecimal():
        raise ApiError(400, f"{name}: invalid value {text!r}: not a number")
    return int(text)


def parse_resource_version(query: Mapping[str, str]) -> int | None:
    """The resourceVersion asked for; None for the newest, 0 for any.

    Raises:
        ApiError: 400, it is not a number.
    """
    return parse_number(query, "resourceVersion") if query.get("resourceVersion") else None


def require_not_future(wanted: int, newest: int) -> None:
    """Refuse a resourceVersion that has not been reached; a real server waits 3 s for it first.

    Raises:
        ApiError: 504.
    """
    if wanted > newest:
        message = "Too large resource version"
        cause = {"reason": "ResourceVersionTooLarge", "message": message}
        details = {"causes": [cause], "retryAfterSeconds": 1}
        raise ApiError(504, f"{message}: {wanted}, current: {newest}", details)

"""What holds for any bytes somebody may put into the directory."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeproxy.documents.text import BrokenText
from nodeproxy.sources.manifests.catalog import Catalog
from nodeproxy.sources.manifests.decode import FileDecoder
from nodeproxy.sources.manifests.yamltext import parse_yaml
from tests.unit.sources.manifests.texts import documents, endpoints_text, service_text, slice_text

DECODER = FileDecoder("node-1", frozenset())

_WORDS = ("kind", "apiVersion", "metadata", "spec", "items", "List", "Service", "v1", "ports")
_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(_WORDS)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(_WORDS) | st.text(), inner),
    max_leaves=20,
)
_PIECES = st.sampled_from(
    ("\n", " ", "  ", "\t", "- ", ": ", "#", "---\n", "&a ", "*a", "<<: ", "[", "]", "{", "}", ",")
)
_YAMLISH = st.lists(_PIECES | st.sampled_from(_WORDS) | st.text(max_size=3), max_size=60)


@given(
    st.binary(max_size=200) | _YAMLISH.map(lambda parts: "".join(parts).encode("utf-8", "replace"))
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused_as_a_whole(data: bytes):
    for file in ("m/any.yaml", "m/any.json"):
        with contextlib.suppress(BrokenText):
            DECODER.decode(file, data)


@given(_VALUES)
@settings(max_examples=200, deadline=None)
def test_any_json_value_is_used_refused_or_remarked(value: Any):  # noqa: ANN401
    text = json.dumps(value, allow_nan=False) if _is_finite(value) else "null"

    content = DECODER.decode("m/any.json", text.encode())

    assert content.manifests == ()


def _is_finite(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


# No digits: PyYAML leaves `0E0` without quotes, which kubectl, and this reader, take as a number.
_SIMPLE = st.text(st.characters(codec="ascii", exclude_categories=["Cc", "Nd"]), max_size=8)
_TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | _SIMPLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_SIMPLE, inner, max_size=4),
    max_leaves=15,
)


@given(_TREES)
@settings(max_examples=200, deadline=None)
def test_what_a_yaml_writer_wrote_is_read_back(tree: object):
    text = yaml.safe_dump({"tree": tree})

    (found,) = parse_yaml(text.encode())

    assert found.decode(object) == {"tree": tree}


_TEXTS = st.sampled_from(
    (
        service_text(),
        service_text(cluster_ip="10.96.0.99"),
        service_text(port="http"),
        slice_text(),
        slice_text("web-2", addresses=()),
        slice_text(service="shop"),
        endpoints_text(),
        endpoints_text("shop"),
        documents(service_text(), slice_text(), endpoints_text()),
        "",
        None,
    )
)


@given(st.lists(st.tuples(st.sampled_from("abc"), _TEXTS), max_size=12))
@settings(max_examples=200, deadline=None)
def test_any_history_of_saves_ends_in_what_the_last_files_say(
    history: list[tuple[str, str | None]],
):
    """Refused objects aside, whose last usable version depends on what was there before."""
    saved, fresh = Catalog(), Catalog()
    files: dict[str, str | None] = {}
    for name, text in history:
        files[name] = None if text == service_text(port="http") else text
        saved.apply({_path(name): _content(_path(name), files[name])})

    fresh.apply({_path(name): _content(_path(name), text) for name, text in files.items()})

    assert saved._told == fresh._told
    assert saved.problems() == fresh.problems()


def _path(name: str) -> str:
    return f"m/{name}.yaml"


def _content(path: str, text: str | None) -> Any:  # noqa: ANN401
    return None if text is None else DECODER.decode(path, text.encode())

"""The store of the stand-in: versions, identity, and that watching equals listing."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.apiserver.encoding import JsonObject
from tests.support.apiserver.objects import Backend, endpoint_slice, service, with_labels
from tests.support.apiserver.resources import ENDPOINT_SLICE, SERVICE
from tests.support.apiserver.selectors import Selection, parse_label_selector
from tests.support.apiserver.store import Store
from tests.support.apiserver.stored import EventType, Stored

NOT_HIDDEN = Selection(labels=parse_label_selector("!hidden"))
CHANGES = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "hide", "delete"])), max_size=12
)


def web(name: str = "web") -> JsonObject:
    return service(name, cluster_ips=["10.96.0.1"])


def metadata(store: Store, key: str) -> JsonObject:
    stored = store.collection(SERVICE).get(key)
    assert stored is not None
    return msgspec.json.decode(stored.body("v1"), type=dict[str, JsonObject])["metadata"]


def test_versions_count_all_kinds_together():
    store = Store(100)

    versions = [
        store.put(web()),
        store.put(endpoint_slice("web-1", "web", backends=[Backend("10.0.0.1")])),
        store.delete("Service", "default", "web"),
    ]

    assert versions == [101, 102, 103]


def test_an_object_keeps_its_identity_through_changes():
    store = Store(100)
    store.put(web())
    first = metadata(store, "default/web")

    store.put(with_labels(web(), {"app": "web"}))

    second = metadata(store, "default/web")
    assert second["uid"] == first["uid"]
    assert second["creationTimestamp"] == first["creationTimestamp"]
    assert second["resourceVersion"] != first["resourceVersion"]


def test_an_object_made_anew_is_another_one():
    store = Store(100)
    store.put(web())
    first = metadata(store, "default/web")

    store.delete("Service", "default", "web")
    store.put(web())

    assert metadata(store, "default/web")["uid"] != first["uid"]


def test_slices_count_their_generations():
    store = Store(100)
    made = endpoint_slice("web-1", "web", backends=[Backend("10.0.0.1")])

    for _ in range(3):
        store.put(made)

    stored = store.collection(ENDPOINT_SLICE).get("default/web-1")
    assert stored is not None
    assert b'"generation":3' in stored.body("v1")


def test_deleting_what_is_not_there_is_a_mistake_of_the_test():
    with pytest.raises(KeyError, match="Service default/web"):
        Store(100).delete("Service", "default", "web")


@pytest.mark.parametrize(("counter", "versions"), [(50, [49, 50]), (1, [1, 1]), (200, [101, 102])])
def test_objects_are_never_newer_than_the_counter(counter: int, versions: list[int]):
    store = Store(100)
    store.put(web("a"))
    store.put(web("b"))

    store.rewind(counter)

    assert [stored.version for stored in store.collection(SERVICE).in_order()] == versions
    assert metadata(store, "default/b")["resourceVersion"] == str(versions[-1])
    assert store.version == counter


@given(before=CHANGES, after=CHANGES)
def test_a_list_and_the_events_since_make_the_present_list(
    before: list[tuple[str, str]], after: list[tuple[str, str]]
):
    store = Store(100)
    _apply(store, before)
    known = {item.key: item.version for item in _shown(store)}
    version = store.version

    _apply(store, after)
    for event in store.collection(SERVICE).events_since(version):
        subject = event.after or event.before
        assert subject is not None
        match event.type_for(NOT_HIDDEN):
            case EventType.DELETED:
                del known[subject.key]
            case EventType.ADDED | EventType.MODIFIED:
                known[subject.key] = subject.version

    assert known == {item.key: item.version for item in _shown(store)}


def _apply(store: Store, changes: list[tuple[str, str]]) -> None:
    for name, change in changes:
        if change != "delete":
            store.put(with_labels(web(name), {"hidden": ""} if change == "hide" else {}))
        elif store.collection(SERVICE).get(f"default/{name}"):
            store.delete("Service", "default", name)


def _shown(store: Store) -> list[Stored]:
    return [i for i in store.collection(SERVICE).in_order() if i.is_selected(NOT_HIDDEN)]

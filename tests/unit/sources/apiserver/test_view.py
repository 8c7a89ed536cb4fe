from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodeproxy.model.events import Kind, Rejected, Removed, SourceEvent, Upserted
from nodeproxy.model.problems import Problem
from nodeproxy.model.wire import ApiObject, ObjectMeta, Service
from nodeproxy.sources.apiserver.decode import Malformed, WatchEvent
from nodeproxy.sources.apiserver.view import INITIAL_EVENTS_END, View


def meta(name: str, version: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace="shop", resource_version=version)


def service(name: str, version: str) -> Service:
    return Service(metadata=meta(name, version))


def malformed(name: str, version: str) -> Malformed:
    return Malformed(meta(name, version), Problem(f"Service shop/{name}", "spec", "is odd"))


def added(obj: ApiObject | Malformed) -> WatchEvent[ApiObject | Malformed]:
    return WatchEvent("ADDED", obj)


def modified(obj: ApiObject | Malformed) -> WatchEvent[ApiObject | Malformed]:
    return WatchEvent("MODIFIED", obj)


def deleted(obj: ApiObject | Malformed) -> WatchEvent[ApiObject | Malformed]:
    return WatchEvent("DELETED", obj)


def bookmark(version: str, *, is_end: bool = False) -> WatchEvent[ApiObject | Malformed]:
    annotations: dict[str, str | None] = {INITIAL_EVENTS_END: "true"} if is_end else {}
    return WatchEvent(
        "BOOKMARK", Service(metadata=ObjectMeta(resource_version=version, annotations=annotations))
    )


def told(events: list[SourceEvent]) -> list[str]:
    """The events in short: `+a` upserted, `-a` removed, `!a` rejected."""
    signs = {Upserted: "+", Removed: "-", Rejected: "!"}
    return [
        signs[type(event)] + event.name
        for event in events
        if isinstance(event, Upserted | Removed | Rejected)
    ]


def listed(*objects: ApiObject | Malformed, version: str = "10") -> View:
    view = View(Kind.SERVICE)
    view.begin_list()
    view.listed(objects)
    view.end_list(version)
    return view


def relist(view: View, *objects: ApiObject | Malformed, version: str = "20") -> list[str]:
    view.begin_list()
    return told([*view.listed(objects), *view.end_list(version)])


def test_the_first_list_tells_everything():
    view = View(Kind.SERVICE)
    view.begin_list()

    events = view.listed([service("a", "1"), service("b", "2")])
    removed = view.end_list("10")

    assert told(events) == ["+a", "+b"]
    assert removed == []
    assert (view.position, view.object_count) == ("10", 2)


def test_a_relist_tells_only_what_is_different():
    view = listed(service("same", "1"), service("changed", "2"), service("gone", "3"))

    events = relist(view, service("same", "1"), service("changed", "9"), service("new", "8"))

    assert events == ["+changed", "+new", "-gone"]


def test_versions_that_went_back_are_different_versions():
    view = listed(service("a", "100"))

    assert relist(view, service("a", "7"), version="8") == ["+a"]
    assert view.position == "8"


def test_pages_of_one_list_are_one_list():
    view = listed(service("a", "1"), service("b", "2"), service("c", "3"))
    view.begin_list()

    first = view.listed([service("a", "1")])
    second = view.listed([service("b", "2")])
    removed = view.end_list("20")

    assert (first, second) == ([], [])
    assert told(removed) == ["-c"]


def test_a_list_that_broke_off_removes_nothing():
    view = listed(service("a", "1"), service("b", "2"))
    view.begin_list()
    view.listed([service("a", "1")])

    events = relist(view, service("a", "1"), service("b", "2"))

    assert events == []


def test_watched_changes_are_told_and_move_the_position():
    view = listed(service("a", "1"))

    events = view.watched(
        [
            modified(service("a", "11")),
            added(service("b", "12")),
            deleted(service("a", "13")),
        ]
    )

    assert told(events) == ["+a", "+b", "-a"]
    assert view.position == "13"


def test_an_event_that_comes_twice_is_told_once():
    view = listed(service("a", "1"))
    lines = [modified(service("a", "11")), added(service("b", "12")), deleted(service("b", "13"))]

    events = view.watched([line for line in lines for _ in range(2)])

    assert told(events) == ["+a", "+b", "-b"]


def test_the_removal_of_something_never_told_is_not_told():
    view = listed()

    assert view.watched([deleted(service("stranger", "11"))]) == []


def test_a_bookmark_moves_the_position_and_tells_nothing():
    view = listed(service("a", "1"))

    events = view.watched([bookmark("50")])

    assert events == []
    assert view.position == "50"


def test_a_streaming_list_ends_with_its_bookmark():
    view = listed(service("same", "1"), service("gone", "2"))
    view.begin_list()

    first = view.watched([added(service("new", "15")), added(service("same", "1"))])
    is_listing_before = view.is_listing
    last = view.watched([bookmark("30", is_end=True)])

    assert told(first) == ["+new"]
    assert told(last) == ["-gone"]
    assert (is_listing_before, view.is_listing, view.position) == (True, False, "30")


def test_a_streaming_list_has_no_position_before_its_end():
    """Its objects come in the order of names, not of versions."""
    view = View(Kind.SERVICE)
    view.begin_list()

    view.watched([added(service("a", "15")), bookmark("16")])

    assert view.position == ""
    assert view.is_listing


def test_what_is_deleted_during_a_streaming_list_stays_deleted():
    view = View(Kind.SERVICE)
    view.begin_list()

    events = view.watched(
        [added(service("a", "1")), deleted(service("a", "31")), bookmark("31", is_end=True)]
    )

    assert told(events) == ["+a", "-a"]
    assert view.object_count == 0


def test_a_malformed_object_is_rejected_once_and_others_go_on():
    view = listed(service("a", "1"), service("b", "2"))

    events = view.watched([modified(malformed("a", "11")), modified(service("b", "12"))])
    position = view.position
    again = view.watched([modified(malformed("a", "11"))])

    assert told(events) == ["!a", "+b"]
    assert position == "12"
    assert again == []


def test_a_malformed_object_in_a_list_does_not_count_as_gone():
    view = listed(service("a", "1"))

    assert relist(view, malformed("a", "15")) == ["!a"]


def test_a_malformed_object_that_is_repaired_is_told():
    view = listed(malformed("a", "1"))

    assert told(view.watched([modified(service("a", "11"))])) == ["+a"]


def test_a_malformed_object_that_is_deleted_is_gone():
    view = listed(service("a", "1"))

    assert told(view.watched([deleted(malformed("a", "11"))])) == ["-a"]


def test_an_object_without_a_name_is_rejected():
    view = listed()

    events = view.watched([added(Service(metadata=ObjectMeta(resource_version="11")))])

    [event] = events
    assert isinstance(event, Rejected)
    assert event.problem.field == "metadata.name"


def test_an_object_without_a_version_is_told_every_time():
    view = listed()
    anonymous = added(Service(metadata=ObjectMeta(name="a", namespace="shop")))

    assert told(view.watched([anonymous, anonymous])) == ["+a", "+a"]


def test_after_versions_were_forgotten_everything_is_told_again_but_nothing_is_removed():
    view = listed(service("a", "1"), service("b", "2"))

    view.forget_versions()

    assert relist(view, service("a", "1"), service("b", "2"), version="3") == ["+a", "+b"]


def test_objects_of_one_name_in_two_namespaces_are_two_objects():
    view = listed()
    other = Service(metadata=ObjectMeta(name="a", namespace="bank", resource_version="1"))

    events = relist(view, service("a", "1"), other)

    assert events == ["+a", "+a"]
    assert view.object_count == 2


def test_cluster_objects_are_removed_by_their_bare_name():
    view = View(Kind.NODE)
    node = Service(metadata=ObjectMeta(name="n1", resource_version="1"))
    view.begin_list()
    view.listed([node])
    view.end_list("1")

    [event] = view.watched([deleted(node)])

    assert event == Removed(Kind.NODE, "", "n1")


HISTORY = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=30)


@given(HISTORY, st.integers(0, 30), st.booleans())
def test_a_relist_at_any_moment_ends_where_the_watch_would_have(
    history: list[tuple[str, bool]], missed_from: int, is_streamed: bool
):
    view, present = listed(), dict[str, str]()
    heard: dict[str, str] = {}
    for number, (name, exists) in enumerate(history, start=11):
        if exists:
            present[name] = str(number)
        else:
            present.pop(name, None)
        if number - 11 < missed_from:
            event = modified if exists else deleted
            _replay(heard, view.watched([event(service(name, str(number)))]))
    objects = [service(name, version) for name, version in present.items()]

    view.begin_list()
    if is_streamed:
        _replay(heard, view.watched([*map(added, objects), bookmark("99", is_end=True)]))
    else:
        _replay(heard, [*view.listed(objects), *view.end_list("99")])

    assert heard == present


def _replay(heard: dict[str, str], events: list[SourceEvent]) -> None:
    for event in events:
        match event:
            case Upserted():
                heard[event.name] = event.object.metadata.resource_version or ""
            case Removed():
                del heard[event.name]
            case _:
                raise AssertionError(event)

"""All files together: which object counts, what is told, what is remarked."""

from __future__ import annotations

import pytest

from nodeproxy.model.events import Kind, Rejected, Removed, SourceEvent, Upserted
from nodeproxy.model.wire import Endpoints, EndpointSlice, Service
from nodeproxy.sources.manifests.catalog import Catalog, Outcome
from nodeproxy.sources.manifests.decode import FileDecoder
from tests.unit.sources.manifests.texts import documents, endpoints_text, service_text, slice_text


class Files:
    """A catalog that is told of files by their text."""

    def __init__(self, **texts: str) -> None:
        self.catalog = Catalog()
        self.first = self.save(**texts)

    def save(self, **texts: str | None) -> Outcome:
        """Change files at one stroke; None removes one."""
        decoder = FileDecoder("node-1", frozenset())
        paths = {f"m/{name}.yaml": text for name, text in texts.items()}
        return self.catalog.apply(
            {
                path: None if text is None else decoder.decode(path, text.encode())
                for path, text in paths.items()
            }
        )


def told(outcome: Outcome) -> list[str]:
    return [said(event) for event in outcome.events]


def said(event: SourceEvent) -> str:
    match event:
        case Upserted(kind, _, name, found):
            return f"+{kind} {name} {_gist(found)}"
        case Removed(kind, _, name):
            return f"-{kind} {name}"
        case Rejected(kind, _, name, problem):
            return f"!{kind} {name} {problem.field}"
    raise AssertionError(event)


def _gist(found: object) -> str:
    match found:
        case Service(spec=spec) if spec is not None:
            return str(spec.cluster_ip)
        case EndpointSlice(endpoints=slice_endpoints):
            return str(len(slice_endpoints or ()))
        case Endpoints(subsets=[subset]):
            return str((subset.addresses or [])[0].ip)
    raise AssertionError(found)


def remarks(found: object) -> list[str]:
    assert isinstance(found, tuple)
    return [str(remark.problem) for remark in found]


def test_everything_of_the_first_files_is_told():
    files = Files(web=documents(service_text(), slice_text()), dns=service_text("dns"))

    assert told(files.first) == [
        "+EndpointSlice web-1 1",
        "+Service dns 10.96.0.10",
        "+Service web 10.96.0.10",
    ]
    assert len(files.catalog) == 3


def test_file_saved_unchanged_tells_nothing():
    files = Files(web=service_text())

    outcome = files.save(web=f"# a comment moves the lines\n{service_text()}")

    assert outcome == Outcome(())


def test_only_the_object_that_changed_is_told():
    files = Files(web=documents(service_text(), service_text("dns")))

    outcome = files.save(web=documents(service_text(), service_text("dns", "10.96.0.53")))

    assert told(outcome) == ["+Service dns 10.96.0.53"]


def test_objects_go_with_their_file():
    files = Files(web=service_text(), dns=service_text("dns"))

    outcome = files.save(web=None)

    assert told(outcome) == ["-Service web"]


def test_object_moved_to_another_file_at_one_stroke_tells_nothing():
    files = Files(web=service_text())

    outcome = files.save(web=None, shop=service_text())

    assert outcome == Outcome(())


def test_first_file_wins_and_the_other_is_told_with_both_places():
    files = Files(b=service_text(cluster_ip="10.96.0.2"), a=service_text(cluster_ip="10.96.0.1"))

    assert told(files.first) == ["+Service web 10.96.0.1"]
    assert remarks(files.first.begun) == [
        "m/b.yaml:1: Service default/web: stands at m/a.yaml:1 already, which counts; "
        "this one is ignored"
    ]


def test_first_object_of_a_file_wins():
    files = Files(a=documents(service_text(cluster_ip="10.96.0.2"), service_text()))

    assert told(files.first) == ["+Service web 10.96.0.2"]
    assert remarks(files.first.begun)[0].startswith("m/a.yaml:10: Service default/web: stands at")


def test_loser_takes_over_when_the_winner_goes():
    files = Files(a=service_text(cluster_ip="10.96.0.1"), b=service_text(cluster_ip="10.96.0.2"))

    outcome = files.save(a="")

    assert told(outcome) == ["+Service web 10.96.0.2"]
    assert len(outcome.ended) == 1


def test_duplicate_is_remarked_once():
    files = Files(a=service_text(), b=service_text())

    outcome = files.save(b=f"# edited\n{service_text()}")

    assert (outcome.begun, outcome.ended) == ((), ())
    assert [str(problem) for problem in files.catalog.problems()] == [
        "m/b.yaml:2: Service default/web: stands at m/a.yaml:1 already, which counts; "
        "this one is ignored"
    ]


def test_refused_object_is_rejected_with_the_others_going_on():
    files = Files(web=documents(service_text(port="http"), service_text("dns")))

    assert told(files.first) == ["+Service dns 10.96.0.10", "!Service web spec.ports[0].port"]


def test_refused_object_keeps_its_last_usable_version():
    files = Files(web=service_text())

    outcome = files.save(web=service_text(port="http"))

    (event,) = outcome.events
    assert isinstance(event, Rejected)
    assert str(event.problem).endswith("(it starts on line 1) keeps its last usable version")
    assert len(files.catalog) == 1


def test_rejection_is_told_once_however_its_lines_move():
    files = Files(web=service_text(port="http"))

    outcome = files.save(web=f"# edited\n{service_text(port='http')}")

    assert outcome == Outcome(())


def test_mended_object_is_told_even_if_it_is_what_was_in_force():
    files = Files(web=service_text())
    files.save(web=service_text(port="http"))

    outcome = files.save(web=service_text())

    assert told(outcome) == ["+Service web 10.96.0.10"]
    assert files.catalog.problems() == ()


def test_rejected_object_that_was_never_usable_goes_with_its_file():
    files = Files(web=service_text(port="http"))

    outcome = files.save(web=None)

    assert told(outcome) == ["-Service web"]


def test_usable_object_of_another_file_stands_in_for_a_refused_one():
    files = Files(a=service_text(port="http"), b=service_text(cluster_ip="10.96.0.2"))

    assert told(files.first) == ["+Service web 10.96.0.2", "!Service web spec.ports[0].port"]


def test_object_that_lost_its_name_may_be_any_that_is_missing_so_all_are_kept():
    files = Files(web=documents(service_text(), service_text("dns")))

    outcome = files.save(web=documents(service_text().replace("name: web", "labels: {}")))

    assert told(outcome) == []
    assert remarks(outcome.begun) == ["m/web.yaml:3: metadata.name: missing; the object is ignored"]


def test_kind_that_is_not_used_is_remarked_once_over_all_files():
    text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"

    files = Files(a=text, b=documents(text, text))

    assert len(files.first.begun) == 1
    assert files.catalog.problems() == ()


def test_slice_moved_to_another_service_is_one_change():
    files = Files(web=slice_text(service="web"))

    outcome = files.save(web=slice_text(service="shop"))

    assert told(outcome) == ["+EndpointSlice web-1 1"]


class TestChoiceOfEndpoints:
    def test_service_with_endpoints_only_uses_them(self):
        files = Files(web=documents(service_text(), endpoints_text()))

        assert told(files.first) == [
            "+Endpoints web 10.244.0.11",
            "+Service web 10.96.0.10",
        ]

    def test_slices_count_where_both_exist_and_the_endpoints_are_remarked(self):
        files = Files(a=endpoints_text(), b=slice_text())

        assert told(files.first) == ["+EndpointSlice web-1 1"]
        assert remarks(files.first.begun) == [
            "m/a.yaml:1: Endpoints default/web: its Service has EndpointSlices, which count; "
            "the Endpoints are ignored"
        ]

    def test_endpoints_go_when_the_first_slice_comes_and_return_after_the_last(self):
        files = Files(a=endpoints_text())

        came = files.save(b=slice_text(), c=slice_text("web-2"))
        one_left = files.save(b=None)
        went = files.save(c=None)

        assert told(came) == ["+EndpointSlice web-1 1", "+EndpointSlice web-2 1", "-Endpoints web"]
        assert told(one_left) == ["-EndpointSlice web-1"]
        assert told(went) == ["-EndpointSlice web-2", "+Endpoints web 10.244.0.11"]

    def test_endpoints_follow_a_slice_that_changes_its_service(self):
        files = Files(a=endpoints_text(), b=slice_text(service="web"))

        outcome = files.save(b=slice_text(service="shop"))

        assert told(outcome) == ["+EndpointSlice web-1 1", "+Endpoints web 10.244.0.11"]

    def test_slice_without_endpoints_counts_all_the_same(self):
        files = Files(a=endpoints_text(), b=slice_text(addresses=()))

        assert told(files.first) == ["+EndpointSlice web-1 0"]

    def test_slices_of_another_namespace_do_not_matter(self):
        files = Files(
            a=endpoints_text(), b=slice_text().replace("name: web-1", "namespace: x\n  name: w")
        )

        assert "+Endpoints web 10.244.0.11" in told(files.first)


@pytest.mark.parametrize("kind", [Kind.SERVICE, Kind.ENDPOINTS])
def test_problems_are_none_while_nothing_is_wrong(kind: Kind):
    text = service_text() if kind is Kind.SERVICE else endpoints_text()

    files = Files(web=text)

    assert files.catalog.problems() == ()
    assert files.catalog.knows("m/web.yaml")

"""Selectors mean what they mean to a real API server."""

import pytest

from tests.support.apiserver.selectors import (
    Selection,
    SelectorError,
    parse_field_selector,
    parse_label_selector,
)

FIELDS = ("metadata.name", "spec.clusterIP")


@pytest.mark.parametrize(
    ("selector", "labels", "is_selected"),
    [
        ("", {}, True),
        ("app", {"app": ""}, True),
        ("app", {}, False),
        ("!app", {}, True),
        ("!app", {"app": ""}, False),
        ("app=web", {"app": "web"}, True),
        ("app==web", {"app": "web"}, True),
        ("app=web", {"app": "db"}, False),
        ("app=web", {}, False),
        ("app!=web", {"app": "db"}, True),
        ("app!=web", {}, True),
        ("app!=web", {"app": "web"}, False),
        ("app=web,!service.kubernetes.io/headless", {"app": "web"}, True),
        ("app=web,!tier", {"app": "web", "tier": "x"}, False),
    ],
)
def test_labels_are_selected(selector: str, labels: dict[str, str], is_selected: bool):
    selection = Selection(labels=parse_label_selector(selector))

    selected = selection.matches("default", labels, {})

    assert selected is is_selected


@pytest.mark.parametrize(
    ("selector", "is_selected"),
    [
        ("metadata.name=web", True),
        ("metadata.name=db", False),
        ("spec.clusterIP!=None", True),
        ("metadata.name=web,spec.clusterIP=None", False),
    ],
)
def test_fields_are_selected(selector: str, is_selected: bool):
    selection = Selection(fields=parse_field_selector(selector, FIELDS))

    fields = {"metadata.name": "web", "spec.clusterIP": "10.96.0.1"}

    assert selection.matches("default", {}, fields) is is_selected


@pytest.mark.parametrize("selector", ["app in (web)", "a b", ",", "!app=web"])
def test_other_label_syntax_is_refused(selector: str):
    with pytest.raises(SelectorError, match="unable to parse"):
        parse_label_selector(selector)


@pytest.mark.parametrize("selector", ["spec.type=NodePort", "metadata.name"])
def test_other_fields_and_tests_of_presence_are_refused(selector: str):
    with pytest.raises(SelectorError):
        parse_field_selector(selector, FIELDS)

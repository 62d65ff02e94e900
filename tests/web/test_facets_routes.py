"""Facets over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from imrec_core import Lake
from imrec_core.web import create_app
from tests.support import toy
from tests.support.serving import web_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("facets")
    made = web_lake(folder, photos=12)
    toy.write_photos(folder / "photos" / "trip" / "day 1", range(20, 24))
    toy.build(made)
    return made


@pytest.fixture(scope="module")
def client(lake: Lake) -> Iterator[TestClient]:
    with TestClient(create_app(lake)) as found:
        yield found


def ask(client: TestClient, path: str = "", **body: Any) -> Any:
    response = client.post(f"/api/facets{path}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def search(client: TestClient, where: str) -> int:
    return client.post("/api/search", json={"where": where, "k": 100}).json()["reached"]


def test_counts_are_those_of_searches(client):
    counts = ask(client)
    assert counts["images"] == 12 + 4 + 9
    assert [(one["name"], one["images"]) for one in counts["sources"]] == [("photos", 16), ("scans", 9)]
    values = {(facet["name"], value["label"]): value for facet in counts["facets"] for value in facet["values"]}
    assert values["format", "PNG"]["images"] == 1
    for value in values.values():
        assert value["images"] == search(client, value["where"])
    assert counts["taken"]["missing"] == {"label": "No date", "where": "taken IS NULL", "images": 25}


def test_conditions_apply_to_the_other_facets(client):
    counts = ask(client, conditions={"format": "format = 'PNG'", "other": "source = 'scans'"})
    assert counts["images"] == 1
    assert [one["images"] for one in counts["sources"]] == [0, 1]
    formats = next(facet for facet in counts["facets"] if facet["name"] == "format")
    assert {value["label"]: value["images"] for value in formats["values"]} == {"JPEG": 8, "PNG": 1, "No format": 0}


def test_folders_are_listed_level_by_level(client):
    (trip,) = ask(client, "/folders", source="photos")["folders"]
    assert (trip["name"], trip["images"], trip["has_folders"]) == ("trip", 4, True)
    assert trip["where"] == "source = 'photos' AND starts_with(path, 'trip/')"
    (day,) = ask(client, "/folders", source="photos", folder=trip["folder"])["folders"]
    assert (day["name"], day["folder"], day["has_folders"]) == ("day 1", "trip/day 1/", False)
    assert day["images"] == 4 == search(client, day["where"])
    assert (
        ask(client, "/folders", source="photos", conditions={"format": "format = 'PNG'"})["folders"][0]["images"] == 0
    )


@pytest.mark.parametrize("path", ["", "/folders"])
@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"conditions": {"other": "widht > 3"}}, 400, "BadFilter"),
        ({"conditions": {"other": "row IN (SELECT 1)"}}, 400, "BadFilter"),
        ({"conditions": {"other": "(" * 60}}, 422, "BadFilter"),
        ({"conditions": {"lens": "true"}}, 400, "UnknownName"),
        ({"conditions": {"other": "x" * 4001}}, 422, "BadRequest"),
        ({"conditions": {str(i): "true" for i in range(21)}}, 422, "BadRequest"),
        ({"within": {"map": "none", "polygon": [[0, 0], [1, 0], [1, 1]]}}, 404, "UnknownName"),
        ({"color": "red"}, 422, "BadRequest"),
    ],
)
def test_bad_input_is_refused(client, path, body, status, kind):
    response = client.post(f"/api/facets{path}", json={"source": "photos", **body} if path else body)
    assert (response.status_code, response.json()["kind"]) == (status, kind)


def test_bad_folders_and_dates_are_refused(client):
    for body, status, kind in (
        ({"source": "nowhere"}, 400, "UnknownName"),
        ({}, 422, "BadRequest"),
        ({"source": "photos", "folder": "x" * 4001}, 422, "BadRequest"),
    ):
        response = client.post("/api/facets/folders", json=body)
        assert (response.status_code, response.json()["kind"]) == (status, kind)
    assert ask(client, "/folders", source="photos", folder="nowhere/")["folders"] == []
    assert client.post("/api/facets", json={"first": "yesterday"}).status_code == 422


def test_error_of_a_filter_has_its_parts(client):
    error = client.post("/api/search", json={"where": "widht > 3"}).json()
    assert error["filter"] == {
        "field": "where",
        "problem": "no column named 'widht'; did you mean 'width'?",
        "details": 'Binder Error: Referenced column "widht" not found in FROM clause!',
        "unknown": "widht",
    }
    order = client.post("/api/search", json={"order_by": "width,"}).json()
    assert order["filter"]["field"] == "order_by" and order["error"].startswith("order_by: ")
    assert "filter" not in client.post("/api/search", json={"by": "phsh"}).json()

"""The HTTP API asked for whatever its own description allows, and for what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi

from imrec_core import Lake, Recommender
from imrec_core.maps.map_table import map_names
from tests.support.maps import save_line_map
from tests.support.pictures import PICTURES
from tests.support.real import copy_of
from tests.support.serving import serving, web_lake

CHECKS = [
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
    openapi.response_headers_conformance,
]
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


@dataclass
class Api:
    """A server, and what its description says of it.

    Attributes:
        known: Parameters that name something that is there.
    """

    operations: list[Any]
    known: dict[str, Any]


def drawn_lake(folder: Path, request: pytest.FixtureRequest) -> Lake:
    lake = web_lake(folder, photos=10)
    save_line_map(lake)
    return lake


def real_lake(folder: Path, request: pytest.FixtureRequest) -> Lake:
    return copy_of(request.getfixturevalue("real_lake"), folder)


@pytest.fixture(scope="module", params=[drawn_lake, pytest.param(real_lake, marks=pytest.mark.slow)])
def api(request, tmp_path_factory) -> Iterator[Api]:
    lake = request.param(tmp_path_factory.mktemp("fuzz"), request)
    with serving(lake) as served:
        schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
        image = Recommender.open(lake).generation.rows["image_id"][0].as_py()
        upload = httpx.post(f"{served.url}/api/search", files={"images": PICTURES["gradient.jpg"]()}).json()["uploads"]
        (name,) = map_names(lake)
        known = {"image_id": image, "hit": image, "images": [image], "name": name, "map": name}
        known["upload"] = upload[0]["upload"]
        yield Api([found.ok() for found in schema.get_all_operations()], known)


def ask(api: Api, mode: GenerationMode, examples: int) -> None:
    for operation in api.operations:
        if mode is GenerationMode.POSITIVE or operation.body or list(operation.iter_parameters()):
            ask_one(operation, mode, examples, api.known if mode is GenerationMode.POSITIVE else {})


def ask_one(operation: Any, mode: GenerationMode, examples: int, known: dict[str, Any]) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def asked(case: Any) -> None:
        # Longer addresses uvicorn itself refuses, in plain text.
        assume(len(quote(f"{case.path_parameters}{case.query}")) < 30_000)
        # What is made up is hardly ever there: half of the requests name what is.
        if len(str(case.body) + str(case.query)) % 2:
            case.path_parameters, case.body = with_known(case.path_parameters, known), with_known(case.body, known)
            if known and operation.path.endswith("/colours"):
                case.query = with_known(case.query, {"by": "source"})
        case.call_and_validate(checks=CHECKS)

    asked()


def with_known(asked: Any, known: dict[str, Any]) -> Any:
    """The same with what is known in place of what is made up."""
    if isinstance(asked, dict):
        return {name: known.get(name, with_known(of, known)) if of else of for name, of in asked.items()}
    return [with_known(one, known) for one in asked] if isinstance(asked, list) else asked


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_no_answer_departs_from_the_description(api, mode):
    assert len(api.operations) >= 16
    ask(api, mode, 20)


@pytest.mark.slow
@pytest.mark.parametrize("api", [drawn_lake], indirect=True)
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_nor_does_it_when_asked_for_long(api, mode):
    ask(api, mode, 500)

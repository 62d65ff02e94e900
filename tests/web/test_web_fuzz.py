"""Generated requests, valid and invalid by the OpenAPI document, get responses that conform to it."""

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
from tests.support.real import copy_lake
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
    """The operations of a server.

    Attributes:
        known: Valid values of parameters, by name.
    """

    operations: list[Any]
    known: dict[str, Any]


def drawn_lake(folder: Path, request: pytest.FixtureRequest) -> Lake:
    lake = web_lake(folder, photos=10)
    save_line_map(lake)
    return lake


def real_lake(folder: Path, request: pytest.FixtureRequest) -> Lake:
    return copy_lake(request.getfixturevalue("real_lake"), folder)


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
        selected = httpx.post(f"{served.url}/api/selections", json={"images": [image]}).json()
        known["selection"] = selected["selection"]
        yield Api([found.ok() for found in schema.get_all_operations()], known)


def fuzz(api: Api, mode: GenerationMode, examples: int) -> None:
    for operation in api.operations:
        if mode is GenerationMode.POSITIVE or operation.body or list(operation.iter_parameters()):
            fuzz_operation(operation, mode, examples, api.known if mode is GenerationMode.POSITIVE else {})


def fuzz_operation(operation: Any, mode: GenerationMode, examples: int, known: dict[str, Any]) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def send(case: Any) -> None:
        # uvicorn itself refuses longer URLs, in plain text.
        assume(len(quote(f"{case.path_parameters}{case.query}")) < 30_000)
        # Random ids hardly ever exist: half of the requests get existing ones.
        if len(str(case.body) + str(case.query)) % 2:
            case.path_parameters, case.body = with_known(case.path_parameters, known), with_known(case.body, known)
            if known and operation.path.endswith("/colours"):
                case.query = with_known(case.query, {"by": "source"})
        case.call_and_validate(checks=CHECKS)

    send()


def with_known(generated: Any, known: dict[str, Any]) -> Any:
    """Replace generated values by known ones of the same name."""
    if isinstance(generated, dict):
        return {name: known.get(name, with_known(of, known)) if of else of for name, of in generated.items()}
    return [with_known(one, known) for one in generated] if isinstance(generated, list) else generated


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_responses_conform_to_the_openapi_document(api, mode):
    assert len(api.operations) >= 16
    fuzz(api, mode, 20)


@pytest.mark.long
@pytest.mark.parametrize("api", [drawn_lake], indirect=True)
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_many_responses_conform_to_the_openapi_document(api, mode):
    fuzz(api, mode, 500)

"""Faults of requests are sentences for people who do not write Python."""

import re
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field, ValidationError

from platevault.app.vault import Vault
from platevault.web.app import build_app
from platevault.web.plain_sentences import plain_sentence

OF_PYTHON = re.compile(
    r"Error|instance of|regular expression|pattern|unexpected|traceback|pydantic|None|`|\\\\|\^", re.IGNORECASE
)
ODD = ("x", -1, 1.5, 10**20, True, [], {}, [1], {"a": 1}, "", "x" * 5000, "2026-11-30", "a\x00b")


class _Example(BaseModel):
    at_most: Annotated[int, Field(le=5)] = 1
    at_least: Annotated[int, Field(ge=5)] = 5
    above: Annotated[float, Field(gt=0)] = 1
    below: Annotated[float, Field(lt=1)] = 0
    short: Annotated[str, Field(max_length=3)] = ""
    long: Annotated[str, Field(min_length=2)] = "ab"
    few: Annotated[list[int], Field(max_length=1)] = []
    many: Annotated[list[int], Field(min_length=1)] = [1]


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("at_most", 6, "must be at most 5"),
        ("at_least", 4, "must be at least 5"),
        ("above", 0, "must be more than 0.0"),
        ("below", 1, "must be less than 1.0"),
        ("short", "abcd", "must have at most 3 characters"),
        ("long", "a", "must have at least 2 characters"),
        ("few", [1, 2], "must have at most 1 entries"),
        ("many", [], "must have at least 1 entries"),
        ("at_most", "x", "must be a whole number, for example 5"),
        ("at_most", 1.5, "must be a whole number, for example 5"),
        ("above", "x", "must be a number, for example 0.5"),
        ("short", 5, 'must be text, for example "gate-1"'),
        ("few", "x", "must be a list, for example []"),
    ],
)
def test_a_fault_says_what_is_wanted(field: str, value: object, sentence: str) -> None:
    with pytest.raises(ValidationError) as fault:
        _Example.model_validate({field: value})
    (line,) = fault.value.errors()
    assert plain_sentence({**line}) == sentence


def test_a_fault_of_an_unknown_kind_has_no_word_of_the_library() -> None:
    line = {"type": "is_instance_of", "msg": "Input should be an instance of Box", "loc": ("body",)}
    assert plain_sentence(line) == "is not of the documented form"


def bodies(app: FastAPI) -> list[tuple[str, dict[str, Any]]]:
    """Each POST with a JSON body, and its schema."""
    document = app.openapi()
    found = []
    for path, methods in document["paths"].items():
        described = methods.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json")
        if described is not None and "{" not in path:
            name = described["schema"].get("$ref", "").rpartition("/")[2]
            found.append((path, document["components"]["schemas"].get(name, {})))
    return found


async def test_no_answer_to_an_odd_value_has_words_of_a_library(vault: Vault, viewer: httpx2.AsyncClient) -> None:
    asked = 0
    for path, schema in bodies(build_app(vault)):
        for name in (*schema.get("properties", {}), "surprise"):
            for value in ODD:
                answer = await viewer.post(path, json={name: value})
                assert answer.status_code < 500, (path, name, value)
                if answer.status_code == 422:
                    detail = answer.json()["detail"]
                    assert detail
                    assert not OF_PYTHON.search(detail), (path, name, value, detail)
                    asked += 1
    assert asked > 100


@pytest.mark.parametrize(
    "body",
    [b"{", b"nonsense", b"[" * 3000 + b"]" * 3000, b'{"limit": 1' + b"0" * 5000 + b"}", b'{"a": "\xff"}'],
    ids=["cut off", "no JSON", "deep", "digits", "no UTF-8"],
)
async def test_a_body_that_cannot_be_read_has_a_sentence_with_an_example(
    viewer: httpx2.AsyncClient, body: bytes
) -> None:
    answer = await viewer.post("/v1/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert "for example" in answer.json()["detail"]


async def test_a_value_of_a_query_that_is_none_of_the_known_is_told_them(viewer: httpx2.AsyncClient) -> None:
    answer = await viewer.post("/v1/detections?durability=STORED")
    assert answer.status_code == 422
    assert answer.json()["detail"] == "query.durability: must be one of 'spooled' or 'stored'"


async def test_half_of_a_character_in_a_name_is_no_fault_of_the_service(viewer: httpx2.AsyncClient) -> None:
    answer = await viewer.post("/v1/search", content=rb'{"\ud800": 1}', headers={"Content-Type": "application/json"})
    assert answer.status_code == 422

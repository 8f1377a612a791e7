"""Recipes: what makes no difference is no difference, and each has one spelling that reads back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platevault.domain.errors import InvalidRequest
from platevault.domain.rendition_recipe import EDGE_MAX, Crop, Fit, Format, Recipe

EDGES = st.none() | st.integers(1, EDGE_MAX)
CROPS = st.none() | st.builds(
    Crop,
    x=st.integers(-50, 9_000),
    y=st.integers(-50, 9_000),
    width=st.integers(1, 9_000),
    height=st.integers(1, 9_000),
    stored=st.booleans(),
)
RECIPES = st.builds(
    Recipe,
    width=EDGES,
    height=EDGES,
    fit=st.sampled_from(Fit),
    format=st.sampled_from(Format),
    quality=st.integers(1, 100),
    enhance=st.booleans(),
    crop=CROPS,
    enlarge=st.booleans(),
)


@given(RECIPES, RECIPES)
def test_a_recipe_has_one_spelling_which_reads_back(one: Recipe, other: Recipe) -> None:
    assert Recipe.parse(str(one)) == one
    assert (one == other) == (str(one) == str(other)) == (one.digest == other.digest)


def test_what_makes_no_difference_makes_no_other_recipe() -> None:
    assert Recipe(width=320, fit=Fit.COVER) == Recipe(width=320)
    assert Recipe(enlarge=True) == Recipe()
    assert Recipe(format=Format.PNG, quality=3) == Recipe(format=Format.PNG)
    assert Recipe(quality=3) != Recipe()
    assert Recipe(width=320, height=320, fit=Fit.COVER) != Recipe(width=320, height=320)


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"height": 0},
        {"width": EDGE_MAX + 1},
        {"height": EDGE_MAX + 1},
        {"quality": 0},
        {"quality": 101},
    ],
)
def test_a_recipe_cannot_be_wrong(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(wrong))):
        Recipe(**wrong)  # type: ignore[arg-type]


def test_the_edges_of_what_is_allowed_are_allowed() -> None:
    assert Recipe(width=1, height=EDGE_MAX, quality=1).quality == 1
    assert Recipe(width=EDGE_MAX, height=1, quality=100).quality == 100


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1,2,0,4", "1,2,3,0", "1,2,3,4,shown", ",,,"])
def test_a_crop_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="crop"):
        Crop.parse(text)


@pytest.mark.parametrize(
    "text", ["", "edition=0", str(Recipe()) + "&more=1", str(Recipe()).replace("edition=", "edition=9")]
)
def test_another_spelling_is_none(text: str) -> None:
    with pytest.raises(InvalidRequest):
        Recipe.parse(text)

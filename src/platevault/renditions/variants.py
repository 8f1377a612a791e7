"""Derived pictures of stored images: the named ones, where each one lies, and for how long it counts as being there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

import msgspec

from platevault.domain.errors import InvalidRequest
from platevault.domain.object_keys import DERIVED
from platevault.domain.object_prefixes import DERIVED_DAYS
from platevault.domain.rendition_recipe import Crop, Fit, Format, Recipe
from platevault.jobs.report import HOLDS_PREFIX

# The bucket's rule takes it then; no URL is valid for longer.
LASTS_FOR: Final = timedelta(days=DERIVED_DAYS)
# It is made again before, so that a URL of it is good for a day at least where so much is asked.
STANDS_FOR: Final = LASTS_FOR - timedelta(days=1)
# What could not be made is tried again after this; a decoder may have learned better.
REFUSED_FOR: Final = timedelta(days=1)
# Longer than any URL that was signed for it is good in practice.
SUPERSEDED_STANDS_FOR: Final = timedelta(hours=2)
UNNAMED_MOST: Final = 32
# Reasons of pictures that cannot be made. With the unnamed pictures they are 50 entries of the row.
REFUSED_MOST: Final = 18
VARIANTS_MOST: Final = 16
PLATE: Final = "crop."
"""Begins the names of pictures of the plate that are cut out of `full`, where a collector sent no crop."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


class _Asked(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One variant as the setting has it."""

    width: int | None = None
    height: int | None = None
    fit: Fit = Fit.INSIDE
    format: Format = Format.JPEG
    quality: int = 80
    enhance: bool = False
    enlarge: bool = False
    at_ingest: bool = False


class Picture(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A derived picture as its image's row tells of it: made (`key`), or `refused` with the reason. Neither: it is being made.

    `made_at` is when either was found out; `sha256` is in hex.
    """

    key: str | None = None
    content_type: str | None = None
    width: int | None = None
    height: int | None = None
    size: int | None = None
    sha256: str | None = None
    made_at: datetime | None = None
    refused: str | None = None

    def stands(self, now: datetime) -> bool:
        """Whether it is in the bucket, as far as the bucket's own rule goes."""
        return self.key is not None and self.made_at is not None and now - self.made_at < STANDS_FOR

    def is_refused(self, now: datetime) -> bool:
        """Whether it was found a moment ago that it cannot be made."""
        return self.refused is not None and self.made_at is not None and now - self.made_at < REFUSED_FOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One derived picture: how it is made, and as which variant (None: as somebody asked)."""

    recipe: Recipe
    variant: str | None = None

    def name(self, *, of_plate: bool) -> str:
        """Its name among those of one image. Another recipe is another name; the plate's box needs no place in it, being write-once."""
        called = "" if self.variant is None else f"{self.variant}-"
        return f"{PLATE if of_plate else ''}{called}{self.recipe.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A picture that each image has under this name. `at_ingest`: made by the worker as soon as the image is stored."""

    name: str
    recipe: Recipe
    at_ingest: bool = False

    @property
    def wanted(self) -> Wanted:
        return Wanted(recipe=self.recipe, variant=self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variants:
    """All named variants, as the setting has them."""

    each: tuple[Variant, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """`{"thumb": {"width": 320, "format": "webp"}}`; raises `InvalidRequest` that says what is wrong."""
        try:
            given = msgspec.json.decode(text, type=dict[str, _Asked])
        except msgspec.MsgspecError as error:
            raise InvalidRequest(f"an object of variants by their names: {error}") from error
        if len(given) > VARIANTS_MOST:
            raise InvalidRequest(f"at most {VARIANTS_MOST} variants")
        return cls(each=tuple(_variant(name, asked) for name, asked in given.items()))

    @property
    def at_ingest(self) -> tuple[Variant, ...]:
        return tuple(variant for variant in self.each if variant.at_ingest)

    @property
    def names(self) -> dict[str, str]:
        """Name of a picture → name of the variant that it is today."""
        return {variant.wanted.name(of_plate=False): variant.name for variant in self.each}

    def wanted(self, name: str) -> Wanted:
        """The variant of that name; raises `InvalidRequest`."""
        for variant in self.each:
            if variant.name == name:
                return variant.wanted
        known = ", ".join(variant.name for variant in self.each) or "none is set"
        raise InvalidRequest(f"variant: no such one; known here: {known}")


def derived_folder(key: str) -> str:
    """The prefix of all pictures that are derived from the image whose row names `key` (its own, or a hold copy's)."""
    return f"{DERIVED}{key.removeprefix(HOLDS_PREFIX)}/"


def derived_key(key: str, name: str, *, extension: str) -> str:
    """`derived/full/2025/01/15/evt_abc123_full.jpg/thumb-0123456789abcdef.webp`."""
    return f"{derived_folder(key)}{name}.{extension}"


def plate_with_margin(box: Mapping[str, Any]) -> Crop:
    """What is cut out of `full` around a plate: its box, and a quarter of the box's height on each side (at least 4 pixels)."""
    x, y, width, height = (int(box[side]) for side in ("x", "y", "width", "height"))
    margin = max(4, round(height / 4))
    return Crop(x=x - margin, y=y - margin, width=width + 2 * margin, height=height + 2 * margin, stored=True)


def outworn(pictures: Mapping[str, Picture], *, name: str, made: Picture, now: datetime) -> dict[str, Picture]:
    """Those that go now that `made` is there under its name: the same variant by an older recipe, and the oldest unnamed ones past
    the limit, which made ones and refused ones have each for themselves.

    Age alone is no reason: somebody else may make the same picture anew at this moment, under the same key. The bucket's rule
    takes what nobody asks for.
    """
    others = {other: one for other, one in pictures.items() if other != name and one.made_at is not None}
    unnamed = [other for other, one in others.items() if not _named(other) and _is_alike(one, made)]
    oldest_first = sorted(unnamed, key=lambda other: str(others[other].made_at))
    most = UNNAMED_MOST if made.refused is None else REFUSED_MOST
    surplus = oldest_first[: max(0, len(unnamed) + (not _named(name)) - most)]
    return {other: one for other, one in others.items() if other in surplus or _is_over(other, one, made=name, now=now)}


def _is_alike(one: Picture, other: Picture) -> bool:
    return (one.refused is None) == (other.refused is None)


def _is_over(name: str, one: Picture, *, made: str, now: datetime) -> bool:
    age = now - (one.made_at or now)
    is_older_form = _named(name) is not None and _named(name) == _named(made)
    return is_older_form and age >= SUPERSEDED_STANDS_FOR


def _named(name: str) -> str | None:
    """Everything before the digest: `thumb`, `crop.thumb`; None for a picture that is no variant."""
    return name.rpartition("-")[0] or None


def _variant(name: str, asked: _Asked) -> Variant:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{name}: a name is a lower-case letter and up to 31 of a-z 0-9 _")
    fields = {field: value for field, value in msgspec.structs.asdict(asked).items() if field != "at_ingest"}
    try:
        return Variant(name=name, recipe=Recipe(**fields), at_ingest=asked.at_ingest)
    except InvalidRequest as error:
        raise InvalidRequest(f"{name}: {error}") from error

"""The invented vehicles of an invented street, seen from the front or from behind, each with its plate."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from platevault.collector.scene import Block, Color, Ellipse, Glow, Lettering, Light, Point, Polygon, Shape, mix, scale

PAINTS: dict[str, Color] = {
    "white": (228, 230, 230),
    "silver": (172, 178, 184),
    "grey": (104, 110, 118),
    "black": (38, 40, 46),
    "blue": (38, 76, 146),
    "red": (168, 34, 36),
    "green": (44, 96, 70),
    "yellow": (222, 176, 40),
    "orange": (206, 98, 34),
    "brown": (104, 76, 58),
}
_COMMON = ("white", "silver", "grey", "black") * 3 + (
    "blue",
    "blue",
    "red",
    "red",
    "green",
    "yellow",
    "orange",
    "brown",
)


@dataclass(frozen=True, slots=True)
class Build:
    """Half an outline from the middle of the sill to the middle of the roof, and where things sit on it."""

    body: tuple[Point, ...]
    glass: tuple[Point, ...]
    lamp: tuple[float, float, float, float]
    plate_rear: float
    plate_front: float
    wheel: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Vehicle:
    """A painted vehicle: shapes from back to front, lights, and where its plate is (left, top, right, bottom)."""

    shapes: tuple[Shape, ...]
    glows: tuple[Glow, ...]
    plate: tuple[float, float, float, float]
    type: str
    color: str
    facing: str


BUILDS: dict[str, Build] = {
    "hatchback": Build(
        ((0, -44), (186, -44), (204, -70), (210, -150), (202, -196), (172, -212), (140, -312), (112, -326), (0, -330)),
        ((0, -214), (152, -214), (124, -306), (100, -314), (0, -316)),
        (146, -206, 204, -160),
        -146,
        -92,
        38,
    ),
    "sedan": Build(
        ((0, -42), (196, -42), (214, -68), (218, -150), (206, -186), (176, -200), (132, -288), (104, -300), (0, -303)),
        ((0, -206), (154, -206), (120, -280), (98, -290), (0, -292)),
        (138, -190, 210, -154),
        -136,
        -88,
        38,
    ),
    "suv": Build(
        ((0, -58), (200, -58), (220, -86), (226, -190), (216, -238), (192, -254), (164, -356), (138, -370), (0, -374)),
        ((0, -258), (170, -258), (146, -346), (124, -356), (0, -358)),
        (170, -250, 220, -176),
        -180,
        -112,
        46,
    ),
    "van": Build(
        ((0, -56), (206, -56), (222, -84), (226, -250), (220, -330), (202, -432), (184, -446), (0, -450)),
        ((0, -268), (190, -268), (172, -398), (158, -408), (0, -412)),
        (188, -252, 222, -160),
        -160,
        -106,
        42,
    ),
    "truck": Build(
        ((0, -118), (262, -118), (268, -126), (268, -548), (258, -556), (0, -556)),
        ((0, -300), (196, -300), (186, -420), (176, -428), (0, -430)),
        (190, -112, 250, -88),
        -84,
        -104,
        56,
    ),
}
_CAB = ((0, -64), (214, -64), (232, -92), (236, -300), (222, -440), (204, -462), (0, -466))


def choose(chance: random.Random) -> tuple[str, str, str]:
    """A type, a colour and the side one sees of it: (type, colour, "front" or "rear")."""
    kind = chance.choice(("hatchback", "hatchback", "sedan", "sedan", "suv", "suv", "van", "truck"))
    return kind, chance.choice(_COMMON), chance.choice(("front", "rear"))


def vehicle(chance: random.Random, light: Light, *, plate: str, at: Point, size: float) -> Vehicle:
    """A vehicle whose wheels stand at that point, so many times the usual size."""
    kind, color, facing = choose(chance)
    build = BUILDS[kind]
    paint = mix(light.on(PAINTS[color]), (0, 0, 0), 0.06)
    front = facing == "front"
    level = build.plate_front if front else build.plate_rear
    shift = chance.choice((0.0, 0.0, 0.0, -34.0 if kind in {"van", "truck"} and not front else 0.0))
    body = _front(kind, build, paint, light) if front else _rear(kind, build, paint, light)
    sign = _plate(plate, shift, level, light)
    glows = _lights(build, front=front) if light.dark else ()
    wide = build.body[2][0]
    stance: list[Shape] = [Ellipse((0, -6), wide * 1.12, 22, light.on((34, 34, 38), amount=0.8))]
    for side in (-1, 1):
        outer, inner = side * (wide - 10), side * (wide - 10 - build.wheel)
        stance.append(Block(min(outer, inner), -92, max(outer, inner), 0, (18, 18, 20), 12))
    return Vehicle(
        shapes=tuple(_placed([*stance, *body, *sign], at, size)),
        glows=tuple(Glow(_moved(glow.center, at, size), glow.radius * size, glow.color) for glow in glows),
        plate=(
            at[0] + (shift - 66) * size,
            at[1] + (level - 17) * size,
            at[0] + (shift + 66) * size,
            at[1] + (level + 17) * size,
        ),
        type=kind,
        color=color,
        facing=facing,
    )


def _mirrored(half: Iterable[Point]) -> tuple[Point, ...]:
    right = tuple(half)
    return (*right, *((-x, y) for x, y in reversed(right)))


def _inset(half: Iterable[Point], *, top: float, bottom: float) -> tuple[Point, ...]:
    """The part of an outline between two heights."""
    return tuple((x, max(top, min(bottom, y))) for x, y in half)


def _body(half: tuple[Point, ...], paint: Color) -> list[Shape]:
    """A body with light from above: brighter shoulders, darker sills."""
    shapes: list[Shape] = [Polygon(_mirrored(half), paint)]
    low, high = half[0][1], half[-1][1]
    for share, tone in ((0.62, 0.94), (0.48, 0.88), (0.30, 0.78), (0.14, 0.64)):
        line = low + (high - low) * share
        shapes.append(Polygon(_mirrored(_inset(half, top=line, bottom=low)), scale(paint, tone)))
    return shapes


def _glass(half: tuple[Point, ...], light: Light) -> list[Shape]:
    pane = mix((22, 26, 32), light.sky_low, 0.16)
    shine = mix(pane, light.sky_low, 0.30)
    low, high = half[0][1], half[-1][1]
    edge = half[1][0]
    streak = ((-edge * 0.55, low - 4), (-edge * 0.25, low - 4), (edge * 0.02, high + 5), (-edge * 0.26, high + 5))
    return [Polygon(_mirrored(half), pane), Polygon(streak, shine)]


def _pair(box: tuple[float, float, float, float], fill: Color, radius: float) -> list[Shape]:
    left, top, right, bottom = box
    return [Block(left, top, right, bottom, fill, radius), Block(-right, top, -left, bottom, fill, radius)]


def _rear(kind: str, build: Build, paint: Color, light: Light) -> list[Shape]:
    if kind == "truck":
        return _truck_rear(build, paint, light)
    left, top, right, bottom = build.lamp
    wide, low = build.body[2][0], build.body[0][1]
    seam = scale(paint, 0.55)
    shapes = [
        *_body(build.body, paint),
        *_glass(build.glass, light),
        Block(-wide + 2, low - 46, wide - 2, low - 2, scale(paint, 0.7), 12),
        Block(-wide + 30, low - 16, wide - 30, low, (28, 28, 30), 6),
        Block(-142, build.plate_rear + 28, 142, build.plate_rear + 31, seam),
        Block(-82, build.plate_rear - 27, 82, build.plate_rear + 24, scale(paint, 0.62), 8),
        *_pair(build.lamp, (146, 18, 22) if not light.dark else (214, 32, 30), 9),
        *_pair((left + 6, top + 8, right - 14, (top + bottom) / 2), (224, 92, 74), 5),
    ]
    if kind == "van":
        frame = [Block(-5, -412, 5, low - 46, scale(paint, 0.8)), Block(-1.5, -440, 1.5, low - 46, seam)]
        return [*shapes[:-1], *frame, shapes[-1], Block(12, -250, 40, -242, (40, 40, 42), 3)]
    return shapes


def _truck_rear(build: Build, paint: Color, light: Light) -> list[Shape]:
    steel = light.on((120, 122, 126))
    shapes: list[Shape] = [
        Block(-252, -122, 252, -58, light.on((44, 46, 50)), 4),
        *_body(build.body, paint),
        Block(-2, -548, 2, -122, scale(paint, 0.45)),
        Block(-268, -130, 268, -114, steel),
        Block(-262, -556, 262, -546, scale(paint, 0.6)),
    ]
    for x in (-190.0, -70.0, 70.0, 190.0):
        shapes.append(Block(x - 4, -540, x + 4, -126, scale(steel, 0.9), 2))
        shapes.append(Block(x - 9, -250, x + 9, -236, scale(steel, 0.6), 3))
    for x in range(-250, 250, 50):
        stripe = light.on((196, 40, 36) if (x // 50) % 2 else (220, 220, 216))
        shapes.append(Block(x, -72, x + 50, -58, stripe))
    return [*shapes, *_pair(build.lamp, (190, 26, 26), 5), *_pair((168, -112, 188, -88), (216, 120, 30), 4)]


def _front(kind: str, build: Build, paint: Color, light: Light) -> list[Shape]:
    half = _CAB if kind == "truck" else build.body
    wide, low = half[2][0], half[0][1]
    left, top, right, bottom = (150.0, -170.0, 222.0, -136.0) if kind == "truck" else build.lamp
    drop = 0.0 if kind == "truck" else 12.0
    lamp = (left - 8, top + drop, right - 2, bottom + drop - 8)
    beam = (255, 250, 232) if light.dark else light.on((214, 220, 226))
    cargo = [Block(-262, -566, 262, -120, light.on((206, 206, 202), amount=0.86), 8)] if kind == "truck" else []
    sill = build.glass[0][1]
    mirror = (wide - 6, sill - 34, wide + 30, sill - 4)
    return [
        *cargo,
        *_pair(mirror, scale(paint, 0.72), 8),
        *_body(half, paint),
        *_glass(build.glass, light),
        Block(-wide + 34, sill + 6, wide - 34, sill + 9, scale(paint, 1.14)),
        Block(-132, lamp[1] + 8, 132, lamp[3] + 4, (24, 25, 28), 8),
        *(Block(-126, y, 126, y + 2, (86, 90, 94)) for y in range(int(lamp[1]) + 16, int(lamp[3]), 9)),
        Ellipse((0, (lamp[1] + lamp[3]) / 2 + 4), 14, 14, light.on((190, 194, 198))),
        *_pair(lamp, mix(beam, (60, 64, 70), 0.35), 11),
        *_pair((lamp[0] + 12, lamp[1] + 6, lamp[2] - 12, lamp[3] - 6), beam, 9),
        Block(-wide + 26, low - 34, wide - 26, low - 2, (30, 31, 34), 9),
        *_pair((wide - 66, low - 30, wide - 36, low - 12), light.on((150, 154, 158)), 6),
    ]


def _lights(build: Build, *, front: bool) -> tuple[Glow, ...]:
    left, top, right, bottom = build.lamp
    middle = ((left + right) / 2, (top + bottom) / 2 + (8 if front else 0))
    color: Color = (190, 186, 160) if front else (132, 16, 14)
    spread = 120.0 if front else 84.0
    pool: Color = (58, 56, 46) if front else (46, 8, 8)
    return tuple(
        glow
        for side in (-1, 1)
        for glow in (Glow((side * middle[0], middle[1]), spread, color), Glow((side * middle[0], 24), 150.0, pool))
    )


def _plate(text: str, shift: float, level: float, light: Light) -> list[Shape]:
    # Cameras light the plate themselves: it stays readable at night.
    face = mix(light.on((236, 236, 226)), (232, 232, 222), 0.55 if light.dark else 0.2)
    return [
        Block(shift - 70, level - 21, shift + 70, level + 21, (26, 27, 30), 6),
        Block(shift - 66, level - 17, shift + 66, level + 17, face, 4),
        Block(shift - 66, level - 17, shift - 54, level + 17, (38, 110, 104), 3),
        Lettering((shift + 6, level), text, 27, 112, (22, 24, 34)),
    ]


def _moved(point: Point, at: Point, size: float) -> Point:
    return (at[0] + point[0] * size, at[1] + point[1] * size)


def _placed(shapes: Iterable[Shape], at: Point, size: float) -> Iterable[Shape]:
    for shape in shapes:
        match shape:
            case Polygon(points, fill):
                yield Polygon(tuple(_moved(point, at, size) for point in points), fill)
            case Block(left, top, right, bottom, fill, radius):
                first, last = _moved((left, top), at, size), _moved((right, bottom), at, size)
                yield Block(*first, *last, fill, radius * size)
            case Ellipse(center, across, down, fill):
                yield Ellipse(_moved(center, at, size), across * size, down * size, fill)
            case Lettering(center, text, height, width, fill):
                yield Lettering(_moved(center, at, size), text, height * size, width * size, fill)

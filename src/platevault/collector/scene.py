"""What an invented street looks like: shapes and colours on a stage of 1280 × 720, which `rendering` paints."""

import itertools
import random
from dataclasses import dataclass
from datetime import UTC, datetime

STAGE = (1280, 720)
HORIZON = 292.0
VANISHING = (640.0, 250.0)

Color = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Polygon:
    """A filled outline."""

    points: tuple[Point, ...]
    fill: Color


@dataclass(frozen=True, slots=True)
class Block:
    """A filled rectangle from (left, top) to (right, bottom), its corners rounded by `radius`."""

    left: float
    top: float
    right: float
    bottom: float
    fill: Color
    radius: float = 0.0


@dataclass(frozen=True, slots=True)
class Ellipse:
    """A filled ellipse around a point."""

    center: Point
    across: float
    down: float
    fill: Color


@dataclass(frozen=True, slots=True)
class Lettering:
    """Text in the middle of a place, as high as `size`, never wider than `width`."""

    center: Point
    text: str
    size: float
    width: float
    fill: Color


@dataclass(frozen=True, slots=True)
class Glow:
    """Light that spreads around a point and only ever brightens."""

    center: Point
    radius: float
    color: Color


Shape = Polygon | Block | Ellipse | Lettering


@dataclass(frozen=True, slots=True)
class Light:
    """What the hour does to a street; `strength` is 1 at noon."""

    sky_top: Color
    sky_low: Color
    strength: float

    @property
    def dark(self) -> bool:
        return self.strength < 0.55

    def on(self, color: Color, *, amount: float = 1.0) -> Color:
        """The colour of a thing in this light: dimmer towards night, and a little of the sky on it."""
        strength = self.strength * amount
        return mix(scale(color, strength), self.sky_low, 0.10)


@dataclass(frozen=True, slots=True)
class Backdrop:
    """A street without a vehicle."""

    shapes: tuple[Shape, ...]
    glows: tuple[Glow, ...]


_HOURS: tuple[tuple[float, Light], ...] = (
    (0.0, Light((7, 9, 22), (26, 28, 46), 0.30)),
    (5.0, Light((10, 14, 34), (44, 44, 66), 0.33)),
    (6.7, Light((74, 92, 140), (236, 176, 138), 0.64)),
    (9.0, Light((98, 152, 214), (206, 226, 240), 0.96)),
    (13.0, Light((84, 142, 214), (198, 222, 242), 1.04)),
    (16.5, Light((104, 152, 204), (224, 224, 220), 0.94)),
    (18.6, Light((66, 66, 116), (234, 140, 92), 0.62)),
    (20.4, Light((14, 16, 40), (58, 44, 66), 0.36)),
    (24.0, Light((7, 9, 22), (26, 28, 46), 0.30)),
)
_WALLS: tuple[Color, ...] = (
    (168, 150, 132),
    (148, 138, 130),
    (176, 120, 96),
    (132, 142, 152),
    (190, 178, 158),
    (120, 112, 116),
)


def mix(first: Color, second: Color, share: float) -> Color:
    """`first` with so much of `second` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return (red, green, blue)


def scale(color: Color, factor: float) -> Color:
    """The colour, so much brighter or darker."""
    red, green, blue = (max(0, min(255, round(part * factor))) for part in color)
    return (red, green, blue)


def light_at(moment: datetime) -> Light:
    """The light of that hour (UTC; the invented streets lie on the meridian)."""
    utc = moment.astimezone(UTC)
    hour = utc.hour + utc.minute / 60
    for (start, before), (end, after) in itertools.pairwise(_HOURS):
        if hour <= end:
            share = (hour - start) / (end - start)
            return Light(
                mix(before.sky_top, after.sky_top, share),
                mix(before.sky_low, after.sky_low, share),
                before.strength + (after.strength - before.strength) * share,
            )
    return _HOURS[0][1]


def street(chance: random.Random, light: Light) -> Backdrop:
    """Houses, trees, pavements, a road with its markings, and lamps that burn in the dark."""
    lamps = tuple(_lamp(side, depth, light) for side in (-1, 1) for depth in (0.30, 0.55))
    shapes = (
        *_skyline(chance, light),
        *_ground(light),
        *_road(chance, light),
        *_trees(chance, light),
        *(shape for lamp in lamps for shape in lamp.shapes),
    )
    return Backdrop(shapes, tuple(glow for lamp in lamps for glow in lamp.glows))


def _toward(point: Point, depth: float) -> Point:
    """A point of the foreground moved so far towards where the road ends."""
    return (
        point[0] + (VANISHING[0] - point[0]) * depth,
        point[1] + (VANISHING[1] - point[1]) * depth,
    )


def _skyline(chance: random.Random, light: Light) -> list[Shape]:
    shapes: list[Shape] = []
    left = -20.0
    while left < STAGE[0]:
        width = chance.uniform(90, 190)
        # Houses are lower where the road leads away.
        near = abs(left + width / 2 - VANISHING[0]) / VANISHING[0]
        top = HORIZON - 40 - chance.uniform(30, 90) - near * 150
        wall = light.on(chance.choice(_WALLS), amount=0.9)
        shapes.append(Block(left, top, left + width, HORIZON + 12, wall))
        shapes.append(Block(left - 3, top - 6, left + width + 3, top + 3, scale(wall, 0.7)))
        shapes.extend(_windows(chance, light, Block(left, top, left + width, HORIZON, wall)))
        left += width + chance.choice((0, 0, 6, 24))
    return shapes


def _windows(chance: random.Random, light: Light, wall: Block) -> list[Shape]:
    shapes: list[Shape] = []
    pane = mix(scale(wall.fill, 0.55), light.sky_low, 0.25)
    columns = int((wall.right - wall.left - 16) // 26)
    for row in range(int((wall.bottom - wall.top - 20) // 34)):
        for column in range(columns):
            lit = light.dark and chance.random() < 0.38
            left = wall.left + 12 + column * 26
            top = wall.top + 14 + row * 34
            warm = scale((255, 214, 140), chance.uniform(0.55, 0.95))
            shapes.append(Block(left, top, left + 13, top + 19, warm if lit else pane))
    return shapes


def _ground(light: Light) -> list[Shape]:
    grass = light.on((96, 112, 78), amount=0.85)
    walk = light.on((150, 148, 144), amount=0.9)
    shapes: list[Shape] = [Block(0, HORIZON, STAGE[0], STAGE[1], grass)]
    for side in (-1, 1):
        outer, inner = (640 + side * 1240, 740), (640 + side * 800, 740)
        shapes.append(Polygon((outer, inner, _toward(inner, 0.9), _toward(outer, 0.9)), walk))
        kerb = (640 + side * 770, 740)
        shapes.append(Polygon((inner, kerb, _toward(kerb, 0.9), _toward(inner, 0.9)), scale(walk, 1.18)))
    return shapes


def _road(chance: random.Random, light: Light) -> list[Shape]:
    asphalt = light.on(chance.choice(((84, 86, 90), (94, 92, 92), (78, 80, 86))))
    paint = light.on((222, 222, 214))
    left, right = (-130.0, 740.0), (1410.0, 740.0)
    shapes: list[Shape] = [Polygon((left, right, _toward(right, 0.9), _toward(left, 0.9)), asphalt)]
    for band in range(9):  # worn tracks, lighter towards the distance
        near, far = band * 0.1, band * 0.1 + 0.1
        tone = mix(asphalt, light.sky_low, 0.025 * band)
        shapes.append(
            Polygon((_toward(left, near), _toward(right, near), _toward(right, far), _toward(left, far)), tone)
        )
    shapes.extend(_stripe(x, 0.0, 0.88, 13, paint) for x in (-60.0, 1340.0))
    for x in (360.0, 920.0):
        shapes.extend(_stripe(x, depth, depth + 0.055, 11, paint) for depth in (0.03, 0.2, 0.36, 0.5, 0.62, 0.72, 0.8))
    for _ in range(7):  # patches of newer asphalt and old stains
        place = _toward((chance.uniform(60, 1220), 740), chance.uniform(0.05, 0.6))
        shapes.append(
            Ellipse(place, chance.uniform(20, 90), chance.uniform(4, 12), scale(asphalt, chance.uniform(0.88, 1.05)))
        )
    return shapes


def _stripe(x: float, near: float, far: float, width: float, fill: Color) -> Polygon:
    first, second = (x - width / 2, 740.0), (x + width / 2, 740.0)
    return Polygon((_toward(first, near), _toward(second, near), _toward(second, far), _toward(first, far)), fill)


def _trees(chance: random.Random, light: Light) -> list[Shape]:
    shapes: list[Shape] = []
    for depth in (0.74, 0.6, 0.42):
        for side in (-1, 1):
            if chance.random() < 0.35:
                continue
            x, y = _toward((640 + side * chance.uniform(1250, 1700), 740), depth)
            size = (1 - depth) * chance.uniform(210, 280)
            leaves = light.on(chance.choice(((70, 104, 58), (88, 112, 60), (60, 92, 66))))
            shapes.append(Block(x - size * 0.06, y - size * 0.9, x + size * 0.06, y, light.on((84, 66, 52))))
            for _ in range(9):
                spot = (x + chance.uniform(-0.34, 0.34) * size, y - size * chance.uniform(0.85, 1.5))
                tone = scale(leaves, chance.uniform(0.78, 1.15))
                shapes.append(Ellipse(spot, size * chance.uniform(0.18, 0.3), size * chance.uniform(0.16, 0.26), tone))
    return shapes


def _lamp(side: int, depth: float, light: Light) -> Backdrop:
    x, y = _toward((640.0 + side * 900, 740), depth)
    size = (1 - depth) * 640
    metal = light.on((92, 96, 100))
    head = (x - side * size * 0.2, y - size)
    shapes: tuple[Shape, ...] = (
        Block(x - size * 0.010, y - size, x + size * 0.010, y, metal),
        Polygon(((x, y - size), head, (head[0], head[1] + size * 0.018), (x, y - size + size * 0.03)), metal),
        Ellipse(head, size * 0.045, size * 0.014, (255, 236, 190) if light.dark else scale(metal, 1.2)),
    )
    if not light.dark:
        return Backdrop(shapes, ())
    return Backdrop(shapes, (Glow(head, size * 0.42, (150, 118, 66)), Glow((head[0], y), size * 0.5, (40, 32, 20))))

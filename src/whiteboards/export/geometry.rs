//! Points, what surrounds them, and the curves that go through them.

/// No coordinate that is drawn is farther from the origin; a picture has to hold it in 32-bit floats.
pub(super) const REACH: f64 = 1_000_000.0;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

impl Point {
    pub const fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }
    pub(super) fn plus(self, other: Self) -> Self {
        Self::new(self.x + other.x, self.y + other.y)
    }
    pub(super) fn minus(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }
    pub(super) fn times(self, factor: f64) -> Self {
        Self::new(self.x * factor, self.y * factor)
    }
    pub(super) fn towards(self, other: Self, part: f64) -> Self {
        self.plus(other.minus(self).times(part))
    }
    pub(super) fn length(self) -> f64 {
        self.x.hypot(self.y)
    }
    pub(super) fn distance(self, other: Self) -> f64 {
        other.minus(self).length()
    }
    /// Of length 1; nothing, where there is no direction.
    pub(super) fn direction(self) -> Option<Self> {
        let length = self.length();
        (length > 1e-9).then(|| self.times(1.0 / length))
    }
    /// A quarter turn, clockwise as it is seen.
    pub(super) fn normal(self) -> Self {
        Self::new(-self.y, self.x)
    }
    /// About the origin, by an angle in radians.
    pub(super) fn turned(self, angle: f64) -> Self {
        let (sin, cos) = angle.sin_cos();
        Self::new(self.x * cos - self.y * sin, self.x * sin + self.y * cos)
    }
}

/// The smallest upright rectangle around what it has heard of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    pub min: Point,
    pub max: Point,
}

impl Bounds {
    pub fn around(points: impl IntoIterator<Item = Point>) -> Option<Self> {
        points.into_iter().fold(None, |bounds: Option<Self>, point| {
            let Self { min, max } = bounds.unwrap_or(Self { min: point, max: point });
            Some(Self {
                min: Point::new(min.x.min(point.x), min.y.min(point.y)),
                max: Point::new(max.x.max(point.x), max.y.max(point.y)),
            })
        })
    }
    pub fn corners(self) -> [Point; 4] {
        let Self { min, max } = self;
        [min, Point::new(max.x, min.y), max, Point::new(min.x, max.y)]
    }
    pub fn with(self, other: Self) -> Self {
        Self {
            min: Point::new(self.min.x.min(other.min.x), self.min.y.min(other.min.y)),
            max: Point::new(self.max.x.max(other.max.x), self.max.y.max(other.max.y)),
        }
    }
    pub fn grown(self, by: f64) -> Self {
        Self { min: self.min.minus(Point::new(by, by)), max: self.max.plus(Point::new(by, by)) }
    }
    /// Around what this surrounds, turned about a centre.
    pub fn turned(self, angle: f64, centre: Point) -> Self {
        let turned = |corner: Point| corner.minus(centre).turned(angle).plus(centre);
        Self::around(self.corners().map(turned)).unwrap_or(self)
    }
    pub fn centre(self) -> Point {
        self.min.towards(self.max, 0.5)
    }
    pub fn size(self) -> Point {
        self.max.minus(self.min)
    }
}

pub(super) fn length(points: &[Point]) -> f64 {
    points.iter().zip(points.iter().skip(1)).map(|(one, other)| one.distance(*other)).sum()
}

/// One piece of a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Piece {
    Move(Point),
    Line(Point),
    Quadratic(Point, Point),
    Cubic(Point, Point, Point),
    Close,
}

impl Piece {
    /// The points that surround the piece; a curve lies within its control points.
    pub fn points(self) -> impl Iterator<Item = Point> {
        let points = match self {
            Self::Move(to) | Self::Line(to) => [Some(to), None, None],
            Self::Quadratic(by, to) => [Some(by), Some(to), None],
            Self::Cubic(by, and, to) => [Some(by), Some(and), Some(to)],
            Self::Close => [None; 3],
        };
        points.into_iter().flatten()
    }
}

pub(super) fn straight(points: &[Point], closed: bool) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::with_capacity(points.len() + 1);
    for point in points {
        pieces.push(if pieces.is_empty() { Piece::Move(*point) } else { Piece::Line(*point) });
    }
    if closed && !pieces.is_empty() {
        pieces.push(Piece::Close);
    }
    pieces
}

/// A curve through all points: between two of them its direction follows their neighbours.
pub(super) fn smooth(points: &[Point]) -> Vec<Piece> {
    let [first, rest @ ..] = points else { return Vec::new() };
    let mut pieces = vec![Piece::Move(*first)];
    let (mut before, mut from) = (*first, *first);
    for (place, to) in rest.iter().enumerate() {
        let after = rest.get(place + 1).unwrap_or(to);
        let leaving = from.plus(to.minus(before).times(1.0 / 6.0));
        let arriving = to.minus(after.minus(from).times(1.0 / 6.0));
        pieces.push(Piece::Cubic(leaving, arriving, *to));
        (before, from) = (from, *to);
    }
    pieces
}

/// A curve that the points pull at, through the middles between them: what a hand drew, without its trembling.
pub(super) fn drawn(points: &[Point]) -> Vec<Piece> {
    let [first, rest @ ..] = points else { return Vec::new() };
    let mut pieces = vec![Piece::Move(*first)];
    for (one, other) in rest.iter().zip(rest.iter().skip(1)) {
        pieces.push(Piece::Quadratic(*one, one.towards(*other, 0.5)));
    }
    if let Some(last) = rest.last() {
        pieces.push(Piece::Line(*last));
    }
    pieces
}

/// Straight lines with round corners; a corner takes no more than half of the lines that meet in it.
pub(super) fn rounded(points: &[Point], closed: bool, radius: f64) -> Vec<Piece> {
    let count = points.len();
    if count < 3 || radius <= 0.0 {
        return straight(points, closed);
    }
    let mut pieces = Vec::with_capacity(count * 2 + 1);
    let go = |pieces: &mut Vec<Piece>, to: Point| {
        pieces.push(if pieces.is_empty() { Piece::Move(to) } else { Piece::Line(to) });
    };
    for (place, corner) in points.iter().enumerate() {
        let before = points.get(if place == 0 { count - 1 } else { place - 1 }).unwrap_or(corner);
        let after = points.get((place + 1) % count).unwrap_or(corner);
        if !closed && (place == 0 || place + 1 == count) {
            go(&mut pieces, *corner);
            continue;
        }
        let near = |other: &Point| {
            let distance = corner.distance(*other);
            if distance > 0.0 { corner.towards(*other, radius.min(distance / 2.0) / distance) } else { *corner }
        };
        go(&mut pieces, near(before));
        pieces.push(Piece::Quadratic(*corner, near(after)));
    }
    if closed {
        pieces.push(Piece::Close);
    }
    pieces
}

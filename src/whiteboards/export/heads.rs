//! The heads of arrows.

use super::element::Head;
use super::geometry::{Piece, Point, straight};

/// How far the control points of a quarter of a circle are from its ends, in radii.
const QUARTER: f64 = 0.552_285;

pub(super) struct Drawn {
    pub pieces: Vec<Piece>,
    /// Whether it encloses something, and whether that is of the line's colour or of the board's.
    pub filled: Option<bool>,
}

/// The head at the first of the points. A line without a direction has none.
pub(super) fn draw(head: Head, mut points: impl Iterator<Item = Point>) -> Option<Drawn> {
    let tip = points.next()?;
    let behind = points.find(|point| point.distance(tip) > 0.5)?.minus(tip);
    let (length, back) = (behind.length(), behind.direction()?);
    let at = |along: f64, aside: f64| tip.plus(back.times(along)).plus(back.normal().times(aside));
    let wing = |size: f64, degrees: f64, side: f64| {
        let (sin, cos) = degrees.to_radians().sin_cos();
        at(size * cos, side * size * sin)
    };
    let closed = |points: &[Point], filled| Some(Drawn { pieces: straight(points, true), filled: Some(filled) });
    let open = |points: &[Point]| Some(Drawn { pieces: straight(points, false), filled: None });
    let size = |size: f64| size.min(length / 2.0);
    match head {
        Head::Arrow => open(&[wing(size(30.0), 20.0, 1.0), tip, wing(size(30.0), 20.0, -1.0)]),
        Head::Triangle { filled } => closed(&[tip, wing(size(15.0), 25.0, 1.0), wing(size(15.0), 25.0, -1.0)], filled),
        Head::Diamond { filled } => {
            let half = size(12.0) / 2.0;
            closed(&[tip, at(half, half * 0.6), at(half * 2.0, 0.0), at(half, half * -0.6)], filled)
        }
        Head::Bar => open(&[at(0.0, size(15.0)), at(0.0, -size(15.0))]),
        Head::Dot { filled } => {
            let radius = size(15.0) / 2.0;
            Some(Drawn { pieces: circle(at(radius, 0.0), radius), filled: Some(filled) })
        }
    }
}

fn circle(centre: Point, radius: f64) -> Vec<Piece> {
    let by = radius * QUARTER;
    let at = |x: f64, y: f64| centre.plus(Point::new(x, y));
    vec![
        Piece::Move(at(radius, 0.0)),
        Piece::Cubic(at(radius, by), at(by, radius), at(0.0, radius)),
        Piece::Cubic(at(-by, radius), at(-radius, by), at(-radius, 0.0)),
        Piece::Cubic(at(-radius, -by), at(-by, -radius), at(0.0, -radius)),
        Piece::Cubic(at(by, -radius), at(radius, -by), at(radius, 0.0)),
        Piece::Close,
    ]
}

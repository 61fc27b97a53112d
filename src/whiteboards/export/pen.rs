//! A stroke of a pen. Its width follows the pressure, and a long one is made of parts, as long lines are too.

use super::geometry::{Piece, Point, drawn};

/// The width of a stroke for each pixel of `strokeWidth`: a pen is bolder than a line.
const BOLD: f64 = 4.25;

/// A path with more points is drawn in parts, and is not filled: to paint one costs by the square of them.
pub(super) const PART: usize = 1_000;

pub(super) enum Trace {
    /// A curve of one width.
    Even { curve: Vec<Piece>, width: f64 },
    /// What the curve encloses, with a border of `width` around it. Where a stroke turns sharply its two sides
    /// cross, and the border keeps it from being torn there.
    Pressed { outline: Vec<Piece>, width: f64 },
}

impl Trace {
    pub fn new(points: &[Point], pressures: &[f64], stroke_width: f64) -> Self {
        let radius = |pressure: f64| stroke_width * BOLD * (0.2 + 0.6 * pressure.clamp(0.0, 1.0));
        let radii: Vec<f64> = points
            .iter()
            .enumerate()
            .map(|(place, _)| radius(pressures.get(place).or(pressures.last()).copied().unwrap_or(0.5)))
            .collect();
        let least = radii.iter().copied().fold(f64::INFINITY, f64::min);
        let most = radii.iter().copied().fold(0.0, f64::max);
        if points.len() < 3 || most - least < 0.1 {
            return Self::Even { curve: drawn(points), width: most * 2.0 };
        }
        let (mut one, mut other) = (Vec::with_capacity(points.len() * 2), Vec::with_capacity(points.len()));
        for (place, (point, radius)) in points.iter().zip(&radii).enumerate() {
            let before = place.checked_sub(1).and_then(|place| points.get(place)).unwrap_or(point);
            let after = points.get(place + 1).unwrap_or(point);
            if let Some(direction) = after.minus(*before).direction() {
                let side = direction.normal().times(radius - least);
                one.push(point.plus(side));
                other.push(point.minus(side));
            }
        }
        one.extend(other.into_iter().rev());
        if one.is_empty() {
            return Self::Even { curve: drawn(points), width: most * 2.0 };
        }
        let mut outline = drawn(&one);
        outline.push(Piece::Close);
        Self::Pressed { outline, width: least * 2.0 }
    }
}

/// Each part begins where the one before it ends.
pub(super) fn parts(points: &[Point]) -> impl Iterator<Item = &[Point]> {
    let starts = (0..points.len()).step_by(PART - 1).filter(move |start| *start == 0 || start + 1 < points.len());
    starts.filter_map(|start| points.get(start..points.len().min(start + PART)))
}

/// What belongs to the parts; where there is less of it, the last is meant for the rest.
pub(super) fn pressures_of(pressures: &[f64]) -> impl Iterator<Item = &[f64]> {
    let last = pressures.len().saturating_sub(1);
    (0..).step_by(PART - 1).map(move |start: usize| pressures.get(start.min(last)..).unwrap_or_default())
}

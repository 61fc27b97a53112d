//! A hand that draws: each stroke is one transaction, and so one update, of elements as Excalidraw has
//! them. New shapes, shapes that are moved, also other people's, lines that grow, and what is deleted.

use super::{ELEMENTS, stamp};
use rand::Rng;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use yrs::{Any, Doc, Map, MapRef, Out, Transact, TransactionMut};

/// A line that is longer begins anew.
const POINTS: usize = 60;

#[derive(Clone, Copy)]
pub enum Style {
    /// A bit of everything, on a board with so many authors.
    Free { authors: u16 },
    /// The same, of one's own elements alone.
    Own,
    /// So many elements of one's own, over and over.
    Over { elements: u32 },
}

pub struct Hand {
    author: u16,
    style: Style,
    /// How many updates there were that carry a stamp, and how many elements.
    drawn: u32,
    made: u32,
    line: Vec<(f64, f64)>,
}

impl Hand {
    pub fn new(author: u16, style: Style) -> Self {
        Self { author, style, drawn: 0, made: 0, line: Vec::new() }
    }

    /// The number of the last update that carries a stamp; deletions carry none.
    pub fn drawn(&self) -> u32 {
        self.drawn
    }

    /// Changes the document and gives the update. What has no scheduled moment is not measured.
    pub fn draw(&mut self, doc: &Doc, scheduled: Option<Instant>) -> Vec<u8> {
        let stamp = scheduled.map_or_else(String::new, |at| stamp::write(self.author, self.drawn + 1, at));
        let elements = doc.get_or_insert_map(ELEMENTS);
        let mut writing = doc.transact_mut();
        match self.style {
            Style::Over { elements: count } => {
                let key = key(self.author, self.drawn % count.max(1));
                self.touch(&elements, &mut writing, key, &stamp);
                self.drawn += 1;
            }
            Style::Free { authors } => {
                let author = rand::rng().random_range(0..authors.max(1));
                self.anything(&elements, &mut writing, author, &stamp);
            }
            Style::Own => self.anything(&elements, &mut writing, self.author, &stamp),
        }
        writing.encode_update_v1()
    }

    /// Many shapes at once, in one update.
    pub fn draw_many(&mut self, doc: &Doc, count: u32, scheduled: Instant) -> Vec<u8> {
        self.drawn += 1;
        let stamp = stamp::write(self.author, self.drawn, scheduled);
        let elements = doc.get_or_insert_map(ELEMENTS);
        let mut writing = doc.transact_mut();
        for number in 0..count {
            let stamp = if number == 0 { stamp.as_str() } else { "" };
            self.shape(&elements, &mut writing, stamp);
        }
        writing.encode_update_v1()
    }

    /// What is changed or deleted is this author's.
    fn anything(&mut self, elements: &MapRef, writing: &mut TransactionMut<'_>, author: u16, stamp: &str) {
        let mut rng = rand::rng();
        let anybody = key(author, rng.random_range(0..self.made.max(1)));
        match rng.random_range(0..100) {
            0..25 => self.shape(elements, writing, stamp),
            25..70 => self.touch(elements, writing, anybody, stamp),
            70..90 => self.grow(elements, writing, stamp),
            _ if elements.remove(writing, &anybody).is_some() => return,
            _ => self.shape(elements, writing, stamp),
        }
        self.drawn += 1;
    }

    fn shape(&mut self, elements: &MapRef, writing: &mut TransactionMut<'_>, stamp: &str) {
        let key = key(self.author, self.made);
        self.made += 1;
        let mut rng = rand::rng();
        let kind = ["rectangle", "ellipse", "diamond"][rng.random_range(0..3)];
        let mut element = element(&key, kind, rng.random_range(0..4_000).into(), rng.random_range(0..4_000).into());
        element.insert("customData".to_owned(), stamped(stamp));
        elements.insert(writing, key, Any::Map(Arc::new(element)));
    }

    /// Moves an element; one that is not there (any more) is drawn instead.
    fn touch(&mut self, elements: &MapRef, writing: &mut TransactionMut<'_>, key: String, stamp: &str) {
        let mut changed = match elements.get(writing, &key) {
            Some(Out::Any(Any::Map(found))) => HashMap::clone(&found),
            _ if !matches!(self.style, Style::Over { .. }) => return self.shape(elements, writing, stamp),
            _ => element(&key, "rectangle", 0.0, 0.0),
        };
        let mut rng = rand::rng();
        for name in ["x", "y"] {
            changed.insert(name.to_owned(), Any::from(f64::from(rng.random_range(0..40_000)) / 10.0));
        }
        changed.insert("version".to_owned(), Any::from(f64::from(self.drawn)));
        changed.insert("versionNonce".to_owned(), Any::from(f64::from(rng.random_range(0..1 << 30))));
        changed.insert("customData".to_owned(), stamped(stamp));
        elements.insert(writing, key, Any::Map(Arc::new(changed)));
    }

    /// Draws on at a line: it is written again with three points more.
    fn grow(&mut self, elements: &MapRef, writing: &mut TransactionMut<'_>, stamp: &str) {
        if self.line.is_empty() || self.line.len() >= POINTS {
            self.line.clear();
            self.made += 1;
        }
        let key = key(self.author, self.made - 1);
        let mut rng = rand::rng();
        for _ in 0..3 {
            let (x, y) = self.line.last().copied().unwrap_or_default();
            self.line.push((x + f64::from(rng.random_range(-9..9)), y + f64::from(rng.random_range(-9..9))));
        }
        let mut line = element(&key, "freedraw", 100.0, 100.0);
        let points = self.line.iter().map(|(x, y)| Any::from(vec![Any::from(*x), Any::from(*y)]));
        line.insert("points".to_owned(), Any::from(points.collect::<Vec<_>>()));
        line.insert("pressures".to_owned(), Any::from(Vec::<Any>::new()));
        line.insert("simulatePressure".to_owned(), Any::from(true));
        line.insert("customData".to_owned(), stamped(stamp));
        elements.insert(writing, key, Any::Map(Arc::new(line)));
    }
}

fn key(author: u16, number: u32) -> String {
    format!("a{author}-e{number}")
}

fn stamped(stamp: &str) -> Any {
    Any::from(HashMap::from([("stamp".to_owned(), Any::from(stamp))]))
}

fn element(key: &str, kind: &str, x: f64, y: f64) -> HashMap<String, Any> {
    let mut rng = rand::rng();
    let number = |number: u32| Any::from(f64::from(number));
    let nothing = || Any::from(Vec::<Any>::new());
    HashMap::from(
        [
            ("id", Any::from(key)),
            ("type", Any::from(kind)),
            ("x", Any::from(x)),
            ("y", Any::from(y)),
            ("width", number(120)),
            ("height", number(80)),
            ("angle", number(0)),
            ("strokeColor", Any::from("#1e1e1e")),
            ("backgroundColor", Any::from("transparent")),
            ("fillStyle", Any::from("solid")),
            ("strokeWidth", number(2)),
            ("strokeStyle", Any::from("solid")),
            ("roughness", number(1)),
            ("opacity", number(100)),
            ("groupIds", nothing()),
            ("frameId", Any::Null),
            ("index", Any::from("a0")),
            ("roundness", Any::Null),
            ("seed", number(rng.random_range(0..1 << 30))),
            ("version", number(1)),
            ("versionNonce", number(rng.random_range(0..1 << 30))),
            ("isDeleted", Any::from(false)),
            ("boundElements", nothing()),
            ("updated", number(1)),
            ("link", Any::Null),
            ("locked", Any::from(false)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}

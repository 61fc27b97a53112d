//! Whiteboards as files: read from what is kept of them, on any node, whether their meeting goes on or not.

pub mod export;
mod exporter;

pub use exporter::{Exporter, Failure, File, Format, Made, Pace};

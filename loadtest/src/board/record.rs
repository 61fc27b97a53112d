//! What somebody at a board did, was sent, and found wrong.

use super::Made;
use crate::rest::Failure;
use hdrhistogram::Histogram;

pub struct Record {
    pub drawn: u64,
    pub drawn_offline: u64,
    /// Own updates that came back.
    pub echoed: u64,
    /// Other people's updates that came.
    pub deliveries: u64,
    pub latency: Histogram<u64>,
    pub cursors: u64,
    pub drops: u64,
    /// Sockets that were closed by the server, or lost with it.
    pub lost: u64,
    pub last_close: Option<u16>,
    /// Why the last try to come in failed.
    pub last_refusal: Option<String>,
    /// How often the sync protocol ran.
    pub syncs: u64,
    pub is_synced: bool,
    pub violations: Vec<String>,
    /// All that was broadcast to this one.
    pub acknowledged: Made,
}

impl Record {
    pub fn new() -> Result<Self, Failure> {
        Ok(Self {
            drawn: 0,
            drawn_offline: 0,
            echoed: 0,
            deliveries: 0,
            latency: Histogram::new_with_bounds(1, 120_000_000, 3)?,
            cursors: 0,
            drops: 0,
            lost: 0,
            last_close: None,
            last_refusal: None,
            syncs: 0,
            is_synced: false,
            violations: Vec::new(),
            acknowledged: Made::default(),
        })
    }
}

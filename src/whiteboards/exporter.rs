//! Makes files of boards. A board that was drawn to be hard to paint takes a core for many seconds, and any
//! large one some hundred megabytes: so few are worked on at once, some wait, and whoever comes then is told
//! to come later. All formats share this, because to read a board takes as much as to paint it. A file stays
//! in memory until it is sent, and whoever asked for it may not read: there is only so much room for files.

use super::export::{Board, Error, Fonts, Limits, to_json, to_png, to_svg};
use actix_web::web::Bytes;
use convoke_actors::ports::{BoardLog, StoreError};
use convoke_actors::whiteboard::document::{self, Shown};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Svg,
    Png,
}

impl Format {
    /// None: there is no such format.
    pub fn of(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("json") => Some(Self::Json),
            Some("svg") => Some(Self::Svg),
            Some("png") => Some(Self::Png),
            Some(_) => None,
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Svg => "image/svg+xml",
            Self::Png => "image/png",
        }
    }

    /// What the names of such files end with: editors know their own by it.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Json => "excalidraw",
            Self::Svg => "svg",
            Self::Png => "png",
        }
    }
}

/// How much is done at once.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub at_once: usize,
    pub waiting_max: usize,
    /// How long one waits for its turn.
    pub wait: Duration,
    /// Of all files that are made and not sent yet.
    pub unsent_bytes_max: usize,
}

/// What was made, in memory; there is room for others when this is dropped.
#[derive(Debug)]
pub struct File {
    pub bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// A file, and how far the board was drawn that it shows.
#[derive(Debug)]
pub struct Made {
    pub file: File,
    pub number: u64,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("too many exports are under way")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Picture(#[from] Error),
    #[error("the board cannot be read: {0}")]
    Broken(String),
}

#[derive(Clone)]
pub struct Exporter {
    /// Places for those that are worked on and those that wait.
    places: Arc<Semaphore>,
    working: Arc<Semaphore>,
    wait: Duration,
    unsent: Room,
    limits: Arc<Limits>,
    /// Read when the first picture is painted.
    fonts: Arc<OnceLock<Fonts>>,
}

impl Exporter {
    pub fn new(pace: Pace) -> Self {
        Self {
            places: Arc::new(Semaphore::new(pace.at_once.saturating_add(pace.waiting_max))),
            working: Arc::new(Semaphore::new(pace.at_once)),
            wait: pace.wait,
            unsent: Room::new(pace.unsent_bytes_max),
            limits: Arc::default(),
            fonts: Arc::default(),
        }
    }

    /// A file of the board that is read when its turn comes.
    pub async fn export<R>(&self, name: String, format: Format, read: R) -> Result<Made, Failure>
    where
        R: Future<Output = Result<BoardLog, StoreError>> + Send + 'static,
    {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Failure::Busy)?;
        let turn = tokio::time::timeout(self.wait, Arc::clone(&self.working).acquire_owned());
        let turn = turn.await.ok().and_then(Result::ok).ok_or(Failure::Busy)?;
        let (limits, fonts, unsent) = (Arc::clone(&self.limits), Arc::clone(&self.fonts), self.unsent.clone());
        // Whoever asked may go; what was begun for them keeps its place until it is done.
        let work = tokio::spawn(async move {
            let _held = (place, turn);
            let log = read.await?;
            let number = log.head();
            let shown = document::shown(log).await.map_err(|refusal| Failure::Broken(refusal.to_string()))?;
            let paint = move || painted(name, shown, format, &limits, &fonts);
            let painted = tokio::task::spawn_blocking(paint).await;
            let bytes = painted.map_err(|error| Failure::Broken(error.to_string()))??;
            let file = unsent.take(bytes).ok_or(Failure::Busy)?;
            Ok(Made { file, number })
        });
        work.await.unwrap_or_else(|error| Err(Failure::Broken(error.to_string())))
    }
}

/// Room for files, in KiB.
#[derive(Clone)]
struct Room {
    free: Arc<Semaphore>,
    whole: u32,
}

impl Room {
    fn new(bytes: usize) -> Self {
        let whole = u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX);
        Self { free: Arc::new(Semaphore::new(usize::try_from(whole).unwrap_or(Semaphore::MAX_PERMITS))), whole }
    }

    /// None: others are in the way. A file that is larger than all of the room has it for itself.
    fn take(&self, bytes: Vec<u8>) -> Option<File> {
        let wanted = u32::try_from(bytes.len().div_ceil(1_024)).unwrap_or(u32::MAX).min(self.whole);
        let room = Arc::clone(&self.free).try_acquire_many_owned(wanted).ok()?;
        // Nothing more is kept than is counted.
        Some(File { bytes: Bytes::from(bytes.into_boxed_slice()), _room: room })
    }
}

fn painted(
    name: String,
    shown: Shown,
    format: Format,
    limits: &Limits,
    fonts: &OnceLock<Fonts>,
) -> Result<Vec<u8>, Error> {
    let board = Board::new(name, shown.elements.into_iter().collect(), shown.files.into_iter().collect());
    match format {
        Format::Json => to_json(&board).map(String::into_bytes),
        Format::Svg => to_svg(&board, limits).map(|svg| svg.markup.into_bytes()),
        Format::Png => to_png(&to_svg(&board, limits)?, limits, fonts.get_or_init(Fonts::embedded)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn exporter(at_once: usize, waiting_max: usize) -> Exporter {
        let wait = Duration::from_millis(50);
        Exporter::new(Pace { at_once, waiting_max, wait, unsent_bytes_max: 2 << 10 })
    }

    #[tokio::test]
    async fn an_empty_board_is_a_file_of_every_format() {
        for (format, begins) in [(Format::Json, &b"{"[..]), (Format::Svg, b"<svg"), (Format::Png, b"\x89PNG")] {
            let made = exporter(1, 0).export("Plan".into(), format, async { Ok(BoardLog::default()) }).await.unwrap();
            assert!(made.file.bytes.starts_with(begins) && made.number == 0, "{format:?}");
        }
    }

    #[tokio::test]
    async fn what_finds_no_place_or_waits_too_long_is_told_to_come_later() {
        let exporter = exporter(1, 1);
        let never = || std::future::pending::<Result<BoardLog, StoreError>>();
        let ask = |exporter: &Exporter| {
            let exporter = exporter.clone();
            tokio::spawn(async move { exporter.export("Plan".into(), Format::Json, never()).await })
        };
        let first = ask(&exporter);
        while exporter.working.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let second = ask(&exporter);
        while exporter.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let third = exporter.export("Plan".into(), Format::Json, never()).await;
        assert!(matches!(third, Err(Failure::Busy)), "there is no place to wait");
        assert!(matches!(second.await.unwrap(), Err(Failure::Busy)), "it waited long enough");
        // Whoever asked first has gone, and the work has not.
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let next = exporter.export("Plan".into(), Format::Json, never()).await;
        assert!(matches!(next, Err(Failure::Busy)), "the place is held by what is under way");
    }

    #[tokio::test]
    async fn files_that_are_not_sent_take_room_until_they_are_dropped() {
        let exporter = exporter(1, 0);
        let ask = || exporter.export("Plan".into(), Format::Json, async { Ok(BoardLog::default()) });
        let (one, other) = (ask().await.unwrap(), ask().await.unwrap());
        assert!(matches!(ask().await, Err(Failure::Busy)), "both of them are still there");
        drop(one);
        let third = ask().await.unwrap();
        assert!(matches!(ask().await, Err(Failure::Busy)));
        drop((other, third));
        // What would never fit is made when there is nothing else.
        let large = exporter.unsent.take(vec![0; 1 << 20]).unwrap();
        assert!(matches!(ask().await, Err(Failure::Busy)));
        drop(large);
        ask().await.unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_read_gives_its_place_back() {
        let exporter = exporter(1, 0);
        for _ in 0..3 {
            let read = async { Err(StoreError::NotFound) };
            let failed = exporter.export("Plan".into(), Format::Json, read).await;
            assert!(matches!(failed, Err(Failure::Store(StoreError::NotFound))));
        }
    }
}

//! Makes files of boards. A board that was drawn to be hard to paint takes a core for many seconds, and any
//! large one some hundred megabytes: so few are worked on at once, some wait, and whoever comes then is told
//! to come later. All formats share this, because to read a board takes as much as to paint it. A file stays
//! in memory until it is sent, and whoever asked for it may not read: there is only so much room for files.
//! The people of one meeting have half of all this: whatever they ask for, others are served.

use super::export::{Board, Error, Fonts, Limits, to_json, to_png, to_svg};
use actix_web::web::Bytes;
use convoke_actors::ports::{BoardLog, MeetingKey, StoreError};
use convoke_actors::whiteboard::document::{self, Shown};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

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

impl Pace {
    /// What one meeting has of it.
    fn half(self) -> Self {
        Self {
            at_once: (self.at_once / 2).max(1),
            waiting_max: self.waiting_max / 2,
            unsent_bytes_max: self.unsent_bytes_max / 2,
            ..self
        }
    }
}

/// What was made, in memory; there is room for others when this is dropped.
#[derive(Debug)]
pub struct File {
    pub bytes: Bytes,
    _rooms: [OwnedSemaphorePermit; 2],
    /// As long as it has something of a meeting's.
    _meeting: Arc<Space>,
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
    pace: Pace,
    node: Arc<Space>,
    /// Of those whose boards are worked on, or whose files are not sent.
    meetings: Arc<Mutex<HashMap<MeetingKey, Weak<Space>>>>,
    limits: Arc<Limits>,
    /// Read when the first picture is painted.
    fonts: Arc<OnceLock<Fonts>>,
}

impl Exporter {
    pub fn new(pace: Pace) -> Self {
        let node = Arc::new(Space::new(pace));
        Self { pace, node, meetings: Arc::default(), limits: Arc::default(), fonts: Arc::default() }
    }

    /// A file of a meeting's board, which is read when its turn comes.
    pub async fn export<R>(&self, key: &MeetingKey, name: String, format: Format, read: R) -> Result<Made, Failure>
    where
        R: Future<Output = Result<BoardLog, StoreError>> + Send + 'static,
    {
        let (meeting, node) = (self.meeting(key), Arc::clone(&self.node));
        let places = (meeting.place()?, node.place()?);
        let turns = async { Ok::<_, AcquireError>((meeting.turn().await?, node.turn().await?)) };
        let turns = tokio::time::timeout(self.pace.wait, turns).await.ok().and_then(Result::ok).ok_or(Failure::Busy)?;
        let (limits, fonts) = (Arc::clone(&self.limits), Arc::clone(&self.fonts));
        // Whoever asked may go; what was begun for them keeps its place until it is done.
        let work = tokio::spawn(async move {
            let _held = (places, turns);
            let log = read.await?;
            let number = log.head();
            let shown = document::shown(log).await.map_err(|refusal| Failure::Broken(refusal.to_string()))?;
            let paint = move || painted(name, shown, format, &limits, &fonts);
            let painted = tokio::task::spawn_blocking(paint).await;
            let bytes = painted.map_err(|error| Failure::Broken(error.to_string()))??;
            let rooms = [meeting.room(bytes.len())?, node.room(bytes.len())?];
            // Nothing more is kept than is counted.
            let file = File { bytes: Bytes::from(bytes.into_boxed_slice()), _rooms: rooms, _meeting: meeting };
            Ok(Made { file, number })
        });
        work.await.unwrap_or_else(|error| Err(Failure::Broken(error.to_string())))
    }

    fn meeting(&self, key: &MeetingKey) -> Arc<Space> {
        let mut meetings = self.meetings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(space) = meetings.get(key).and_then(Weak::upgrade) {
            return space;
        }
        meetings.retain(|_, space| space.strong_count() > 0);
        let space = Arc::new(Space::new(self.pace.half()));
        meetings.insert(key.clone(), Arc::downgrade(&space));
        space
    }
}

/// What there is for exports: of the whole node, or of one meeting.
#[derive(Debug)]
struct Space {
    /// Places for those that are worked on and those that wait.
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    /// Room for files, in KiB.
    unsent: Arc<Semaphore>,
    unsent_kib: u32,
}

impl Space {
    fn new(pace: Pace) -> Self {
        let unsent_kib = kib(pace.unsent_bytes_max);
        Self {
            places: Arc::new(Semaphore::new(pace.at_once.saturating_add(pace.waiting_max))),
            turns: Arc::new(Semaphore::new(pace.at_once)),
            unsent: Arc::new(Semaphore::new(usize::try_from(unsent_kib).unwrap_or(Semaphore::MAX_PERMITS))),
            unsent_kib,
        }
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| Failure::Busy)
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.turns).acquire_owned().await
    }

    /// Room for a file of so many bytes, unless others are in the way. One that is larger than all of the room has it
    /// for itself.
    fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Failure> {
        let wanted = kib(bytes).min(self.unsent_kib);
        Arc::clone(&self.unsent).try_acquire_many_owned(wanted).map_err(|_| Failure::Busy)
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX)
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
    use convoke_domain::{MeetingId, TenantId};
    use uuid::Uuid;

    fn exporter(at_once: usize, waiting_max: usize) -> Exporter {
        let wait = Duration::from_millis(50);
        Exporter::new(Pace { at_once, waiting_max, wait, unsent_bytes_max: 2 << 10 })
    }

    /// Of another meeting each time.
    fn any() -> MeetingKey {
        MeetingKey { tenant: TenantId("t".into()), meeting: MeetingId(Uuid::now_v7()) }
    }

    async fn empty(exporter: &Exporter, key: &MeetingKey) -> Result<Made, Failure> {
        exporter.export(key, "Plan".into(), Format::Json, async { Ok(BoardLog::default()) }).await
    }

    #[tokio::test]
    async fn an_empty_board_is_a_file_of_every_format() {
        for (format, begins) in [(Format::Json, &b"{"[..]), (Format::Svg, b"<svg"), (Format::Png, b"\x89PNG")] {
            let read = async { Ok(BoardLog::default()) };
            let made = exporter(1, 0).export(&any(), "Plan".into(), format, read).await.unwrap();
            assert!(made.file.bytes.starts_with(begins) && made.number == 0, "{format:?}");
        }
    }

    #[tokio::test]
    async fn what_finds_no_place_or_waits_too_long_is_told_to_come_later() {
        let exporter = exporter(1, 1);
        let never = || std::future::pending::<Result<BoardLog, StoreError>>();
        let ask = |exporter: &Exporter| {
            let exporter = exporter.clone();
            tokio::spawn(async move { exporter.export(&any(), "Plan".into(), Format::Json, never()).await })
        };
        let first = ask(&exporter);
        while exporter.node.turns.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let second = ask(&exporter);
        while exporter.node.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let third = exporter.export(&any(), "Plan".into(), Format::Json, never()).await;
        assert!(matches!(third, Err(Failure::Busy)), "there is no place to wait");
        assert!(matches!(second.await.unwrap(), Err(Failure::Busy)), "it waited long enough");
        // Whoever asked first has gone, and the work has not.
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let next = exporter.export(&any(), "Plan".into(), Format::Json, never()).await;
        assert!(matches!(next, Err(Failure::Busy)), "the place is held by what is under way");
    }

    #[tokio::test]
    async fn files_that_are_not_sent_take_room_until_they_are_dropped() {
        let exporter = exporter(1, 0);
        let (one, other) = (empty(&exporter, &any()).await.unwrap(), empty(&exporter, &any()).await.unwrap());
        assert!(matches!(empty(&exporter, &any()).await, Err(Failure::Busy)), "both of them are still there");
        drop(one);
        let third = empty(&exporter, &any()).await.unwrap();
        assert!(matches!(empty(&exporter, &any()).await, Err(Failure::Busy)));
        drop((other, third));
        // What would never fit is made when there is nothing else.
        let large = exporter.node.room(1 << 20).unwrap();
        assert!(matches!(empty(&exporter, &any()).await, Err(Failure::Busy)));
        drop(large);
        empty(&exporter, &any()).await.unwrap();
    }

    #[tokio::test]
    async fn whatever_one_meeting_asks_for_others_are_served() {
        let exporter = exporter(2, 2);
        let (one, other) = (any(), any());
        let never = |exporter: &Exporter, key: &MeetingKey| {
            let (exporter, key) = (exporter.clone(), key.clone());
            let never = std::future::pending::<Result<BoardLog, StoreError>>();
            tokio::spawn(async move { exporter.export(&key, "Plan".into(), Format::Json, never).await })
        };
        let works = never(&exporter, &one);
        while exporter.node.turns.available_permits() > 1 {
            tokio::task::yield_now().await;
        }
        let waits = never(&exporter, &one);
        while exporter.node.places.available_permits() > 2 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(empty(&exporter, &one).await, Err(Failure::Busy)), "it has its places");
        let first = empty(&exporter, &other).await.unwrap();
        assert!(matches!(waits.await.unwrap(), Err(Failure::Busy)), "its turn did not come");
        assert!(matches!(empty(&exporter, &other).await, Err(Failure::Busy)), "a file of it is not sent");
        let third = empty(&exporter, &any()).await.unwrap();
        drop((first, third));
        empty(&exporter, &other).await.unwrap();
        works.abort();
        let known = || exporter.meetings.lock().unwrap().len();
        assert!(known() <= 3, "who has nothing is forgotten: {}", known());
        for _ in 0..9 {
            empty(&exporter, &any()).await.unwrap();
        }
        assert!(known() <= 3, "{}", known());
    }

    #[tokio::test]
    async fn what_cannot_be_read_gives_its_place_back() {
        let exporter = exporter(1, 0);
        for _ in 0..3 {
            let read = async { Err(StoreError::NotFound) };
            let failed = exporter.export(&any(), "Plan".into(), Format::Json, read).await;
            assert!(matches!(failed, Err(Failure::Store(StoreError::NotFound))));
        }
    }
}

//! A file on its way to whoever asked for it, piece by piece. They may read slowly, or nothing at all; the file
//! is in memory for so long and no longer.

use crate::whiteboards::File;
use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::AbortHandle;

/// How long the whole of a file may take.
const TIME: Duration = Duration::from_secs(120);
/// What is handed to the connection at once is copied into its buffer.
const PIECE: usize = 32 << 10;

#[derive(Debug, thiserror::Error)]
#[error("the file was not taken in time")]
pub struct GivenUp;

pub struct Sending {
    /// None: it was given up.
    file: Arc<Mutex<Option<File>>>,
    size: usize,
    sent: usize,
    clock: AbortHandle,
}

impl Sending {
    pub fn new(file: File) -> Self {
        let size = file.bytes.len();
        let file = Arc::new(Mutex::new(Some(file)));
        // A connection that takes nothing does not ask for the next piece either, so this runs beside it.
        let late = Arc::clone(&file);
        let clock = tokio::spawn(async move {
            tokio::time::sleep(TIME).await;
            give_up(&late);
        });
        Self { file, size, sent: 0, clock: clock.abort_handle() }
    }

    fn piece(&self) -> Option<Bytes> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let end = self.sent.saturating_add(PIECE).min(self.size);
        file.as_ref().map(|file| file.bytes.slice(self.sent..end))
    }
}

fn give_up(file: &Mutex<Option<File>>) {
    drop(file.lock().unwrap_or_else(PoisonError::into_inner).take());
}

impl MessageBody for Sending {
    type Error = GivenUp;

    fn size(&self) -> BodySize {
        BodySize::Sized(u64::try_from(self.size).unwrap_or(u64::MAX))
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, GivenUp>>> {
        let sending = self.get_mut();
        if sending.sent == sending.size {
            return Poll::Ready(None);
        }
        let piece = sending.piece().ok_or(GivenUp);
        sending.sent = sending.sent.saturating_add(piece.as_ref().map_or(0, Bytes::len));
        Poll::Ready(Some(piece))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.clock.abort();
        give_up(&self.file);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::http::whiteboards::files::sent;
    use crate::whiteboards::{Exporter, Failure, Format, Made, Pace};
    use actix_web::HttpResponse;
    use actix_web::body::to_bytes;
    use convoke_actors::ports::{BoardLog, MeetingKey};
    use convoke_domain::{MeetingId, TenantId};
    use std::future::poll_fn;
    use uuid::Uuid;

    fn key() -> MeetingKey {
        MeetingKey { tenant: TenantId("t".into()), meeting: MeetingId(Uuid::nil()) }
    }

    /// With room for one file of an empty board.
    fn exporter() -> Exporter {
        let wait = Duration::from_millis(50);
        Exporter::new(Pace { at_once: 1, waiting_max: 0, wait, unsent_bytes_max: 1 << 10 })
    }

    async fn answer(exporter: &Exporter) -> Result<HttpResponse, Failure> {
        let read = async { Ok(BoardLog::default()) };
        let Made { file, .. } = exporter.export(&key(), "Plan".into(), Format::Json, read).await?;
        Ok(sent("\"1\"", Format::Json, "Plan", file))
    }

    #[tokio::test]
    async fn an_answer_that_is_not_read_takes_room_until_it_is_dropped() {
        let exporter = exporter();
        let unread = answer(&exporter).await.unwrap();
        assert!(matches!(answer(&exporter).await, Err(Failure::Busy)));
        drop(unread);
        let read = answer(&exporter).await.unwrap().into_body();
        assert!(matches!(read.size(), BodySize::Sized(1..)));
        assert!(to_bytes(read).await.unwrap().starts_with(b"{"));
        assert!(answer(&exporter).await.is_ok(), "what was read takes none");
    }

    #[tokio::test]
    async fn a_file_is_sent_whole_and_in_pieces() {
        let read = async { Ok(BoardLog::default()) };
        let made = exporter().export(&key(), "Plan ".repeat(PIECE / 2), Format::Json, read).await.unwrap();
        let whole = made.file.bytes.clone();
        let mut sending = std::pin::pin!(Sending::new(made.file));
        let mut pieces = Vec::new();
        while let Some(piece) = poll_fn(|cx| sending.as_mut().poll_next(cx)).await {
            pieces.push(piece.unwrap());
        }
        assert!(pieces.len() > 2 && pieces.iter().all(|piece| piece.len() <= PIECE));
        assert_eq!(pieces.concat(), whole);
    }

    async fn wait(time: Duration) {
        // A clock that stands runs on while a file is made by another thread.
        tokio::time::pause();
        tokio::time::sleep(time).await;
        tokio::time::resume();
    }

    #[tokio::test]
    async fn a_file_that_is_not_taken_in_time_is_given_up() {
        let exporter = exporter();
        let unread = answer(&exporter).await.unwrap();
        wait(TIME - Duration::from_secs(60)).await;
        assert!(matches!(answer(&exporter).await, Err(Failure::Busy)));
        wait(Duration::from_secs(60)).await;
        assert!(answer(&exporter).await.is_ok(), "there is room, though nobody asked for a piece");
        assert!(to_bytes(unread.into_body()).await.is_err(), "the connection is cut");
    }
}

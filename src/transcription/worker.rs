//! Those who have files transcribed, as many of a node at once as it allows. A file is read from the objects
//! in pieces as the service takes it, so its size costs no memory, and a slow upload outlasts no request to a
//! bucket. A lease is longer than a file may take; a node that dies over one is followed when it has run out.

use super::lease::Leased;
use super::{Ask, Audio, DETECT, Failure, Jobs, Segment, Transcriber};
use crate::config::Config;
use crate::objects::{ObjectPath, Objects, ObjectsError, paths};
use crate::webhooks::{Notice, Webhooks};
use bytes::Bytes;
use convoke_actors::ports::StoreError;
use convoke_domain::Millis;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, try_unfold};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// What is read of an object at a time.
const PIECE: u64 = 4 * 1024 * 1024;
/// How often it is looked what is to be done, besides when somebody asks for it.
const EVERY: Duration = Duration::from_secs(5);
const WAIT_MAX: Duration = Duration::from_secs(3_600);
const SPARE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(1);
const OUT_OF_REACH: Failure = Failure::temporary("the objects are out of reach");

/// How much is tried, and how often.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Files at once.
    pub at_once: usize,
    /// How long one file may take.
    pub limit: Duration,
    pub bytes_max: u64,
    pub attempts_max: u32,
    /// The wait after the first failure; doubled after each further one.
    pub wait: Duration,
    /// How often it is looked what is to be done.
    pub every: Duration,
    /// In which languages every recording is transcribed; empty: none is by itself.
    pub automatic: Vec<String>,
}

impl Policy {
    pub fn new(config: &Config) -> Self {
        let wait = Duration::from_millis(config.transcription_wait_ms);
        let is_automatic = config.transcription_automatic == "yes";
        Self {
            at_once: config.transcriptions_at_once,
            limit: Duration::from_secs(config.transcription_s),
            bytes_max: config.transcription_bytes_max,
            attempts_max: config.transcription_attempts_max,
            wait,
            every: wait.min(EVERY),
            automatic: config.transcription_languages.iter().filter(|_| is_automatic).cloned().collect(),
        }
    }

    fn lease(&self) -> Duration {
        self.limit.saturating_add(SPARE)
    }

    /// The wait before the next try, if there is one.
    fn again(&self, attempt: i64, failure: &Failure) -> Option<Duration> {
        let attempts = u32::try_from(attempt).unwrap_or(u32::MAX);
        if failure.is_permanent || attempts >= self.attempts_max {
            return None;
        }
        let wait = self.wait.saturating_mul(1_u32 << attempts.saturating_sub(1).min(16)).min(WAIT_MAX);
        Some(wait.max(failure.retry_after.unwrap_or_default()))
    }
}

#[derive(Clone)]
pub struct Worker {
    pub jobs: Jobs,
    pub objects: Objects,
    pub transcriber: Arc<dyn Transcriber>,
    pub webhooks: Webhooks,
    pub policy: Policy,
    pub wake: Arc<Notify>,
}

impl Worker {
    /// Has one file transcribed, if one is due. False: none is.
    pub async fn pass(&self) -> Result<bool, StoreError> {
        let Some(leased) = self.jobs.lease(self.policy.lease()).await? else { return Ok(false) };
        // There may be more, for the others.
        self.wake.notify_one();
        let failure = match self.transcribed(&leased).await? {
            Ok((zero, segments)) => {
                let is_kept = self.jobs.complete(&leased, zero, &segments).await?;
                count("completed");
                tracing::info!(recording = %leased.named.recording, segments = segments.len(), is_kept, "a file is transcribed");
                // It was deleted meanwhile, or somebody was erased: what is left of the row is over.
                (!is_kept).then_some(GONE)
            }
            Err(failure) => Some(failure),
        };
        if let Some(failure) = failure {
            let again = self.policy.again(leased.attempt, &failure);
            count(if again.is_some() { "again" } else { "failed" });
            let (recording, why) = (leased.named.recording, failure.why);
            tracing::info!(%recording, attempt = leased.attempt, again = again.is_some(), why, "a file was not transcribed");
            self.jobs.fail(&leased, &failure, again).await?;
        }
        self.tell().await?;
        Ok(true)
    }

    async fn transcribed(&self, of: &Leased) -> Result<Result<(Millis, Vec<Segment>), Failure>, StoreError> {
        // Somebody may have died over it as often.
        if of.attempt > i64::from(self.policy.attempts_max) {
            return Ok(Err(Failure::permanent("it was tried too often")));
        }
        let Some(found) = self.jobs.file(of).await? else { return Ok(Err(GONE)) };
        let path = match &found.location {
            Some(location) => ObjectPath::parse(location).ok(),
            None => paths::of_take(&of.named.key, of.named.recording, &found.told),
        };
        let Some(path) = path else { return Ok(Err(Failure::permanent("the file has a path that cannot be"))) };
        let done = tokio::time::timeout(self.policy.limit, self.sent(of, path)).await;
        let done = done.unwrap_or(Err(Failure::temporary("the transcriber did not answer in time")));
        Ok(done.map(|segments| (found.started_at, segments)))
    }

    async fn sent(&self, of: &Leased, path: ObjectPath) -> Result<Vec<Segment>, Failure> {
        let meta = self.objects.meta(&path).await.map_err(|_| OUT_OF_REACH)?;
        let meta = meta.ok_or(Failure::temporary("the file is not there"))?;
        if meta.size > self.policy.bytes_max {
            return Err(Failure::permanent("the file is too large"));
        }
        let content_type = paths::content_type(&path);
        let stream = pieces(self.objects.clone(), path, meta.size, meta.e_tag);
        let language = Some(of.language.clone()).filter(|language| language != DETECT);
        let ask = Ask { language, several: of.participant.is_none() };
        self.transcriber.transcribe(Audio { bytes: meta.size, content_type, stream }, &ask).await
    }

    /// Tells integrators of what is over. It is told again where that breaks off, under the same key.
    pub async fn tell(&self) -> Result<(), StoreError> {
        for over in self.jobs.untold().await? {
            let (named, is_done) = (&over.named, over.completed > 0);
            let kind = if is_done { "transcript.completed" } else { "transcript.failed" };
            let data = json!({
                "meeting_id": named.key.meeting, "recording_id": named.recording, "language": over.language,
                "files": over.completed.saturating_add(over.failed), "failed": over.failed, "error": over.error,
            });
            let key = format!("transcript:{}:{}:{}", named.recording, over.language, over.finished_at);
            let (tenant, meeting) = (named.key.tenant.clone(), Some(named.key.meeting));
            self.webhooks.tell(&Notice::message(tenant, meeting, kind, over.finished_at, &key, data)).await?;
            self.jobs.told(&over).await?;
        }
        Ok(())
    }

    /// Finds what is to be done of itself, and tells what a node that died did not.
    pub async fn look(&self) -> Result<(), StoreError> {
        if !self.policy.automatic.is_empty() {
            self.jobs.make_all(&self.policy.automatic).await?;
        }
        self.tell().await?;
        let waiting = u32::try_from(self.jobs.waiting().await?).unwrap_or(u32::MAX);
        metrics::gauge!("convoke_transcriptions_waiting").set(f64::from(waiting));
        Ok(())
    }

    async fn work(self, is_first: bool, stopped: CancellationToken) {
        let mut look = tokio::time::interval(self.policy.every);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stopped.is_cancelled() {
            tokio::select! {
                () = stopped.cancelled() => return,
                () = self.wake.notified() => {}
                _ = look.tick() => {}
            }
            let round = async {
                if is_first {
                    self.look().await?;
                }
                while self.pass().await? {}
                Ok::<(), StoreError>(())
            };
            tokio::select! {
                // Somebody else goes on with it when the lease has run out.
                () = stopped.cancelled() => return,
                done = round => if let Err(error) = done {
                    tracing::warn!(%error, "what is to be transcribed cannot be read");
                },
            }
        }
    }

    /// Works until it is stopped.
    pub fn start(self) -> Working {
        let stop = CancellationToken::new();
        let work = |number| tokio::spawn(self.clone().work(number == 0, stop.clone()));
        let tasks = (0..self.policy.at_once).map(work).collect();
        Working { stop, tasks }
    }
}

const GONE: Failure = Failure::permanent("the file is gone");

fn count(outcome: &'static str) {
    metrics::counter!("convoke_transcriptions_total", "outcome" => outcome).increment(1);
}

/// An object, piece by piece, as it was when its `etag` was told.
fn pieces(
    objects: Objects,
    path: ObjectPath,
    size: u64,
    etag: Option<String>,
) -> BoxStream<'static, std::io::Result<Bytes>> {
    let next = move |from: u64| {
        let (objects, path, etag) = (objects.clone(), path.clone(), etag.clone());
        async move {
            if from >= size {
                return Ok(None);
            }
            let to = from.saturating_add(PIECE).min(size);
            let away = |_: ObjectsError| std::io::Error::other("the objects are out of reach");
            let piece = objects.read(&path, Some(from..to), etag).await.map_err(away)?;
            let bytes = piece.bytes().await.map_err(|_| std::io::Error::other("the object broke off"))?;
            Ok(Some((bytes, to)))
        }
    };
    try_unfold(0, next).boxed()
}

/// Workers of a node.
pub struct Working {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Working {
    pub async fn stop(self) {
        self.stop.cancel();
        for mut task in self.tasks {
            if tokio::time::timeout(PATIENCE, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_the_service_may_ask_for_more() {
        let policy = Policy {
            at_once: 1,
            limit: Duration::from_secs(10),
            bytes_max: 1,
            attempts_max: 4,
            wait: Duration::from_secs(30),
            every: Duration::from_secs(5),
            automatic: Vec::new(),
        };
        let failure = Failure::temporary("x");
        assert_eq!(policy.again(1, &failure), Some(Duration::from_secs(30)));
        assert_eq!(policy.again(3, &failure), Some(Duration::from_secs(120)));
        assert_eq!(policy.again(4, &failure), None);
        assert_eq!(policy.again(1, &Failure::permanent("x")), None);
        let asked = Failure { retry_after: Some(Duration::from_secs(100)), ..failure.clone() };
        assert_eq!(policy.again(1, &asked), Some(Duration::from_secs(100)));
        assert_eq!(policy.again(3, &asked), Some(Duration::from_secs(120)));
        let long = Policy { attempts_max: 100, ..policy };
        assert_eq!(long.again(50, &failure), Some(WAIT_MAX));
        assert!(long.lease() > long.limit);
    }
}

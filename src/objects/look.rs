//! A look at each recording that is completed: how long it is, and a picture of it, by ffprobe and ffmpeg
//! where they are installed. Rows are leased by the database's clock, one at a time on each node, and tried
//! again with growing waits. The tools read what a recorder wrote, so they are given a file and nothing
//! else, a time after which they are killed, and little room for their answer. The picture is of the whole
//! room's file only: what is of one person goes with that person.

use super::ledger::Named;
use super::running::anew;
use super::{ObjectPath, Objects, ObjectsError, orphans, paths};
use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, to_i64, to_u64, unavailable};
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::{MeetingId, RecordingId, TenantId};
use futures_util::StreamExt;
use sqlx::{AssertSqlSafe, query, query_as};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Bytes of a tool's answer.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);

/// How much is tried, and how often.
#[derive(Clone, Copy, Debug)]
pub struct LookPolicy {
    /// How long one tool may take.
    pub tool: Duration,
    /// Files of a bucket that are larger are not fetched for a look.
    pub bytes_max: u64,
    pub attempts_max: u32,
    /// The wait after the first failure; doubled after each further one.
    pub wait: Duration,
    /// How often it is looked what is to be looked at.
    pub every: Duration,
}

impl Default for LookPolicy {
    fn default() -> Self {
        Self {
            tool: Duration::from_secs(60),
            bytes_max: 2 * 1024 * 1024 * 1024,
            attempts_max: 5,
            wait: Duration::from_secs(60),
            every: Duration::from_secs(5),
        }
    }
}

impl LookPolicy {
    /// Longer than a look may take: a fetch, and both tools.
    fn lease(&self) -> Duration {
        self.tool.saturating_mul(4)
    }
}

/// The tools, where they are.
#[derive(Clone, Debug)]
pub struct Tools {
    pub ffprobe: PathBuf,
    pub ffmpeg: PathBuf,
}

impl Tools {
    /// Those of this machine. Err: the name of one that is not there.
    pub fn installed() -> Result<Self, &'static str> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let find = |name: &'static str| {
            let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
            found.ok_or(name)
        };
        Ok(Self { ffprobe: find("ffprobe")?, ffmpeg: find("ffmpeg")? })
    }
}

/// Runs a tool. None: it failed, took too long, or said too much.
async fn run(tool: &Path, arguments: &[&str], file: &Path, rest: &[&str], limit: Duration) -> Option<Vec<u8>> {
    let mut command = Command::new(tool);
    command.args(arguments).arg(file).args(rest);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).env_clear();
    let mut child = command.spawn().ok()?;
    let mut out = child.stdout.take()?.take(ANSWER_MAX);
    let answer = async {
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).await.ok()?;
        let is_whole = u64::try_from(bytes.len()).is_ok_and(|bytes| bytes < ANSWER_MAX);
        // One that goes on talking is not waited for.
        if !is_whole {
            return None;
        }
        child.wait().await.ok()?.success().then_some(bytes)
    };
    let answer = tokio::time::timeout(limit, answer).await.ok().flatten();
    if answer.is_none() {
        let _ = child.kill().await;
    }
    answer
}

impl Tools {
    async fn duration_ms(&self, file: &Path, limit: Duration) -> Option<u64> {
        let before = ["-v", "error", "-protocol_whitelist", "file", "-show_entries", "format=duration"];
        let before: Vec<&str> = before.into_iter().chain(["-of", "default=nokey=1:noprint_wrappers=1", "-i"]).collect();
        let answer = run(&self.ffprobe, &before, file, &[], limit).await?;
        let seconds: f64 = std::str::from_utf8(&answer).ok()?.trim().parse().ok()?;
        u64::try_from(Duration::try_from_secs_f64(seconds).ok()?.as_millis()).ok()
    }

    async fn picture(&self, file: &Path, at_s: u64, limit: Duration) -> Option<Vec<u8>> {
        let at = at_s.to_string();
        let before = ["-v", "error", "-nostdin", "-protocol_whitelist", "file", "-ss", &at, "-i"];
        let after = ["-frames:v", "1", "-vf", "scale=640:-2", "-f", "mjpeg", "pipe:1"];
        run(&self.ffmpeg, &before, file, &after, limit).await.filter(|bytes| !bytes.is_empty())
    }
}

/// A file that goes when nobody needs it any more.
struct Fetched(PathBuf);

impl Drop for Fetched {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Why a look gave nothing.
enum Blind {
    /// It may give something later.
    For(&'static str),
    /// It never will.
    Ever(&'static str),
}

impl From<ObjectsError> for Blind {
    fn from(_: ObjectsError) -> Self {
        Self::For("the objects are out of reach")
    }
}

impl From<std::io::Error> for Blind {
    fn from(_: std::io::Error) -> Self {
        Self::For("there is no room for the file")
    }
}

#[derive(Debug, Default)]
struct Seen {
    duration_ms: Option<u64>,
    thumbnail: Option<ObjectPath>,
}

struct Leased {
    named: Named,
    attempt: i64,
}

#[derive(Clone)]
pub struct Looker {
    ledger: super::Ledger,
    objects: Objects,
    tools: Tools,
    policy: LookPolicy,
}

impl Looker {
    pub fn new(ledger: super::Ledger, objects: Objects, tools: Tools, policy: LookPolicy) -> Self {
        Self { ledger, objects, tools, policy }
    }

    /// Looks at one recording, if one is due. False: none is.
    pub async fn pass(&self) -> Result<bool, StoreError> {
        let Some(leased) = self.lease().await? else { return Ok(false) };
        let seen = self.look(&leased.named).await?;
        let outcome = if seen.is_ok() { "seen" } else { "blind" };
        metrics::counter!("convoke_recording_looks_total", "outcome" => outcome).increment(1);
        self.settle(&leased, seen).await?;
        Ok(true)
    }

    async fn lease(&self) -> Result<Option<Leased>, StoreError> {
        let db = self.ledger.db();
        let clock = db.clock();
        let skip = match db {
            Db::Sqlite { .. } => "",
            Db::Postgres(_) => " FOR UPDATE SKIP LOCKED",
        };
        let sql = format!(
            "WITH due AS MATERIALIZED (SELECT tenant, recording FROM recording_objects WHERE look_at <= {clock} \
             AND (look_until IS NULL OR look_until <= {clock}) AND deleting_at IS NULL ORDER BY look_at LIMIT 1{skip}) \
             UPDATE recording_objects SET looks = looks + 1, look_until = {clock} + $1 \
             WHERE (tenant, recording) IN (SELECT tenant, recording FROM due) \
             RETURNING tenant, meeting, recording, looks"
        );
        let row: Option<(String, Uuid, Uuid, i64)> = on_pool!(db, pool => {
            query_as(AssertSqlSafe(sql))
                .bind(i64::try_from(self.policy.lease().as_millis()).unwrap_or(i64::MAX))
                .fetch_optional(pool)
                .await
                .map_err(unavailable)?
        });
        Ok(row.map(|(tenant, meeting, recording, attempt)| {
            let key = MeetingKey { tenant: TenantId(tenant), meeting: MeetingId(meeting) };
            Leased { named: Named::new(key, RecordingId(recording)), attempt }
        }))
    }

    /// What is of the whole room and came first.
    async fn file(&self, of: &Named) -> Result<Option<ObjectPath>, StoreError> {
        let row: Option<(String,)> = on_pool!(self.ledger.db(), pool => {
            query_as(
                "SELECT take FROM recording_tracks WHERE tenant = $1 AND recording = $2 AND participant IS NULL \
                 AND state = 'complete' ORDER BY COALESCE(started_at, 0), take LIMIT 1",
            )
            .bind(&of.key.tenant.0)
            .bind(of.recording.0)
            .fetch_optional(pool)
            .await
            .map_err(unavailable)?
        });
        let Some((take,)) = row else { return Ok(None) };
        let files = self.ledger.files(of).await?;
        Ok(files.iter().find(|file| file.take == take).and_then(orphans::place))
    }

    async fn look(&self, of: &Named) -> Result<Result<Seen, Blind>, StoreError> {
        let Some(path) = self.file(of).await? else { return Ok(Ok(Seen::default())) };
        Ok(self.look_at(&path).await)
    }

    async fn look_at(&self, path: &ObjectPath) -> Result<Seen, Blind> {
        let meta = self.objects.meta(path).await?.ok_or(Blind::For("the file is not there"))?;
        let (file, _fetched) = match self.objects.file(path) {
            Some(file) => (file, None),
            None if meta.size > self.policy.bytes_max => return Err(Blind::Ever("the file is too large")),
            None => {
                let fetched = self.fetch(path).await?;
                (fetched.0.clone(), Some(fetched))
            }
        };
        let limit = self.policy.tool;
        let duration_ms = self.tools.duration_ms(&file, limit).await.ok_or(Blind::For("ffprobe cannot read it"))?;
        let mut seen = Seen { duration_ms: Some(duration_ms), thumbnail: None };
        if !paths::content_type(path).starts_with("video/") {
            return Ok(seen);
        }
        // Not the first picture, in which often nobody is to be seen yet.
        let at_s = (duration_ms / 10_000).min(10);
        let picture =
            self.tools.picture(&file, at_s, limit).await.ok_or(Blind::For("ffmpeg makes no picture of it"))?;
        let thumbnail = paths::thumbnail(path).ok_or(Blind::Ever("the file has no name"))?;
        self.objects.write(&thumbnail, picture).await?;
        seen.thumbnail = Some(thumbnail);
        Ok(seen)
    }

    /// A file of a bucket, on this machine.
    async fn fetch(&self, path: &ObjectPath) -> Result<Fetched, Blind> {
        let ending = path.extension().unwrap_or("bin");
        let fetched = Fetched(std::env::temp_dir().join(format!("convoke-look-{}.{ending}", Uuid::now_v7())));
        let mut file = tokio::fs::File::create_new(&fetched.0).await?;
        let mut stream = self.objects.read(path, None, None).await?.into_stream();
        let mut bytes = 0_u64;
        let copied = async {
            while let Some(chunk) = stream.next().await {
                let chunk = chunk.map_err(|_| Blind::For("the objects are out of reach"))?;
                bytes = bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
                if bytes > self.policy.bytes_max {
                    return Err(Blind::Ever("the file is too large"));
                }
                file.write_all(&chunk).await?;
            }
            Ok(file.flush().await?)
        };
        tokio::time::timeout(self.policy.tool, copied).await.unwrap_or(Err(Blind::For("the fetch took too long")))?;
        Ok(fetched)
    }

    async fn settle(&self, leased: &Leased, seen: Result<Seen, Blind>) -> Result<(), StoreError> {
        let db = self.ledger.db();
        let attempts = u32::try_from(leased.attempt).unwrap_or(u32::MAX);
        let doublings = attempts.saturating_sub(1).min(16);
        let wait = self.policy.wait.saturating_mul(1_u32 << doublings);
        let (seen, why, again) = match seen {
            Ok(seen) => (seen, None, false),
            Err(Blind::For(why)) => (Seen::default(), Some(why), attempts < self.policy.attempts_max),
            Err(Blind::Ever(why)) => (Seen::default(), Some(why), false),
        };
        let clock = db.clock();
        let sql = format!(
            "UPDATE recording_objects SET look_until = NULL, look_error = $4, \
             look_at = CASE WHEN $5 = 1 THEN {clock} + $6 ELSE NULL END, \
             thumbnail = COALESCE($7, thumbnail), duration_ms = COALESCE($8, duration_ms) \
             WHERE tenant = $1 AND recording = $2 AND looks = $3 AND deleting_at IS NULL"
        );
        let settled = on_pool!(db, pool => {
            query(AssertSqlSafe(sql))
                .bind(&leased.named.key.tenant.0)
                .bind(leased.named.recording.0)
                .bind(leased.attempt)
                .bind(why)
                .bind(i64::from(again))
                .bind(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
                .bind(seen.thumbnail.as_ref().map(ToString::to_string))
                .bind(seen.duration_ms.map(to_i64))
                .execute(pool)
                .await
                .map_err(unavailable)?
                .rows_affected()
        });
        if let Some(why) = why {
            let recording = leased.named.recording;
            tracing::info!(%recording, attempts = to_u64(leased.attempt), again, why, "a recording was not looked at");
        }
        // It was deleted meanwhile: so is the picture.
        if let (0, Some(thumbnail)) = (settled, seen.thumbnail)
            && self.objects.delete(&thumbnail).await.is_err()
        {
            tracing::info!(recording = %leased.named.recording, "a picture is left over");
        }
        Ok(())
    }

    /// Looks until it is stopped.
    pub fn start(self) -> Looking {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { anew("looker", &stopped, || self.looks(&stopped)).await });
        Looking { stop, task }
    }

    async fn looks(&self, stop: &CancellationToken) {
        let mut look = tokio::time::interval(self.policy.every);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = look.tick() => {}
            }
            let round = async {
                while self.pass().await? {}
                Ok::<(), StoreError>(())
            };
            tokio::select! {
                // The tools are killed with it; the lease runs out.
                () = stop.cancelled() => return,
                done = round => if let Err(error) = done {
                    tracing::warn!(%error, "what is to be looked at cannot be read");
                },
            }
        }
    }
}

/// A looker at work.
pub struct Looking {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Looking {
    pub async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(PATIENCE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

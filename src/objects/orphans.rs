//! Orphans: objects that no row knows, and files that are said to be there and are not. They are found and
//! counted, and never deleted: what a row does not know may be all that is left of a recording. An object
//! is not one before it is an hour old, because a file may be there before the log says so.

use super::keeper::{Going, KeepError, Pass};
use super::ledger::FileOf;
use super::{Keeper, ObjectPath, paths};
use convoke_actors::ports::MeetingKey;
use convoke_domain::recording::owner_of;
use convoke_domain::{MeetingId, Millis, RecordingId, TenantId};
use futures_util::StreamExt;
use object_store::ObjectMeta;
use serde::Serialize;
use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

const GRACE: Duration = Duration::from_secs(3_600);
/// Objects that are compared with rows at a time.
const BATCH: usize = 200;
const PAGE: u32 = 500;
/// For how long a tenant's are looked for.
const LOOKED_FOR: Duration = Duration::from_secs(30);
/// Orphans of one kind that are told at a time.
const TOLD_MAX: usize = 1_000;

/// An object that no row knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = StrayObject)]
pub struct Stray {
    pub path: String,
    pub bytes: u64,
    pub modified_at: Millis,
    /// Whose its name says that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub recording: Option<RecordingId>,
}

/// A file that is said to be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = MissingFile)]
pub struct Missing {
    #[schema(value_type = String)]
    pub recording: RecordingId,
    #[schema(value_type = String)]
    pub meeting: MeetingId,
    /// The file's id.
    pub file: String,
    pub path: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Orphans {
    /// Objects that no recording has.
    pub objects: Vec<Stray>,
    /// Files that recordings have and that are not there.
    pub files: Vec<Missing>,
    /// There are more.
    pub cut: bool,
}

fn millis(meta: &ObjectMeta) -> Millis {
    u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0)
}

fn hash(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// Where a file is, if its path can be believed.
pub fn place(file: &FileOf) -> Option<ObjectPath> {
    match &file.location {
        Some(location) => ObjectPath::parse(location).ok(),
        None => paths::of_take(&file.named.key, file.named.recording, &file.told),
    }
}

/// A tenant that orphans are being told to.
struct Telling<'a> {
    all: &'a Mutex<HashSet<TenantId>>,
    tenant: &'a TenantId,
}

impl<'a> Telling<'a> {
    /// None: they are being told already.
    fn begin(all: &'a Mutex<HashSet<TenantId>>, tenant: &'a TenantId) -> Option<Self> {
        let is_first = all.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone());
        is_first.then_some(Self { all, tenant })
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(self.tenant);
    }
}

impl Keeper {
    /// Those of these objects that are old enough and that no row knows.
    async fn unknown(&self, batch: Vec<ObjectMeta>, now: Millis) -> Result<Vec<ObjectMeta>, KeepError> {
        let grace = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
        let is_old = |meta: &ObjectMeta| millis(meta) <= now.saturating_sub(grace);
        let old: Vec<ObjectMeta> = batch.into_iter().filter(is_old).collect();
        let names: Vec<String> = old.iter().map(|meta| meta.location.to_string()).collect();
        let known = self.ledger().known(&names).await?;
        Ok(old.into_iter().filter(|meta| !known.contains(meta.location.as_ref())).collect())
    }

    /// How many there are of each kind, in the whole store. It is listed once; what it has is remembered by
    /// hashes, and a file is asked for only where its hash is not among them.
    pub(super) async fn count_orphans(&self, going: &Going<'_>, pass: &mut Pass) -> Result<bool, KeepError> {
        let now = self.ledger().now().await?;
        let (mut stray, mut missing, mut seen) = (0_u32, 0_u32, HashSet::new());
        let mut batches = self.objects().list(None).chunks(BATCH);
        while let Some(batch) = batches.next().await {
            let batch = batch.into_iter().collect::<Result<Vec<ObjectMeta>, _>>()?;
            seen.extend(batch.iter().map(|meta| hash(meta.location.as_ref())));
            let unknown = self.unknown(batch, now).await?.len();
            stray = stray.saturating_add(u32::try_from(unknown).unwrap_or(u32::MAX));
            if !going.on().await? {
                return Ok(false);
            }
        }
        let mut after = None;
        loop {
            let page = self.ledger().complete(None, after.as_ref(), PAGE).await?;
            for file in &page {
                let is_there = match place(file) {
                    Some(path) => seen.contains(&hash(path.as_ref())) || self.objects().meta(&path).await?.is_some(),
                    None => false,
                };
                missing = missing.saturating_add(u32::from(!is_there));
            }
            if !going.on().await? {
                return Ok(false);
            }
            let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
            after = page.into_iter().last().filter(|_| !is_last);
            if after.is_none() {
                break;
            }
        }
        (pass.stray_objects, pass.missing_files) = (stray, missing);
        metrics::gauge!("convoke_objects_stray").set(f64::from(stray));
        metrics::gauge!("convoke_recording_files_missing").set(f64::from(missing));
        if stray > 0 || missing > 0 {
            tracing::warn!(stray, missing, "some objects and files have nothing to do with each other");
        }
        Ok(true)
    }

    /// A tenant's, one at a time, up to a number of each kind and for a while. Two names of tenants may make one folder, so an object is told to whoever the meeting
    /// is of that it lies in the folder of.
    pub async fn orphans(&self, tenant: &TenantId) -> Result<Orphans, KeepError> {
        let _telling = Telling::begin(&self.telling, tenant).ok_or(KeepError::Busy)?;
        let until = Instant::now() + LOOKED_FOR;
        let now = self.ledger().now().await?;
        let mut found = Orphans::default();
        let anywhere = MeetingKey { tenant: tenant.clone(), meeting: MeetingId(Uuid::nil()) };
        let own = paths::of_tenant(&anywhere);
        let tiers = self.ledger().policies(tenant).await?.into_iter().filter_map(|policy| policy.tier);
        let tiers: BTreeSet<String> = tiers.collect();
        let folders = own.iter().flat_map(|own| tiers.iter().filter_map(|tier| paths::in_tier(tier, own)));
        let folders: Vec<Option<ObjectPath>> = [own.clone()].into_iter().chain(folders.map(Some)).collect();
        'folders: for folder in folders {
            let mut batches = self.objects().list(folder.as_ref()).chunks(BATCH);
            while let Some(batch) = batches.next().await {
                if Instant::now() > until {
                    found.cut = true;
                    break 'folders;
                }
                let batch = batch.into_iter().collect::<Result<Vec<ObjectMeta>, _>>()?;
                for meta in self.unknown(batch, now).await? {
                    let meeting = meta.location.as_ref().rsplit('/').nth(1).and_then(|id| id.parse().ok());
                    let Some(meeting) = meeting else { continue };
                    if !self.ledger().is_meeting_of(tenant, meeting).await? {
                        continue;
                    }
                    if found.objects.len() >= TOLD_MAX {
                        found.cut = true;
                        break 'folders;
                    }
                    let recording = owner_of(meta.location.as_ref()).map(|(_, recording, _)| recording);
                    let (path, bytes, modified_at) = (meta.location.to_string(), meta.size, millis(&meta));
                    found.objects.push(Stray { path, bytes, modified_at, recording });
                }
            }
        }
        let mut after = None;
        loop {
            let page = self.ledger().complete(Some(tenant), after.as_ref(), PAGE).await?;
            for file in &page {
                let path = place(file);
                if let Some(path) = &path
                    && self.objects().meta(path).await?.is_some()
                {
                    if Instant::now() > until {
                        found.cut = true;
                        return Ok(found);
                    }
                    continue;
                }
                if found.files.len() >= TOLD_MAX || Instant::now() > until {
                    found.cut = true;
                    return Ok(found);
                }
                found.files.push(Missing {
                    recording: file.named.recording,
                    meeting: file.named.key.meeting,
                    file: file.take.clone(),
                    path: path.map_or_else(String::new, |path| path.to_string()),
                });
            }
            let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
            after = page.into_iter().last().filter(|_| !is_last);
            if after.is_none() {
                return Ok(found);
            }
        }
    }
}

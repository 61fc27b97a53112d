//! Keeps what is to be kept and deletes what is not. One node at a time does the rounds (`Duty`): it goes on
//! with what somebody began to delete, deletes the tracks of erased people, applies the tenants' policies,
//! and counts orphans. Every step may be done twice: an object that is gone already is no error, and only
//! the one who marks a row writes its line of the audit. What fails is left for the next round.

use super::duty::Duty;
use super::ledger::{FileOf, Ledger, Named, NewLine};
use super::policy::{DAY_MS, Policy, Verdict, choose};
use super::{ObjectPath, Objects, ObjectsError, paths};
use convoke_actors::ports::StoreError;
use convoke_domain::recording::Part;
use convoke_domain::{Millis, TenantId};
use futures_util::StreamExt;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const DUTY: &str = "recordings";
/// How long a round may be silent before another node takes it up.
const LEASE: Duration = Duration::from_secs(120);
/// Recordings that are read at a time.
const PAGE: u32 = 100;
/// How long a stopping server waits for an object that is being deleted.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Objects(#[from] ObjectsError),
    /// What is deleted by now would not be known.
    #[error("the read models are being built anew")]
    Behind,
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    pub deleted: u32,
    pub moved: u32,
    /// Files of erased people.
    pub erased: u32,
    /// Objects that came after what they are of was deleted.
    pub swept: u32,
    /// What could not be done now, and is tried again.
    pub failed: u32,
    /// Objects that no row knows, and files that are said to be there and are not.
    pub stray_objects: u32,
    pub missing_files: u32,
}

#[derive(Clone)]
pub struct Keeper {
    ledger: Ledger,
    objects: Objects,
    /// From the end of one round to the next.
    every: Duration,
}

impl Keeper {
    pub fn new(ledger: Ledger, objects: Objects, every: Duration) -> Self {
        Self { ledger, objects, every }
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Every place where a file of this may be.
    fn places(file: &FileOf) -> BTreeSet<ObjectPath> {
        let told = paths::of_take(&file.named.key, file.named.recording, &file.told);
        if told.is_none() {
            tracing::warn!(recording = %file.named.recording, "the path of a take is none of its recording's");
        }
        let ours = [&file.location, &file.moving].into_iter().flatten();
        ours.filter_map(|path| ObjectPath::parse(path).ok()).chain(told).collect()
    }

    /// Deletes a recording: claims it, deletes its objects, marks it. False: it may not be deleted.
    pub async fn delete(&self, of: &Named, by: &str) -> Result<bool, KeepError> {
        self.delete_by(of, by, None).await
    }

    async fn delete_by(&self, of: &Named, by: &str, policy: Option<&Policy>) -> Result<bool, KeepError> {
        if !self.ledger.claim_by(of, by, policy).await? {
            return Ok(false);
        }
        // The claim was made by what the read models say now.
        self.finish(of, false).await?;
        Ok(true)
    }

    /// Every object in the folders of a recording's meeting that bears the recording's id, or that is of this
    /// part of it alone.
    async fn found(&self, of: &Named, part: Option<&Part>) -> Result<BTreeSet<ObjectPath>, KeepError> {
        let Some(own) = paths::of_meeting(&of.key) else { return Ok(BTreeSet::new()) };
        let tiers = self.ledger.tiers(of).await?;
        let locations = self.ledger.locations(of).await?;
        let told = locations.iter().filter_map(|path| ObjectPath::parse(path.rsplit_once('/')?.0).ok());
        let folders: BTreeSet<ObjectPath> =
            tiers.iter().filter_map(|tier| paths::in_tier(tier, &own)).chain(told).chain([own.clone()]).collect();
        let mut found = BTreeSet::new();
        for folder in folders {
            let mut listed = self.objects.list(Some(&folder));
            while let Some(meta) = listed.next().await {
                let path = meta?.location;
                let is_of = paths::part_of(&of.key, of.recording, path.as_ref());
                if is_of.is_some_and(|is| part.is_none_or(|part| *part == is)) {
                    found.insert(path);
                }
            }
        }
        Ok(found)
    }

    /// Goes on with a recording that was claimed. The objects go first: until the last of them is gone it
    /// is not marked, so whoever comes after a failure here begins again. What the read models do not know,
    /// because they are being built anew, is not finished; a stretch of them is not enough for what was
    /// claimed some time ago.
    async fn finish(&self, of: &Named, at_the_end: bool) -> Result<(), KeepError> {
        let whole = self.ledger.whole(of).await?;
        let whole = whole.filter(|(_, is_at_the_end)| *is_at_the_end || !at_the_end);
        let (files, _) = whole.ok_or(KeepError::Behind)?;
        let thumbnail = self.ledger.thumbnail(of).await?.and_then(|path| ObjectPath::parse(path).ok());
        // A picture may have been made just now, and not be known yet.
        let pictures = files.iter().flat_map(Self::places).filter_map(|path| paths::thumbnail(&path));
        let pictures: BTreeSet<ObjectPath> = pictures.chain(thumbnail).collect();
        for path in files.iter().flat_map(Self::places).chain(pictures) {
            self.objects.delete(&path).await?;
        }
        // A path may have been told without its ending, or not yet.
        for path in self.found(of, None).await? {
            self.objects.delete(&path).await?;
        }
        let detail = format!("meeting {}, {} files", of.key.meeting, files.len());
        if self.ledger.gone(of, &detail).await? {
            metrics::counter!("convoke_recordings_deleted_total").increment(1);
            tracing::info!(recording = %of.recording, meeting = %of.key.meeting, "a recording is deleted");
        }
        Ok(())
    }

    /// Moves the files of a recording into a tier. A copy is known before it is made, and it is the file
    /// before the other is deleted: at no time is there none, and none that is not known. False: somebody
    /// deletes, erases or holds it, or has changed the policy.
    pub async fn relocate(&self, of: &Named, tier: &str, by: &str, policy: Option<&Policy>) -> Result<bool, KeepError> {
        let files = self.ledger.movable(of).await?;
        for file in &files {
            let Some(told) = paths::of_take(&of.key, of.recording, &file.told) else { continue };
            let Some(to) = paths::in_tier(tier, &told) else { continue };
            let known = file.location.as_ref().and_then(|path| ObjectPath::parse(path).ok());
            let from = known.unwrap_or(told);
            if from != to && self.objects.meta(&from).await?.is_some() {
                if !self.ledger.moving(file, to.as_ref(), policy).await? {
                    return Ok(false);
                }
                self.objects.copy(&from, &to).await?;
                if !self.ledger.moved(file, to.as_ref()).await? {
                    if self.ledger.not_moved(file, to.as_ref()).await? {
                        self.objects.delete(&to).await?;
                    }
                    return Ok(false);
                }
            }
            // What else there is of it: the one that was copied now, or before somebody died over it.
            if self.objects.meta(&to).await?.is_some() {
                for path in Self::places(file).iter().filter(|path| **path != to) {
                    self.objects.delete(path).await?;
                }
            }
        }
        let detail = format!("{} files to {tier}", files.len());
        self.ledger.tiered(of, tier, &NewLine::new(by, "recording.moved", of.recording, detail)).await?;
        metrics::counter!("convoke_recordings_moved_total").increment(1);
        Ok(true)
    }

    /// Deletes the tracks of erased people that may be deleted now. Answers how many, and how many could not.
    pub async fn erase(&self) -> Result<(u32, u32), KeepError> {
        let (mut erased, mut failed) = (0_u32, 0_u32);
        loop {
            // What failed stays the first of what is to be done: it is passed over within this round.
            let page = self.ledger.to_erase(None, PAGE.saturating_add(failed)).await?;
            let before = (erased, failed);
            for file in page.iter().skip(usize::try_from(failed).unwrap_or(usize::MAX)) {
                match self.erase_one(file).await {
                    Ok(true) => erased = erased.saturating_add(1),
                    // A hold was faster, or another keeper: it is not among them any more.
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(%error, recording = %file.named.recording, "a track is not deleted yet");
                        failed = failed.saturating_add(1);
                    }
                }
            }
            if before == (erased, failed) {
                return Ok((erased, failed));
            }
        }
    }

    async fn erase_one(&self, file: &FileOf) -> Result<bool, KeepError> {
        if !self.ledger.claim_erasing(file).await? {
            return Ok(false);
        }
        for path in Self::places(file) {
            self.objects.delete(&path).await?;
        }
        self.delete_found(file).await?;
        let detail = format!("take {}", file.take);
        let line = NewLine::new("erasure", "recording.file_deleted", file.named.recording, detail);
        Ok(self.ledger.erased(file, &line).await?)
    }

    /// Deletes what is found of a take besides the paths that were told. Answers how many.
    async fn delete_found(&self, file: &FileOf) -> Result<u32, KeepError> {
        let Some(part) = paths::part_of(&file.named.key, file.named.recording, &file.told) else { return Ok(0) };
        let mut deleted = 0_u32;
        for path in self.found(&file.named, Some(&part)).await? {
            self.objects.delete(&path).await?;
            deleted = deleted.saturating_add(1);
        }
        Ok(deleted)
    }

    /// A recorder, or a copy, may come to its end after what it writes was deleted: for a day that is looked
    /// for.
    async fn sweep(&self, duty: &Duty, pass: &mut Pass) -> Result<(), KeepError> {
        let full = usize::try_from(PAGE).unwrap_or(usize::MAX);
        let mut after = None;
        loop {
            let page = self.ledger.lately_deleted(DAY_MS, after.as_ref(), PAGE).await?;
            for of in &page {
                for path in self.found(of, None).await? {
                    self.objects.delete(&path).await?;
                    tracing::info!(recording = %of.recording, "an object came after its recording was deleted");
                    pass.swept = pass.swept.saturating_add(1);
                }
                duty.renew(self.ledger.db()).await?;
            }
            let is_last = page.len() < full;
            after = page.into_iter().last().filter(|_| !is_last);
            if after.is_none() {
                break;
            }
        }
        let mut after = None;
        loop {
            let page = self.ledger.lately_erased(DAY_MS, after.as_ref(), PAGE).await?;
            for file in &page {
                pass.swept = pass.swept.saturating_add(self.delete_found(file).await?);
                duty.renew(self.ledger.db()).await?;
            }
            let is_last = page.len() < full;
            after = page.into_iter().last().filter(|_| !is_last);
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// What the policies of a tenant say of its recordings now, in the order of their ids, after one.
    pub async fn verdicts(
        &self,
        tenant: &TenantId,
        policies: &[Policy],
        now: Millis,
        after: Uuid,
    ) -> Result<(Vec<(Named, Verdict)>, Option<Uuid>), StoreError> {
        let enabled = policies.iter().filter(|policy| policy.enabled && !policy.legal_hold);
        let Some(days) = enabled.map(|policy| policy.days).min() else { return Ok((Vec::new(), None)) };
        let by = now.saturating_sub(days.saturating_mul(DAY_MS));
        let page = self.ledger.over(tenant, by, after, PAGE).await?;
        let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        let next = page.last().map(|(named, _)| named.recording.0).filter(|_| !is_last);
        let judged = |(named, subject)| (named, choose(policies, &subject, now));
        Ok((page.into_iter().map(judged).collect(), next))
    }

    /// Does what a verdict says. False: nothing was done.
    /// The verdict is by one of these policies, which has to be as it was when they were read.
    pub async fn carry_out(&self, of: &Named, verdict: &Verdict, policies: &[Policy]) -> Result<bool, KeepError> {
        let (Verdict::Delete(id) | Verdict::Move(id, _)) = verdict else { return Ok(false) };
        let Some(policy) = policies.iter().find(|policy| policy.id == *id) else { return Ok(false) };
        let by = format!("policy:{id}");
        match verdict {
            Verdict::Move(_, tier) => self.relocate(of, tier, &by, Some(policy)).await,
            _ => self.delete_by(of, &by, Some(policy)).await,
        }
    }

    /// One round, where it is due and nobody else is at it.
    pub async fn pass(&self) -> Result<Option<Pass>, KeepError> {
        let db = self.ledger.db();
        let Some(duty) = Duty::take(db, DUTY, LEASE, self.every).await? else { return Ok(None) };
        let mut pass = Pass::default();
        self.go_on(&duty, &mut pass).await?;
        (pass.erased, pass.failed) = {
            let (erased, failed) = self.erase().await?;
            (erased, pass.failed.saturating_add(failed))
        };
        self.sweep(&duty, &mut pass).await?;
        for tenant in self.ledger.tenants().await? {
            if !self.apply_all(&duty, &tenant, &mut pass).await? {
                return Ok(Some(pass));
            }
        }
        let (stray, missing) = self.count_orphans(&duty).await?;
        (pass.stray_objects, pass.missing_files) = (stray, missing);
        metrics::gauge!("convoke_objects_stray").set(f64::from(stray));
        metrics::gauge!("convoke_recording_files_missing").set(f64::from(missing));
        metrics::gauge!("convoke_retention_failed").set(f64::from(pass.failed));
        if stray > 0 || missing > 0 {
            tracing::warn!(stray, missing, "some objects and files have nothing to do with each other");
        }
        duty.done(db).await?;
        Ok(Some(pass))
    }

    async fn go_on(&self, duty: &Duty, pass: &mut Pass) -> Result<(), KeepError> {
        let mut passed_over = 0_u32;
        loop {
            let page = self.ledger.unfinished(PAGE.saturating_add(passed_over)).await?;
            let rest = page.iter().skip(usize::try_from(passed_over).unwrap_or(usize::MAX));
            let before = (pass.deleted, passed_over);
            for named in rest {
                if !duty.renew(self.ledger.db()).await? {
                    return Ok(());
                }
                match self.finish(named, true).await {
                    Ok(()) => pass.deleted = pass.deleted.saturating_add(1),
                    Err(error) => {
                        tracing::warn!(%error, recording = %named.recording, "a recording is not deleted yet");
                        passed_over = passed_over.saturating_add(1);
                        pass.failed = pass.failed.saturating_add(1);
                    }
                }
            }
            if before == (pass.deleted, passed_over) {
                return Ok(());
            }
        }
    }

    /// False: somebody else may have the duty by now.
    async fn apply_all(&self, duty: &Duty, tenant: &TenantId, pass: &mut Pass) -> Result<bool, KeepError> {
        let policies = self.ledger.policies(tenant).await?;
        let now = self.ledger.now().await?;
        let mut after = Uuid::nil();
        loop {
            let (verdicts, next) = self.verdicts(tenant, &policies, now, after).await?;
            for (named, verdict) in verdicts {
                if matches!(verdict, Verdict::Keep | Verdict::Held) {
                    continue;
                }
                if !duty.renew(self.ledger.db()).await? {
                    return Ok(false);
                }
                match self.carry_out(&named, &verdict, &policies).await {
                    Ok(true) if matches!(verdict, Verdict::Delete(_)) => pass.deleted = pass.deleted.saturating_add(1),
                    Ok(true) => pass.moved = pass.moved.saturating_add(1),
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(%error, recording = %named.recording, "retention is tried again");
                        pass.failed = pass.failed.saturating_add(1);
                    }
                }
            }
            let Some(next) = next else { return Ok(true) };
            after = next;
        }
    }

    /// Does the rounds until it is stopped.
    pub fn start(self: Arc<Self>) -> Keeping {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            // Another node may have died over it, so it is looked after more often than it is due.
            let mut look = tokio::time::interval(self.every.min(LEASE));
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = stopped.cancelled() => return,
                    _ = look.tick() => {}
                }
                match self.pass().await {
                    Ok(None) => {}
                    Ok(Some(pass)) => tracing::debug!(?pass, "a round of retention is over"),
                    Err(error) => tracing::warn!(%error, "a round of retention broke off"),
                }
            }
        });
        Keeping { stop, task }
    }
}

/// A keeper at work.
pub struct Keeping {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Keeping {
    /// Lets what is under way end, for a while; another node goes on with the rest.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(PATIENCE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

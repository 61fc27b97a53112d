//! Keeps what is to be kept and deletes what is not. One node at a time does the rounds (`Duty`): it goes on
//! with what somebody began to delete, deletes the tracks of erased people, applies the tenants' policies,
//! and counts orphans. Every step may be done twice: an object that is gone already is no error, and only
//! the one who marks a row writes its line of the audit. What fails is left for the next round.

use super::duty::Duty;
use super::ledger::{FileOf, Ledger, Named, NewLine};
use super::policy::{DAY_MS, Policy, Verdict, choose};
use super::running::anew;
use super::{ObjectPath, Objects, ObjectsError, paths};
use crate::adapters::store::Db;
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::recording::Part;
use convoke_domain::{Millis, ParticipantId, TenantId};
use futures_util::StreamExt;
use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
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
    #[error("the tenant's orphans are being looked for already")]
    Busy,
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

impl Pass {
    /// What a step came to. False: the round ends here.
    fn after(&mut self, step: &'static str, done: Result<bool, KeepError>) -> bool {
        done.unwrap_or_else(|error| {
            tracing::warn!(%error, step, "a step of retention broke off");
            self.failed = self.failed.saturating_add(1);
            true
        })
    }

    fn sweep(&mut self, of: &Named, swept: Result<u32, KeepError>) {
        match swept {
            Ok(0) => {}
            Ok(swept) => {
                tracing::info!(recording = %of.recording, swept, "objects came after they were deleted");
                self.swept = self.swept.saturating_add(swept);
            }
            Err(error) => {
                tracing::warn!(%error, recording = %of.recording, "what came later is looked for again");
                self.failed = self.failed.saturating_add(1);
            }
        }
    }
}

/// What policies say of a stretch of recordings.
#[derive(Debug, Default)]
pub struct Judged {
    pub verdicts: Vec<(Named, Verdict)>,
    /// Recordings that nothing can be said of.
    pub unreadable: u32,
    /// Behind which there are more.
    pub next: Option<Uuid>,
}

/// A round under way.
pub(super) struct Going<'a> {
    db: &'a Db,
    duty: &'a Duty,
    stop: &'a CancellationToken,
}

impl Going<'_> {
    /// Keeps the duty. False: the round is to end here.
    pub async fn on(&self) -> Result<bool, StoreError> {
        Ok(!self.stop.is_cancelled() && self.duty.renew(self.db).await?)
    }
}

#[derive(Clone)]
pub struct Keeper {
    ledger: Ledger,
    objects: Objects,
    /// From the end of one round to the next.
    every: Duration,
    /// Tenants that orphans are being told to.
    pub(super) telling: Arc<Mutex<HashSet<TenantId>>>,
}

impl Keeper {
    pub fn new(ledger: Ledger, objects: Objects, every: Duration) -> Self {
        Self { ledger, objects, every, telling: Arc::default() }
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
        self.delete_all_found(of, None).await?;
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
        let mut pass = Pass::default();
        self.erase_all(None, None, &mut pass).await?;
        Ok((pass.erased, pass.failed))
    }

    /// The tracks of one person in one meeting alone, for as long as that may take. What is left then is of a
    /// round.
    pub async fn erase_of(&self, key: &MeetingKey, who: ParticipantId, limit: Duration) -> Result<(), KeepError> {
        let mut pass = Pass::default();
        match tokio::time::timeout(limit, self.erase_all(None, Some((key, who)), &mut pass)).await {
            Ok(done) => done.map(drop),
            Err(_) => Ok(()),
        }
    }

    async fn erase_all(
        &self,
        going: Option<&Going<'_>>,
        of: Option<(&MeetingKey, ParticipantId)>,
        pass: &mut Pass,
    ) -> Result<bool, KeepError> {
        let mut failed = 0_u32;
        loop {
            // What failed stays the first of what is to be done: it is passed over within this round.
            let page = self.ledger.to_erase(of, PAGE.saturating_add(failed)).await?;
            let before = (pass.erased, failed);
            for file in page.iter().skip(usize::try_from(failed).unwrap_or(usize::MAX)) {
                if let Some(going) = going
                    && !going.on().await?
                {
                    return Ok(false);
                }
                match self.erase_one(file).await {
                    Ok(true) => pass.erased = pass.erased.saturating_add(1),
                    // A hold was faster, or another keeper: it is not among them any more.
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(%error, recording = %file.named.recording, "a track is not deleted yet");
                        failed = failed.saturating_add(1);
                        pass.failed = pass.failed.saturating_add(1);
                    }
                }
            }
            if before == (pass.erased, failed) {
                return Ok(true);
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
        self.delete_all_found(&file.named, Some(&part)).await
    }

    async fn delete_all_found(&self, of: &Named, part: Option<&Part>) -> Result<u32, KeepError> {
        let mut deleted = 0_u32;
        for path in self.found(of, part).await? {
            self.objects.delete(&path).await?;
            deleted = deleted.saturating_add(1);
        }
        Ok(deleted)
    }

    /// A recorder, or a copy, may come to its end after what it writes was deleted: for a day that is looked
    /// for.
    async fn sweep(&self, going: &Going<'_>, pass: &mut Pass) -> Result<bool, KeepError> {
        let full = usize::try_from(PAGE).unwrap_or(usize::MAX);
        let mut after = None;
        loop {
            let page = self.ledger.lately_deleted(DAY_MS, after.as_ref(), PAGE).await?;
            for of in &page {
                if !going.on().await? {
                    return Ok(false);
                }
                pass.sweep(of, self.delete_all_found(of, None).await);
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
                if !going.on().await? {
                    return Ok(false);
                }
                pass.sweep(&file.named, self.delete_found(file).await);
            }
            let is_last = page.len() < full;
            after = page.into_iter().last().filter(|_| !is_last);
            if after.is_none() {
                return Ok(true);
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
    ) -> Result<Judged, StoreError> {
        let enabled = policies.iter().filter(|policy| policy.enabled && !policy.legal_hold);
        let Some(days) = enabled.map(|policy| policy.days).min() else { return Ok(Judged::default()) };
        let by = now.saturating_sub(days.saturating_mul(DAY_MS));
        let page = self.ledger.over(tenant, by, after, PAGE).await?;
        let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        let next = page.last().map(|(named, _)| named.recording.0).filter(|_| !is_last);
        let mut judged = Judged { next, ..Judged::default() };
        for (named, subject) in page {
            match subject {
                Some(subject) => judged.verdicts.push((named, choose(policies, &subject, now))),
                None => {
                    tracing::error!(recording = %named.recording, "what is written of a recording cannot be read");
                    judged.unreadable = judged.unreadable.saturating_add(1);
                }
            }
        }
        Ok(judged)
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
        self.round(&CancellationToken::new()).await
    }

    /// Ends between two recordings where it is to stop. What fails ends one step, or one tenant's part in it:
    /// the others have theirs, and the round is done, with what failed counted.
    async fn round(&self, stop: &CancellationToken) -> Result<Option<Pass>, KeepError> {
        let db = self.ledger.db();
        let Some(duty) = Duty::take(db, DUTY, LEASE, self.every).await? else { return Ok(None) };
        let going = Going { db, duty: &duty, stop };
        let mut pass = Pass::default();
        if self.steps(&going, &mut pass).await {
            metrics::gauge!("convoke_retention_failed").set(f64::from(pass.failed));
            let now_s = u32::try_from(self.ledger.now().await? / 1_000).unwrap_or(u32::MAX);
            metrics::gauge!("convoke_retention_round_at_seconds").set(f64::from(now_s));
            duty.done(db).await?;
        }
        Ok(Some(pass))
    }

    /// False: it is to stop, or somebody else may have the duty by now.
    async fn steps(&self, going: &Going<'_>, pass: &mut Pass) -> bool {
        let done = self.go_on(going, pass).await;
        if !pass.after("deletions", done) {
            return false;
        }
        let done = self.erase_all(Some(going), None, pass).await;
        if !pass.after("erasures", done) {
            return false;
        }
        let done = self.sweep(going, pass).await;
        if !pass.after("what came later", done) {
            return false;
        }
        let tenants = match self.ledger.tenants().await {
            Ok(tenants) => tenants,
            Err(error) => {
                pass.after("tenants", Err(error.into()));
                Vec::new()
            }
        };
        for tenant in tenants {
            let done = self.apply_all(going, &tenant, pass).await;
            if !pass.after("policies", done) {
                return false;
            }
        }
        let done = self.count_orphans(going, pass).await;
        pass.after("orphans", done)
    }

    async fn go_on(&self, going: &Going<'_>, pass: &mut Pass) -> Result<bool, KeepError> {
        let mut passed_over = 0_u32;
        loop {
            let page = self.ledger.unfinished(PAGE.saturating_add(passed_over)).await?;
            let rest = page.iter().skip(usize::try_from(passed_over).unwrap_or(usize::MAX));
            let before = (pass.deleted, passed_over);
            for named in rest {
                if !going.on().await? {
                    return Ok(false);
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
                return Ok(true);
            }
        }
    }

    /// False: somebody else may have the duty by now.
    async fn apply_all(&self, going: &Going<'_>, tenant: &TenantId, pass: &mut Pass) -> Result<bool, KeepError> {
        let policies = self.ledger.policies(tenant).await?;
        let now = self.ledger.now().await?;
        let mut after = Uuid::nil();
        loop {
            let judged = self.verdicts(tenant, &policies, now, after).await?;
            pass.failed = pass.failed.saturating_add(judged.unreadable);
            for (named, verdict) in judged.verdicts {
                if matches!(verdict, Verdict::Keep | Verdict::Held) {
                    continue;
                }
                if !going.on().await? {
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
            let Some(next) = judged.next else { return Ok(true) };
            after = next;
        }
    }

    /// Does the rounds until it is stopped.
    pub fn start(self: Arc<Self>) -> Keeping {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { anew("keeper", &stopped, || self.rounds(&stopped)).await });
        Keeping { stop, task }
    }

    async fn rounds(&self, stop: &CancellationToken) {
        // Another node may have died over it, so it is looked after more often than it is due.
        let mut look = tokio::time::interval(self.every.min(LEASE));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = look.tick() => {}
            }
            match self.round(stop).await {
                Ok(None) => {}
                Ok(Some(pass)) => tracing::debug!(?pass, "a round of retention is over"),
                Err(error) => tracing::warn!(%error, "a round of retention broke off"),
            }
        }
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

//! Retention: what goes and what stays, what is left when a step fails in the middle, and who does it.

use super::*;
use crate::rebuilding::on_database;
use async_trait::async_trait;
use convoke::objects::{Duty, Pass};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use std::fmt;
use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// A folder of objects, which refuses to change those with this in their path.
#[derive(Debug)]
struct Refusing {
    inner: LocalFileSystem,
    refused: Arc<Mutex<Option<String>>>,
}

impl Refusing {
    fn check(&self, path: &Path) -> Result<()> {
        let refused = self.refused.lock().unwrap();
        match refused.as_ref().filter(|refused| path.as_ref().contains(refused.as_str())) {
            Some(_) => Err(object_store::Error::Generic { store: "test", source: "refused".into() }),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Refusing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refusing")
    }
}

#[async_trait]
impl ObjectStore for Refusing {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(path, payload, options).await
    }
    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(path, options).await
    }
    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let refused = Self { inner: self.inner.clone(), refused: Arc::clone(&self.refused) };
        let paths = paths.map(move |path| path.and_then(|path| refused.check(&path).map(|()| path)));
        self.inner.delete_stream(paths.boxed())
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check(to)?;
        self.inner.copy_opts(from, to, options).await
    }
}

/// Storage over a folder of its own.
pub struct Storage {
    pub folder: PathBuf,
    pub refused: Arc<Mutex<Option<String>>>,
    pub keeper: Keeper,
    pub asked: Projections,
}

impl Storage {
    pub fn new(opened: &Opened) -> Self {
        let folder = std::env::temp_dir().join(format!("convoke-objects-{}", Uuid::now_v7()));
        std::fs::create_dir_all(&folder).unwrap();
        let refused = Arc::default();
        let inner = LocalFileSystem::new_with_prefix(&folder).unwrap();
        let objects = Objects::over(Arc::new(Refusing { inner, refused: Arc::clone(&refused) }));
        let keeper = Keeper::new(Ledger::new(opened.db.clone()), objects, Duration::ZERO);
        Self { folder, refused, keeper, asked: projections(opened) }
    }

    pub fn put(&self, path: &str) {
        let file = self.folder.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "0123456789").unwrap();
    }

    pub fn has(&self, path: &str) -> bool {
        self.folder.join(path).exists()
    }

    fn refuse(&self, path: Option<&str>) {
        *self.refused.lock().unwrap() = path.map(str::to_owned);
    }

    async fn policy(&self, tenant: &TenantId, days: u64, tier: Option<&str>) -> Policy {
        let (id, tier) = (Uuid::now_v7(), tier.map(str::to_owned));
        let policy = Policy {
            id,
            name: "p".into(),
            days,
            tier,
            legal_hold: false,
            scope: Scope::default(),
            enabled: true,
            created_at: 1,
            updated_at: 1,
        };
        self.keeper.ledger().put_policy(tenant, &policy, &NewLine::new("api", "policy.created", id, "")).await.unwrap();
        policy
    }

    pub async fn kept(&self, tape: &Tape, recording: &Recording) -> Option<Kept> {
        self.asked.recording(&tape.key.tenant, recording.id).await.unwrap()
    }

    async fn pass(&self) -> Pass {
        self.keeper.pass().await.unwrap().unwrap()
    }

    async fn actions(&self, tenant: &TenantId, action: &str) -> Vec<String> {
        let lines = self.keeper.ledger().audit(tenant, None, 100).await.unwrap();
        lines.into_iter().filter(|line| line.action == action).map(|line| line.subject).collect()
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn what_is_old_is_deleted_and_nothing_else_is_touched() {
    each(async |name, opened| {
        let storage = Storage::new(&opened);
        let now = storage.keeper.ledger().now().await.unwrap();
        let (mut tape, mut other) = (Tape::begin("acme", "Weekly"), Tape::begin("other", "Weekly"));
        let [old, young, held] = [40, 20, 40].map(|days| tape.composite(now, days));
        let failed = tape.recording(RecordingKind::Composite, now - 50 * DAY);
        let half = tape.take(&failed, &Part::Composite(0), "mp4", None);
        tape.ended(&failed, RecordingStatus::Failed, now - 50 * DAY);
        let running = tape.recording(RecordingKind::Composite, now - 60 * DAY);
        let going_on = tape.take(&running, &Part::Composite(0), "mp4", None);
        let processing = tape.recording(RecordingKind::Composite, now - 60 * DAY);
        let being_made = tape.take(&processing, &Part::Composite(0), "mp4", None);
        tape.ended(&processing, RecordingStatus::Processing, now - 60 * DAY);
        let elsewhere = other.composite(now, 40);
        for tape in [&mut tape, &mut other] {
            tape.write(&opened).await;
            storage.asked.catch_up(&tape.key).await.unwrap();
        }
        let stay = [&young.1, &held.1, &going_on, &being_made, &elsewhere.1];
        let go = [&old.1, &half];
        stay.iter().chain(&go).for_each(|take| storage.put(&take.file));
        let ledger = storage.keeper.ledger();
        assert!(ledger.hold(&named(&tape, &held.0), true, &line()).await.unwrap());
        assert_eq!(storage.pass().await.deleted, 0, "there is no policy yet, {name}");
        let policy = storage.policy(&tape.key.tenant, 30, None).await;
        let pass = storage.pass().await;
        assert_eq!((pass.deleted, pass.moved, pass.failed), (2, 0, 0), "{name}");
        for take in stay {
            assert!(storage.has(&take.file), "{} in {name}", take.file);
        }
        assert!(!go.iter().any(|take| storage.has(&take.file)), "{name}");
        assert!(storage.kept(&tape, &old.0).await.is_none() && storage.kept(&tape, &failed).await.is_none(), "{name}");
        for recording in [&young.0, &held.0, &running, &processing] {
            assert!(storage.kept(&tape, recording).await.is_some_and(|kept| !kept.deleting), "{name}");
        }
        assert!(storage.kept(&other, &elsewhere.0).await.is_some(), "{name}");
        let mut deleted = storage.actions(&tape.key.tenant, "recording.deleted").await;
        deleted.sort();
        let mut expected = [old.0.id, failed.id].map(|id| id.to_string());
        expected.sort();
        assert_eq!(deleted, expected, "a line each, {name}");
        let lines = ledger.audit(&tape.key.tenant, None, 100).await.unwrap();
        assert!(lines.iter().any(|line| line.who == format!("policy:{}", policy.id)), "{name}");
        assert_eq!(storage.pass().await.deleted, 0, "{name}");
        storage.asked.rebuild().await.unwrap();
        assert!(storage.kept(&tape, &old.0).await.is_none(), "what is deleted does not come back, {name}");
        // The hold ends, and then it is as old as the others.
        assert!(ledger.hold(&named(&tape, &held.0), false, &line()).await.unwrap());
        assert_eq!(storage.pass().await.deleted, 1, "{name}");
    })
    .await;
}

#[tokio::test]
async fn what_breaks_off_between_the_object_and_the_row_is_gone_on_with() {
    each(async |name, opened| {
        let storage = Storage::new(&opened);
        let now = storage.keeper.ledger().now().await.unwrap();
        let mut tape = Tape::begin("acme", "Weekly");
        let recording = tape.recording(RecordingKind::Composite, now - 40 * DAY);
        let takes: Vec<_> =
            (0..3).map(|generation| tape.take(&recording, &Part::Composite(generation), "mp4", None)).collect();
        let recording = tape.ended(&recording, RecordingStatus::Completed, now - 40 * DAY);
        tape.write(&opened).await;
        storage.asked.catch_up(&tape.key).await.unwrap();
        takes.iter().for_each(|take| storage.put(&take.file));
        storage.policy(&tape.key.tenant, 30, None).await;
        // An object that cannot be deleted: others may be gone, and the row does not say so.
        storage.refuse(Some(&takes[1].file));
        let pass = storage.pass().await;
        assert_eq!((pass.deleted, pass.failed), (0, 1), "{name}");
        assert!(storage.has(&takes[1].file), "{name}");
        assert!(storage.kept(&tape, &recording).await.is_some_and(|kept| kept.deleting), "{name}");
        assert!(storage.actions(&tape.key.tenant, "recording.deleted").await.is_empty(), "{name}");
        let again = storage.pass().await;
        assert_eq!((again.deleted, again.failed), (0, 1), "{name}");
        // The objects are gone, and then the database fails.
        storage.refuse(None);
        on_database(&opened.db, "ALTER TABLE audit RENAME TO audit_away").await;
        let pass = storage.pass().await;
        assert_eq!((pass.deleted, pass.failed), (0, 1), "{name}");
        assert!(!takes.iter().any(|take| storage.has(&take.file)), "{name}");
        assert!(storage.kept(&tape, &recording).await.is_some_and(|kept| kept.deleting), "{name}");
        on_database(&opened.db, "ALTER TABLE audit_away RENAME TO audit").await;
        assert_eq!(storage.pass().await.deleted, 1, "what is gone already is no error, {name}");
        assert!(storage.kept(&tape, &recording).await.is_none(), "{name}");
        assert_eq!(storage.actions(&tape.key.tenant, "recording.deleted").await.len(), 1, "{name}");
    })
    .await;
}

#[tokio::test]
async fn one_node_does_the_rounds_and_is_followed_by_another() {
    each(async |name, opened| {
        let (every, lease) = (Duration::from_secs(600), Duration::from_secs(600));
        let duty = Duty::take(&opened.db, "rounds", lease, every).await.unwrap().unwrap();
        assert!(Duty::take(&opened.db, "rounds", lease, every).await.unwrap().is_none(), "somebody has it, {name}");
        assert!(Duty::take(&opened.db, "others", lease, every).await.unwrap().is_some(), "{name}");
        assert!(duty.renew(&opened.db).await.unwrap(), "{name}");
        on_database(&opened.db, "UPDATE duties SET leased_until = 1 WHERE name = 'rounds'").await;
        assert!(!duty.renew(&opened.db).await.unwrap(), "{name}");
        // Whoever had it died over it, or was away: it was not done.
        let next = Duty::take(&opened.db, "rounds", lease, every).await.unwrap().unwrap();
        assert!(!duty.renew(&opened.db).await.unwrap() && next.renew(&opened.db).await.unwrap(), "{name}");
        duty.done(&opened.db).await.unwrap();
        assert!(next.renew(&opened.db).await.unwrap(), "the former says nothing about it any more, {name}");
        next.done(&opened.db).await.unwrap();
        assert!(
            Duty::take(&opened.db, "rounds", lease, every).await.unwrap().is_none(),
            "it was done just now, {name}"
        );
        assert!(Duty::take(&opened.db, "rounds", lease, Duration::ZERO).await.unwrap().is_some(), "{name}");
    })
    .await;
}

#[tokio::test]
async fn many_keepers_delete_each_recording_once() {
    each(async |name, opened| {
        let storage = Storage::new(&opened);
        let now = storage.keeper.ledger().now().await.unwrap();
        let mut tape = Tape::begin("acme", "Weekly");
        let all: Vec<_> = (0..5).map(|_| tape.composite(now, 40)).collect();
        tape.write(&opened).await;
        storage.asked.catch_up(&tape.key).await.unwrap();
        all.iter().for_each(|(_, take)| storage.put(&take.file));
        let policy = storage.policy(&tape.key.tenant, 30, None).await;
        let by = format!("policy:{}", policy.id);
        let named: Vec<Named> = all.iter().map(|(recording, _)| named(&tape, recording)).collect();
        let both = named.iter().chain(&named).map(|named| storage.keeper.delete(named, &by));
        let rounds = (0..2).map(|_| storage.keeper.pass());
        let (deleted, passes) =
            tokio::join!(futures_util::future::join_all(both), futures_util::future::join_all(rounds));
        assert!(deleted.iter().all(|one| one.is_ok()) && passes.iter().all(|one| one.is_ok()), "{name}");
        assert_eq!(storage.actions(&tape.key.tenant, "recording.deleted").await.len(), all.len(), "{name}");
        assert!(!all.iter().any(|(_, take)| storage.has(&take.file)), "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_tier_is_a_move_that_can_break_off_anywhere() {
    each(async |name, opened| {
        let storage = Storage::new(&opened);
        let now = storage.keeper.ledger().now().await.unwrap();
        let mut tape = Tape::begin("acme", "Weekly");
        let (recording, take) = tape.composite(now, 10);
        tape.write(&opened).await;
        storage.asked.catch_up(&tape.key).await.unwrap();
        storage.put(&take.file);
        storage.policy(&tape.key.tenant, 7, Some("cold")).await;
        let cold = format!("cold/{}", take.file);
        storage.refuse(Some("cold/"));
        assert_eq!(storage.pass().await.failed, 1, "{name}");
        assert!(storage.has(&take.file) && !storage.has(&cold), "{name}");
        // The copy is there, and the other cannot be deleted yet.
        storage.refuse(Some(&take.file));
        std::fs::create_dir_all(storage.folder.join(&cold).parent().unwrap()).unwrap();
        storage.refuse(None);
        on_database(&opened.db, "ALTER TABLE audit RENAME TO audit_away").await;
        assert_eq!(storage.pass().await.failed, 1, "{name}");
        on_database(&opened.db, "ALTER TABLE audit_away RENAME TO audit").await;
        assert_eq!((storage.pass().await.moved, storage.pass().await.moved), (1, 0), "{name}");
        assert!(!storage.has(&take.file) && storage.has(&cold), "{name}");
        let kept = storage.kept(&tape, &recording).await.unwrap();
        assert_eq!(kept.tier.as_deref(), Some("cold"), "{name}");
        let files = storage.asked.files(&tape.key.tenant, recording.id).await.unwrap();
        assert_eq!(files[0].location.as_deref(), Some(cold.as_str()), "{name}");
        assert_eq!(storage.actions(&tape.key.tenant, "recording.moved").await.len(), 1, "{name}");
        storage.asked.rebuild().await.unwrap();
        let files = storage.asked.files(&tape.key.tenant, recording.id).await.unwrap();
        assert_eq!(files[0].location.as_deref(), Some(cold.as_str()), "{name}");
        // What is where it is not needed any more goes along with it.
        storage.put(&take.file);
        storage.policy(&tape.key.tenant, 9, None).await;
        assert_eq!(storage.pass().await.deleted, 1, "{name}");
        assert!(!storage.has(&take.file) && !storage.has(&cold), "{name}");
    })
    .await;
}

#[tokio::test]
async fn whoever_is_erased_takes_their_own_tracks_along_and_a_hold_keeps_them_for_a_while() {
    each(async |name, opened| {
        let storage = Storage::new(&opened);
        let mut tape = Tape::begin("acme", "Weekly");
        let [ada, bob] = ["ada", "bob"].map(|user| tape.join(user, Role::Participant));
        let mut all = Vec::new();
        for _ in 0..2 {
            let recording = tape.recording(RecordingKind::Composite, THEN);
            let track = |participant| Part::Track { participant, source: Source::Audio, track: "TR_1".into() };
            let takes =
                [Part::Composite(0), track(ada), track(bob)].map(|part| tape.take(&recording, &part, "ogg", None));
            takes.iter().for_each(|take| storage.put(&take.file));
            all.push((tape.ended(&recording, RecordingStatus::Completed, THEN), takes));
        }
        tape.write(&opened).await;
        storage.asked.catch_up(&tape.key).await.unwrap();
        let ledger = storage.keeper.ledger();
        let [(held, kept), (free, gone)] = &all[..] else { panic!() };
        assert!(ledger.hold(&named(&tape, held), true, &line()).await.unwrap());
        let told = storage.asked.tracks_of(&tape.key, ada).await.unwrap();
        assert_eq!(told.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [held.id, free.id], "{name}");
        assert_eq!(ledger.want_erased(&tape.key, ada).await.unwrap(), 2, "{name}");
        storage.refuse(Some(&gone[1].file));
        assert_eq!(storage.keeper.erase().await.unwrap(), (0, 1), "{name}");
        storage.refuse(None);
        assert_eq!(storage.keeper.erase().await.unwrap(), (1, 0), "{name}");
        let there = |takes: &[convoke_domain::recording::Take; 3]| [0, 1, 2].map(|at| storage.has(&takes[at].file));
        assert_eq!((there(kept), there(gone)), ([true; 3], [true, false, true]), "{name}");
        let states: Vec<String> =
            storage.asked.files(&tape.key.tenant, free.id).await.unwrap().into_iter().map(|file| file.state).collect();
        assert_eq!(states.iter().filter(|state| *state == "erased").count(), 1, "{name}: {states:?}");
        storage.asked.rebuild().await.unwrap();
        let told = storage.asked.tracks_of(&tape.key, ada).await.unwrap();
        assert_eq!(told.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [held.id], "{name}");
        assert!(ledger.hold(&named(&tape, held), false, &line()).await.unwrap());
        assert_eq!(storage.pass().await.erased, 1, "the hold is over, {name}");
        assert_eq!(there(kept), [true, false, true], "{name}");
        assert_eq!(storage.actions(&tape.key.tenant, "recording.file_deleted").await.len(), 2, "{name}");
    })
    .await;
}

#[tokio::test]
async fn orphans_of_both_kinds_are_found_and_left_alone() {
    each(async |name, opened| {
        let storage = Storage::new(&opened);
        let now = storage.keeper.ledger().now().await.unwrap();
        let mut tape = Tape::begin("acme", "Weekly");
        let mut other = Tape::begin("other", "Weekly");
        let [whole, lost, deleted] = [0, 0, 0].map(|days| tape.composite(now, days));
        let elsewhere = other.composite(now, 0);
        for tape in [&mut tape, &mut other] {
            tape.write(&opened).await;
            storage.asked.catch_up(&tape.key).await.unwrap();
        }
        [&whole.1, &deleted.1].iter().for_each(|take| storage.put(&take.file));
        assert!(storage.keeper.delete(&named(&tape, &deleted.0), "api").await.unwrap());
        // A recorder that wrote once more, a file of no recording, and one that is not an hour old.
        let of = |number: u128| format!("acme/{}/day-{}.mp4", tape.key.meeting, Uuid::from_u128(number));
        for path in [&deleted.1.file, &of(1), &"acme/readme.txt".to_owned()] {
            storage.put(path);
            let file = File::options().write(true).open(storage.folder.join(path)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(7_200)).unwrap();
        }
        storage.put(&of(2));
        let pass = storage.pass().await;
        assert_eq!((pass.swept, pass.stray_objects, pass.missing_files), (1, 2, 2), "{name}");
        let orphans = storage.keeper.orphans(&tape.key.tenant).await.unwrap();
        let strays: Vec<&str> = orphans.objects.iter().map(|stray| stray.path.as_str()).collect();
        assert_eq!(strays, [of(1)], "of meetings of the tenant's, {name}");
        let missing: Vec<_> = orphans.files.iter().map(|missing| missing.recording).collect();
        assert_eq!(missing, [lost.0.id], "{name}");
        let others = storage.keeper.orphans(&other.key.tenant).await.unwrap();
        assert_eq!((others.objects.len(), others.files[0].recording), (0, elsewhere.0.id), "{name}");
        assert!(storage.has(&of(1)) && storage.has("acme/readme.txt"), "nothing is deleted, {name}");
    })
    .await;
}

#[tokio::test]
async fn a_rebuild_does_not_let_a_deletion_end_with_nothing_deleted() {
    each(async |name, opened| {
        let storage = Storage::new(&opened);
        let now = storage.keeper.ledger().now().await.unwrap();
        let mut tape = Tape::begin("acme", "Weekly");
        let (recording, take) = tape.composite(now, 0);
        tape.write(&opened).await;
        storage.asked.catch_up(&tape.key).await.unwrap();
        storage.put(&take.file);
        assert!(storage.keeper.ledger().claim(&named(&tape, &recording), "api").await.unwrap(), "{name}");
        // The read models are empty; then they are built as far as one event before the last.
        for table in ["recording_jobs", "recording_tracks", "projection_cursors"] {
            on_database(&opened.db, &format!("CREATE TABLE away_{table} AS SELECT * FROM {table}")).await;
            on_database(&opened.db, &format!("DELETE FROM {table}")).await;
        }
        let pass = storage.pass().await;
        assert_eq!((pass.deleted, pass.failed), (0, 1), "{name}");
        for table in ["recording_jobs", "projection_cursors"] {
            on_database(&opened.db, &format!("INSERT INTO {table} SELECT * FROM away_{table}")).await;
        }
        on_database(&opened.db, "UPDATE projection_cursors SET seq = seq - 1").await;
        let pass = storage.pass().await;
        assert_eq!((pass.deleted, pass.failed), (0, 1), "{name}");
        assert!(storage.has(&take.file), "{name}");
        assert!(storage.actions(&tape.key.tenant, "recording.deleted").await.is_empty(), "{name}");
        on_database(&opened.db, "UPDATE projection_cursors SET seq = seq + 1").await;
        assert_eq!(storage.pass().await.deleted, 1, "{name}");
        assert!(!storage.has(&take.file), "by its name alone, {name}");
    })
    .await;
}

#[tokio::test]
async fn what_is_told_without_its_ending_or_comes_later_is_deleted_too() {
    each(async |name, opened| {
        let storage = Storage::new(&opened);
        let now = storage.keeper.ledger().now().await.unwrap();
        let mut tape = Tape::begin("acme", "Weekly");
        let [(gone, take), (_, stays)] = [0, 0].map(|_| tape.composite(now, 0));
        tape.write(&opened).await;
        storage.asked.catch_up(&tape.key).await.unwrap();
        let untold = take.file.replace(".mp4", "-composite.1.webm");
        let cold = format!("cold/{}", take.file);
        storage.policy(&tape.key.tenant, 7, Some("cold")).await;
        [&untold, &stays.file].iter().for_each(|path| storage.put(path));
        assert!(storage.keeper.delete(&named(&tape, &gone), "api").await.unwrap(), "{name}");
        assert!(!storage.has(&untold) && storage.has(&stays.file), "{name}");
        [&take.file, &cold].iter().for_each(|path| storage.put(path));
        assert_eq!(storage.pass().await.swept, 2, "{name}");
        assert!(!storage.has(&take.file) && !storage.has(&cold) && storage.has(&stays.file), "{name}");
        storage.put(&take.file);
        on_database(&opened.db, "UPDATE recording_objects SET deleted_at = deleted_at - 90000000 WHERE deleted_at > 0")
            .await;
        assert_eq!(storage.pass().await.swept, 0, "a day after, {name}");
    })
    .await;
}

#[tokio::test]
async fn a_move_a_deletion_an_erasure_and_a_hold_exclude_each_other() {
    each(async |name, opened| {
        let storage = Storage::new(&opened);
        let now = storage.keeper.ledger().now().await.unwrap();
        let mut tape = Tape::begin("acme", "Weekly");
        let ada = tape.join("ada", Role::Participant);
        let [(gone, _), (held, _), (free, _)] = [40, 40, 40].map(|days| tape.composite(now, days));
        let own = tape.recording(RecordingKind::Composite, THEN);
        let track = Part::Track { participant: ada, source: Source::Audio, track: "TR_1".into() };
        tape.take(&own, &track, "ogg", None);
        tape.ended(&own, RecordingStatus::Completed, THEN);
        tape.write(&opened).await;
        storage.asked.catch_up(&tape.key).await.unwrap();
        let ledger = storage.keeper.ledger();
        let [gone, held, free, own] = [&gone, &held, &free, &own].map(|recording| named(&tape, recording));
        let file = async |of: &Named| ledger.files(of).await.unwrap().remove(0);
        for of in [&gone, &held, &free] {
            assert!(ledger.moving(&file(of).await, "cold/x", None).await.unwrap(), "{name}");
        }
        assert!(ledger.claim(&gone, "api").await.unwrap() && ledger.hold(&held, true, &line()).await.unwrap());
        for of in [&gone, &held] {
            let file = file(of).await;
            assert!(!ledger.moved(&file, "cold/x").await.unwrap(), "{name}");
            assert!(!ledger.moving(&file, "cold/y", None).await.unwrap(), "{name}");
            assert!(ledger.not_moved(&file, "cold/x").await.unwrap(), "{name}");
            assert!(!ledger.not_moved(&file, "cold/x").await.unwrap(), "one deletes the copy, {name}");
        }
        let moved = file(&free).await;
        assert!(ledger.moved(&moved, "cold/x").await.unwrap(), "{name}");
        assert!(!ledger.moved(&moved, "cold/x").await.unwrap(), "{name}");
        assert!(!ledger.not_moved(&moved, "cold/x").await.unwrap(), "it is the file, {name}");
        assert_eq!(ledger.want_erased(&tape.key, ada).await.unwrap(), 1, "{name}");
        let theirs = ledger.to_erase(Some((&tape.key, ada)), 10).await.unwrap().remove(0);
        assert!(!ledger.moving(&theirs, "cold/x", None).await.unwrap(), "{name}");
        assert!(ledger.hold(&own, true, &line()).await.unwrap() && !ledger.claim_erasing(&theirs).await.unwrap());
        assert!(ledger.hold(&own, false, &line()).await.unwrap() && ledger.claim_erasing(&theirs).await.unwrap());
        assert!(!ledger.hold(&own, true, &line()).await.unwrap(), "{name}");
        assert!(ledger.erased(&theirs, &line()).await.unwrap() && ledger.hold(&own, true, &line()).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_hold_of_a_policy_and_a_change_of_one_keep_what_was_judged_already() {
    each(async |name, opened| {
        let storage = Storage::new(&opened);
        let now = storage.keeper.ledger().now().await.unwrap();
        let mut tape = Tape::begin("acme", "Weekly");
        let (recording, take) = tape.composite(now, 40);
        tape.write(&opened).await;
        storage.asked.catch_up(&tape.key).await.unwrap();
        storage.put(&take.file);
        let (tenant, ledger, of) = (&tape.key.tenant, storage.keeper.ledger(), named(&tape, &recording));
        let policy = storage.policy(tenant, 30, None).await;
        let put = async |policy: &Policy| {
            ledger.put_policy(tenant, policy, &NewLine::new("api", "policy.changed", policy.id, "")).await.unwrap();
        };
        let verdict = convoke::objects::Verdict::Delete(policy.id);
        let carry_out = async || storage.keeper.carry_out(&of, &verdict, std::slice::from_ref(&policy)).await.unwrap();
        put(&Policy { days: 90, updated_at: 2, ..policy.clone() }).await;
        assert!(!carry_out().await, "it is another by now, {name}");
        put(&Policy { enabled: false, ..policy.clone() }).await;
        assert!(!carry_out().await, "{name}");
        put(&policy).await;
        let scope = Scope { meeting: Some(tape.key.meeting), ..Scope::default() };
        let hold = Policy { id: Uuid::now_v7(), legal_hold: true, scope, ..policy.clone() };
        put(&hold).await;
        assert!(!carry_out().await && !ledger.claim(&of, "api").await.unwrap(), "{name}");
        assert!(storage.has(&take.file), "{name}");
        put(&Policy { enabled: false, ..hold }).await;
        assert!(carry_out().await && !storage.has(&take.file), "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_take_that_never_ended_is_erased_when_its_recording_is_over() {
    each(async |name, opened| {
        let storage = Storage::new(&opened);
        let mut tape = Tape::begin("acme", "Weekly");
        let ada = tape.join("ada", Role::Participant);
        let recording = tape.recording(RecordingKind::Composite, THEN);
        let track = Part::Track { participant: ada, source: Source::Audio, track: "TR_1".into() };
        let take = tape.take(&recording, &track, "ogg", None);
        tape.ended(&recording, RecordingStatus::Failed, THEN);
        tape.write(&opened).await;
        storage.asked.catch_up(&tape.key).await.unwrap();
        on_database(&opened.db, "UPDATE recording_tracks SET state = 'active'").await;
        storage.put(&take.file);
        storage.keeper.ledger().want_erased(&tape.key, ada).await.unwrap();
        on_database(&opened.db, "UPDATE recording_jobs SET status = 'recording'").await;
        assert_eq!(storage.keeper.erase().await.unwrap(), (0, 0), "{name}");
        on_database(&opened.db, "UPDATE recording_jobs SET status = 'failed'").await;
        assert_eq!(storage.keeper.erase().await.unwrap(), (1, 0), "{name}");
        assert!(!storage.has(&take.file), "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_and_a_step_that_fails_hold_up_nothing_else() {
    each(async |name, opened| {
        let storage = Storage::new(&opened);
        let now = storage.keeper.ledger().now().await.unwrap();
        let (mut tape, mut other) = (Tape::begin("acme", "Weekly"), Tape::begin("other", "Weekly"));
        let [(bad, bad_take), (_, take)] = [40, 40].map(|days| tape.composite(now, days));
        let elsewhere = other.composite(now, 40);
        for tape in [&mut tape, &mut other] {
            tape.write(&opened).await;
            storage.asked.catch_up(&tape.key).await.unwrap();
            storage.policy(&tape.key.tenant, 30, None).await;
        }
        let all = [&bad_take, &take, &elsewhere.1];
        all.iter().for_each(|take| storage.put(&take.file));
        let spoil = format!("UPDATE recording_jobs SET data = '{{' WHERE data LIKE '%{}%'", bad.id);
        on_database(&opened.db, &spoil).await;
        // One tenant's policies cannot be read at all.
        on_database(&opened.db, "UPDATE storage_policies SET kind = 'x' WHERE tenant = 'other'").await;
        let pass = storage.pass().await;
        assert_eq!((pass.deleted, pass.failed), (1, 2), "{name}");
        assert_eq!(all.map(|take| storage.has(&take.file)), [true, false, true], "{name}");
        on_database(&opened.db, "UPDATE storage_policies SET kind = NULL").await;
        on_database(&opened.db, "ALTER TABLE recording_files RENAME TO away").await;
        assert!(storage.pass().await.failed > 0, "{name}");
        on_database(&opened.db, "ALTER TABLE away RENAME TO recording_files").await;
        // The round is done all the same: it is due again when it would have been.
        let long = Duration::from_secs(600);
        assert!(Duty::take(&opened.db, "recordings", long, long).await.unwrap().is_none(), "{name}");
        let pass = storage.pass().await;
        assert_eq!((pass.deleted, pass.failed), (1, 1), "{name}");
        assert!(!storage.has(&elsewhere.1.file), "{name}");
    })
    .await;
}

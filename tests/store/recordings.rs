//! Recordings in the read models, and what storage knows of them besides: names, holds, deletions.

mod keeping;
mod looking;

use super::read_models::{dump, each, projections};
use super::tape::{DAY, THEN, Tape};
use convoke::adapters::store::Opened;
use convoke::objects::{Keeper, Ledger, Named, NewLine, Objects, Policy, Scope};
use convoke::projections::{Kept, Listed, Projections};
use convoke_domain::recording::{Part, Recording, RecordingKind, RecordingStatus};
use convoke_domain::shapes::{Role, Source};
use convoke_domain::{Event, RecordingId, TenantId};
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

fn named(tape: &Tape, recording: &Recording) -> Named {
    Named::new(tape.key.clone(), recording.id)
}

fn line() -> NewLine {
    NewLine::new("api", "recording.held", "x", "")
}

async fn ids(asked: &Projections, tenant: &TenantId, listed: Listed) -> Vec<RecordingId> {
    let (mut all, mut listed) = (Vec::new(), listed);
    loop {
        let page = asked.recordings(tenant, &listed, 2).await.unwrap();
        assert!(page.items.len() <= 2);
        all.extend(page.items.iter().map(|kept| kept.recording.id));
        let Some(next) = page.next else { return all };
        listed.before = Some(next.parse().unwrap());
    }
}

#[tokio::test]
async fn recordings_are_what_the_log_says_and_names_and_holds_survive_a_rebuild() {
    each(async |name, opened| {
        let mut tape = Tape::begin("acme", "Weekly & more");
        let ada = tape.join("ada", Role::Host);
        let recording = tape.recording(RecordingKind::Composite, THEN);
        let first = tape.take(&recording, &Part::Composite(0), "mp4", Some(70));
        let track = Part::Track { participant: ada, source: Source::Audio, track: "TR_1".into() };
        let second = tape.take(&recording, &track, "ogg", Some(30));
        for given in [false, true] {
            tape.say(Event::RecordingConsented { recording: recording.id, participant: ada, given });
        }
        let over = tape.ended(&recording, RecordingStatus::Completed, THEN + 9_000);
        tape.write(&opened).await;
        let asked = projections(&opened);
        asked.catch_up(&tape.key).await.unwrap();
        let (tenant, ledger) = (&tape.key.tenant, Ledger::new(opened.db.clone()));
        let kept = asked.recording(tenant, recording.id).await.unwrap().unwrap();
        assert_eq!((&kept.recording, kept.meeting, kept.title.as_str()), (&over, tape.key.meeting, "Weekly & more"));
        assert_eq!((kept.bytes, kept.duration_ms, kept.legal_hold), (Some(100), Some(4_000), false), "{name}");
        let files = asked.files(tenant, recording.id).await.unwrap();
        let told: Vec<_> =
            files.iter().map(|file| (&file.id, &file.path, file.participant, file.is_complete())).collect();
        let expected = [(&first.id, &first.file, None, true), (&second.id, &second.file, Some(ada), true)];
        assert_eq!(told, expected, "the room's file comes first, {name}");
        let consents = asked.consents(tenant, recording.id).await.unwrap();
        assert_eq!(
            consents.iter().map(|one| (one.participant, one.given)).collect::<Vec<_>>(),
            [(ada, true)],
            "{name}"
        );

        ledger.rename(&named(&tape, &recording), "Another name").await.unwrap();
        assert!(ledger.hold(&named(&tape, &recording), true, &line()).await.unwrap(), "{name}");
        assert!(ledger.hold(&named(&tape, &recording), true, &line()).await.unwrap(), "{name}");
        assert_eq!(ledger.audit(tenant, None, 10).await.unwrap().len(), 1, "what was so before is no line, {name}");
        let kept = asked.recording(tenant, recording.id).await.unwrap().unwrap();
        assert_eq!(
            (kept.recording.name.as_str(), kept.stem.as_str(), kept.legal_hold),
            ("Another name", over.name.as_str(), true)
        );
        let lived = dump(&opened.db).await;
        assert!(lived.iter().filter(|row| row.starts_with("recording_")).count() == 4, "{name}: {lived:#?}");
        asked.rebuild().await.unwrap();
        assert_eq!(dump(&opened.db).await, lived, "{name}");
        assert_eq!(asked.recording(tenant, recording.id).await.unwrap().unwrap(), kept, "{name}");
    })
    .await;
}

#[tokio::test]
async fn recordings_are_found_by_meeting_status_name_and_title_and_by_their_tenant_alone() {
    each(async |name, opened| {
        let mut tapes =
            [Tape::begin("acme", "100% Weekly"), Tape::begin("acme", "Daily"), Tape::begin("other", "Daily")];
        let mut all = Vec::new();
        for tape in &mut tapes {
            let completed = tape.composite(THEN + DAY, 0).0;
            let running = tape.recording(RecordingKind::Audio, THEN);
            all.push([completed.id, running.id]);
            tape.write(&opened).await;
        }
        let (asked, ledger) = (projections(&opened), Ledger::new(opened.db.clone()));
        asked.rebuild().await.unwrap();
        let acme = &tapes[0].key.tenant;
        ledger.rename(&Named::new(tapes[1].key.clone(), all[1][0]), "The Board of Ämter").await.unwrap();
        let newest = [all[1][1], all[1][0], all[0][1], all[0][0]];
        assert_eq!(ids(&asked, acme, Listed::default()).await, newest, "{name}");
        let of = |meeting| Listed { meeting: Some(meeting), ..Listed::default() };
        assert_eq!(ids(&asked, acme, of(tapes[0].key.meeting)).await, [all[0][1], all[0][0]], "{name}");
        assert!(ids(&asked, acme, of(tapes[2].key.meeting)).await.is_empty(), "another tenant's, {name}");
        let status = |status: &str| Listed { status: Some(status.into()), ..Listed::default() };
        assert_eq!(ids(&asked, acme, status("completed")).await, [all[1][0], all[0][0]], "{name}");
        let text = |text: &str| Listed { text: Some(text.into()), ..Listed::default() };
        assert_eq!(ids(&asked, acme, text("0% w")).await, [all[0][1], all[0][0]], "{name}");
        assert_eq!(ids(&asked, acme, text("the BOARD")).await, [all[1][0]], "{name}");
        assert!(
            ids(&asked, acme, text("_oard")).await.is_empty(),
            "what means something in patterns does not here, {name}"
        );
        for (tenant, id, is_found) in
            [(acme, all[0][0], true), (acme, all[2][0], false), (&tapes[2].key.tenant, all[2][0], true)]
        {
            assert_eq!(asked.recording(tenant, id).await.unwrap().is_some(), is_found, "{name}");
            assert_eq!(asked.files(tenant, id).await.unwrap().len(), usize::from(is_found), "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_hold_and_a_deletion_exclude_each_other() {
    each(async |name, opened| {
        let mut tape = Tape::begin("acme", "Weekly");
        let [(one, _), (other, _)] = [0, 1].map(|_| tape.composite(THEN + DAY, 0));
        let running = tape.recording(RecordingKind::Audio, THEN);
        tape.write(&opened).await;
        projections(&opened).catch_up(&tape.key).await.unwrap();
        let ledger = Ledger::new(opened.db.clone());
        let [one, other, running] = [&one, &other, &running].map(|recording| named(&tape, recording));
        assert!(ledger.hold(&one, true, &line()).await.unwrap(), "{name}");
        assert!(!ledger.claim(&one, "api").await.unwrap(), "it is held, {name}");
        assert!(ledger.hold(&one, false, &line()).await.unwrap() && ledger.claim(&one, "api").await.unwrap(), "{name}");
        assert!(ledger.claim(&other, "api").await.unwrap() && ledger.claim(&other, "policy").await.unwrap(), "{name}");
        assert!(!ledger.hold(&other, true, &line()).await.unwrap(), "it is being deleted, {name}");
        assert!(!ledger.claim(&running, "api").await.unwrap(), "it is not over, {name}");
        let mut elsewhere = other.clone();
        elsewhere.key.tenant = TenantId("other".into());
        assert!(!ledger.claim(&elsewhere, "api").await.unwrap(), "another tenant's, {name}");
        assert_eq!(ledger.unfinished(10).await.unwrap().len(), 2, "{name}");
        assert!(ledger.gone(&other, "").await.unwrap() && !ledger.gone(&other, "").await.unwrap(), "{name}");
        assert!(!ledger.claim(&other, "api").await.unwrap(), "it is gone, {name}");
        let lines = ledger.audit(&other.key.tenant, None, 10).await.unwrap();
        let deleted: Vec<_> = lines.iter().filter(|line| line.action == "recording.deleted").collect();
        assert_eq!((deleted.len(), deleted[0].who.as_str()), (1, "api"), "by whom it was claimed first, {name}");
        assert!(ledger.audit(&elsewhere.key.tenant, None, 10).await.unwrap().is_empty(), "{name}");
    })
    .await;
}

//! Transcription of recordings: who does it, how often, and what is left when a person or a recording goes.

use super::read_models::{each, projections};
use super::rebuilding::on_database;
use super::tape::{THEN, Tape};
use async_trait::async_trait;
use convoke::adapters::store::Opened;
use convoke::objects::{Keeper, Ledger, Named, Objects};
use convoke::projections::Spoken;
use convoke::transcription::{
    Ask, Audio, Chosen, Failure, Jobs, LANGUAGES_MAX, Made, Origin, Policy, Said, Segment, Transcriber, Worker,
};
use convoke::webhooks::{Client, Secrets, Webhooks};
use convoke_domain::caption::Caption;
use convoke_domain::recording::{Part, Recording, RecordingKind, RecordingStatus, Take};
use convoke_domain::shapes::{Role, Source};
use convoke_domain::{Event, ParticipantId, RoomId, TenantId};
use futures_util::StreamExt;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;

/// Answers as it is told to, and otherwise with what the file says; keeps what it was asked.
#[derive(Default)]
struct Scribe {
    failures: Mutex<VecDeque<Failure>>,
    asked: Mutex<Vec<(String, Ask)>>,
}

fn segment(text: &str, speaker: Option<u32>, lang: &str, start_ms: u64) -> Segment {
    Segment { start_ms, end_ms: start_ms + 1_000, speaker, lang: lang.into(), text: text.into() }
}

#[async_trait]
impl Transcriber for Scribe {
    async fn transcribe(&self, audio: Audio, ask: &Ask) -> Result<Vec<Segment>, Failure> {
        let parts: Vec<_> = audio.stream.collect().await;
        let bytes: Vec<u8> = parts.into_iter().flat_map(|part| part.unwrap().to_vec()).collect();
        assert_eq!(u64::try_from(bytes.len()).unwrap(), audio.bytes);
        let text = String::from_utf8(bytes).unwrap();
        self.asked.lock().unwrap().push((text.clone(), ask.clone()));
        match self.failures.lock().unwrap().pop_front() {
            Some(failure) => Err(failure),
            None => Ok(vec![
                segment(&format!("{text} one"), Some(0), "en", 0),
                segment(&format!("{text} two"), Some(1), "en", 2_000),
            ]),
        }
    }
}

/// A meeting with a recording of two people's tracks and of the whole room.
struct Scene {
    folder: PathBuf,
    tape: Tape,
    recording: Recording,
    takes: Vec<Take>,
    ada: ParticipantId,
    bob: ParticipantId,
    scribe: Arc<Scribe>,
    worker: Worker,
    keeper: Keeper,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Scene {
    async fn new(opened: &Opened, tracks: bool) -> Self {
        let folder = std::env::temp_dir().join(format!("convoke-transcriptions-{}", Uuid::now_v7()));
        let mut tape = Tape::begin("acme", "Weekly");
        let (ada, bob) = (tape.join("ada", Role::Host), tape.join("bob", Role::Participant));
        let recording = tape.recording(RecordingKind::Composite, THEN);
        let mut takes = vec![tape.take(&recording, &Part::Composite(0), "mp4", Some(4))];
        for (participant, track) in [(ada, "TR_1"), (bob, "TR_2")].into_iter().filter(|_| tracks) {
            let part = Part::Track { participant, source: Source::Audio, track: track.into() };
            takes.push(tape.take(&recording, &part, "ogg", Some(3)));
        }
        let recording = tape.ended(&recording, RecordingStatus::Completed, THEN + 9_000);
        let caption = |participant, lang: &str, text: &str, at: u64| Event::CaptionRecorded {
            caption: Caption {
                participant,
                room: RoomId::Main,
                lang: lang.into(),
                text: text.into(),
                start_at: THEN + at,
                end_at: THEN + at + 500,
                is_final: true,
            },
        };
        tape.say(caption(ada, "en-US", "doubled", 200));
        tape.say(caption(ada, "fr", "translated", 300));
        tape.say(caption(bob, "en", "between", 1_200));
        tape.say(caption(bob, "en", "much later", 20_000));
        tape.write(opened).await;
        projections(opened).catch_up(&tape.key).await.unwrap();
        let objects = Objects::open(&format!("file://{}", folder.display())).unwrap();
        for (take, text) in takes.iter().zip(["room", "ada", "bob"]) {
            let file = folder.join(&take.file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let client = Client::new(true).unwrap();
        let secrets = Secrets::new("secret");
        let scribe = Arc::new(Scribe::default());
        let transcriber: Arc<dyn Transcriber> = scribe.clone();
        let worker = Worker {
            jobs: Jobs::new(opened.db.clone()),
            objects: objects.clone(),
            transcriber,
            webhooks: Webhooks::new(opened.db.clone(), Arc::clone(&opened.store), secrets, client, Arc::default()),
            // With nothing to wait for: what failed is due again at once.
            policy: Policy {
                at_once: 1,
                limit: Duration::from_secs(20),
                bytes_max: 100,
                attempts_max: 2,
                wait: Duration::ZERO,
                every: Duration::from_secs(3_600),
                automatic: Vec::new(),
            },
            wake: Arc::default(),
        };
        let keeper = Keeper::new(Ledger::new(opened.db.clone()), objects, Duration::ZERO);
        Self { folder, tape, recording, takes, ada, bob, scribe, worker, keeper }
    }

    fn named(&self) -> Named {
        Named::new(self.tape.key.clone(), self.recording.id)
    }

    async fn make(&self, language: &str) -> Made {
        self.worker.jobs.make(&self.named(), language).await.unwrap()
    }

    async fn run(&self) -> usize {
        let mut count = 0;
        while self.worker.pass().await.unwrap() {
            count += 1;
        }
        count
    }

    /// The status of each transcript, and why it failed.
    async fn states(&self) -> Vec<(String, String, Option<String>)> {
        let all = self.worker.jobs.transcripts(&self.named()).await.unwrap();
        all.into_iter().map(|one| (one.language, one.status, one.error)).collect()
    }

    async fn state_of(&self, language: &str) -> (String, String, Option<String>) {
        self.states().await.into_iter().find(|one| one.0 == language).unwrap()
    }

    fn fails(&self, failures: &[Failure]) {
        self.scribe.failures.lock().unwrap().extend(failures.iter().cloned());
    }

    fn chosen(&self, transcript: Option<&str>, captions: bool) -> Chosen {
        Chosen {
            named: self.named(),
            transcript: transcript.map(ToOwned::to_owned),
            room: captions.then_some(RoomId::Main),
            from: THEN,
            to: THEN + 9_000,
            lang: None,
        }
    }

    /// Page by page, in small ones.
    async fn said(&self, chosen: &Chosen) -> Vec<Said> {
        let (mut all, mut place) = (Vec::new(), Spoken::START);
        loop {
            let page = self.worker.jobs.said(chosen, place, 2).await.unwrap();
            all.extend(page.items);
            let Some(next) = page.next else { return all };
            place = next.parse().unwrap();
        }
    }

    async fn texts(&self, chosen: &Chosen) -> Vec<String> {
        self.said(chosen).await.into_iter().map(|said| said.text).collect()
    }
}

fn state(language: &str, status: &str, error: Option<&str>) -> (String, String, Option<String>) {
    (language.into(), status.into(), error.map(ToOwned::to_owned))
}

#[tokio::test]
async fn tracks_are_transcribed_one_by_one_and_their_speakers_are_known() {
    each(async |name, opened| {
        let scene = Scene::new(&opened, true).await;
        assert_eq!(scene.make("detect").await, Made::There, "{name}");
        assert_eq!(scene.make("detect").await, Made::There, "{name}");
        assert_eq!(scene.run().await, 2, "once a track, {name}");
        let ask = Ask { language: None, several: false };
        assert_eq!(*scene.scribe.asked.lock().unwrap(), [("ada".into(), ask.clone()), ("bob".into(), ask)], "{name}");
        assert_eq!(scene.states().await, [state("detect", "completed", None)], "{name}");
        let said = scene.said(&scene.chosen(Some("detect"), false)).await;
        let told: Vec<_> = said.iter().map(|one| (one.text.as_str(), one.participant, one.start_at - THEN)).collect();
        let (ada, bob) = (Some(scene.ada), Some(scene.bob));
        let expected = [("ada one", ada, 0), ("bob one", bob, 0), ("ada two", ada, 2_000), ("bob two", bob, 2_000)];
        assert_eq!(told, expected, "{name}");
        assert!(said.iter().all(|one| one.origin == Origin::Transcription && one.speaker.is_none()), "{name}");
        // What is there is not done again.
        assert_eq!((scene.make("detect").await, scene.run().await), (Made::There, 0), "{name}");
        assert!(scene.worker.jobs.untold().await.unwrap().is_empty(), "it was told of, {name}");
    })
    .await;
}

#[tokio::test]
async fn captions_stand_where_nobody_transcribed_the_same() {
    each(async |name, opened| {
        let scene = Scene::new(&opened, true).await;
        let captions = ["doubled", "translated", "between"];
        assert_eq!(scene.texts(&scene.chosen(None, true)).await, captions, "{name}");
        scene.make("detect").await;
        scene.run().await;
        let both = ["ada one", "bob one", "translated", "between", "ada two", "bob two"];
        assert_eq!(scene.texts(&scene.chosen(Some("detect"), true)).await, both, "{name}");
        let french = Chosen { lang: Some("fr".into()), ..scene.chosen(Some("detect"), true) };
        assert_eq!(scene.texts(&french).await, ["translated"], "{name}");
        assert_eq!(scene.worker.jobs.spoken(&scene.named(), "en").await.unwrap(), ["detect"], "{name}");
        let elsewhere = Chosen { room: Some(RoomId::Breakout(Uuid::now_v7())), ..scene.chosen(None, true) };
        assert!(scene.texts(&elsewhere).await.is_empty(), "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_file_of_the_whole_room_has_numbered_speakers() {
    each(async |name, opened| {
        let scene = Scene::new(&opened, false).await;
        scene.make("de").await;
        assert_eq!(scene.run().await, 1, "{name}");
        let ask = Ask { language: Some("de".into()), several: true };
        assert_eq!(*scene.scribe.asked.lock().unwrap(), [("room".into(), ask)], "{name}");
        let said = scene.said(&scene.chosen(Some("de"), true)).await;
        let told: Vec<_> = said.iter().map(|one| (one.name.as_str(), one.text.as_str())).collect();
        // Who spoke is not known, so what a caption says may be the same.
        let expected =
            [("Speaker 1", "room one"), ("ada", "translated"), ("bob", "between"), ("Speaker 2", "room two")];
        assert_eq!(told, expected, "{name}");
    })
    .await;
}

#[tokio::test]
async fn what_fails_is_tried_again_and_then_given_up() {
    each(async |name, opened| {
        let scene = Scene::new(&opened, false).await;
        scene.fails(&[Failure::temporary("busy")]);
        scene.make("en").await;
        assert!(scene.worker.pass().await.unwrap(), "{name}");
        assert_eq!(scene.states().await, [state("en", "pending", Some("busy"))], "{name}");
        assert_eq!((scene.run().await, scene.states().await), (1, vec![state("en", "completed", None)]), "{name}");
        scene.fails(&[Failure::temporary("busy"), Failure::temporary("busy")]);
        scene.make("de").await;
        assert_eq!(scene.run().await, 2, "no more tries than there may be, {name}");
        assert_eq!(scene.state_of("de").await, state("de", "failed", Some("busy")), "{name}");
        scene.fails(&[Failure::permanent("unreadable")]);
        scene.make("fr").await;
        assert_eq!((scene.run().await, scene.states().await.len()), (1, 3), "{name}");
        // Asked for again, it is begun anew.
        scene.make("fr").await;
        assert_eq!(scene.run().await, 1, "{name}");
        assert_eq!(scene.state_of("fr").await, state("fr", "completed", None), "{name}");
        // Too large, and not there.
        std::fs::write(scene.folder.join(&scene.takes[0].file), "x".repeat(101)).unwrap();
        scene.make("es").await;
        assert_eq!(scene.run().await, 1, "{name}");
        assert_eq!(scene.state_of("es").await, state("es", "failed", Some("the file is too large")), "{name}");
        std::fs::remove_file(scene.folder.join(&scene.takes[0].file)).unwrap();
        scene.make("it").await;
        assert_eq!(scene.run().await, 2, "{name}");
        assert_eq!(scene.state_of("it").await, state("it", "failed", Some("the file is not there")), "{name}");
    })
    .await;
}

#[tokio::test]
async fn who_died_over_a_file_is_followed_and_comes_too_late() {
    each(async |name, opened| {
        let scene = Scene::new(&opened, false).await;
        let jobs = &scene.worker.jobs;
        scene.make("en").await;
        let long = Duration::from_secs(3_600);
        let dead = jobs.lease(long).await.unwrap().unwrap();
        assert!(jobs.lease(long).await.unwrap().is_none(), "it is somebody's, {name}");
        on_database(&opened.db, "UPDATE transcription_jobs SET leased_until = 1").await;
        let alive = jobs.lease(long).await.unwrap().unwrap();
        assert_eq!((dead.attempt, alive.attempt), (1, 2), "{name}");
        assert!(!jobs.complete(&dead, THEN, &[segment("late", None, "en", 0)]).await.unwrap(), "{name}");
        jobs.fail(&dead, &Failure::permanent("late"), None).await.unwrap();
        assert!(jobs.complete(&alive, THEN, &[segment("in time", None, "en", 0)]).await.unwrap(), "{name}");
        assert_eq!(scene.texts(&scene.chosen(Some("en"), false)).await, ["in time"], "{name}");
        // Somebody who dies over it each time is not followed for ever.
        scene.make("de").await;
        on_database(&opened.db, "UPDATE transcription_jobs SET attempts = 2 WHERE language = 'de'").await;
        assert_eq!(scene.run().await, 1, "{name}");
        assert_eq!(scene.state_of("de").await, state("de", "failed", Some("it was tried too often")), "{name}");
    })
    .await;
}

#[tokio::test]
async fn what_was_transcribed_goes_with_the_recording() {
    each(async |name, opened| {
        let scene = Scene::new(&opened, true).await;
        scene.make("en").await;
        scene.run().await;
        projections(&opened).rebuild().await.unwrap();
        assert_eq!(scene.texts(&scene.chosen(Some("en"), false)).await.len(), 4, "a rebuild leaves it, {name}");
        scene.make("de").await;
        let lease = Duration::from_secs(600);
        let open = scene.worker.jobs.lease(lease).await.unwrap().unwrap();
        assert!(scene.keeper.delete(&scene.named(), "api").await.unwrap(), "{name}");
        assert!(!scene.worker.jobs.complete(&open, THEN, &[segment("x", None, "en", 0)]).await.unwrap(), "{name}");
        assert!(scene.texts(&scene.chosen(Some("en"), false)).await.is_empty(), "{name}");
        assert!(scene.states().await.is_empty(), "{name}");
        scene.make("fr").await;
        assert!(scene.states().await.is_empty(), "of what is deleted nothing is made, {name}");
    })
    .await;
}

#[tokio::test]
async fn what_an_erased_person_said_goes_and_does_not_come_back() {
    each(async |name, opened| {
        let scene = Scene::new(&opened, true).await;
        let jobs = &scene.worker.jobs;
        scene.make("en").await;
        scene.run().await;
        scene.make("de").await;
        let open = jobs.lease(Duration::from_secs(600)).await.unwrap().unwrap();
        assert_eq!(open.participant, Some(scene.ada.0), "{name}");
        assert_eq!(jobs.said_by(&scene.tape.key, scene.ada).await.unwrap().len(), 2, "{name}");
        scene.keeper.ledger().want_erased(&scene.tape.key, scene.ada).await.unwrap();
        assert!(!jobs.complete(&open, THEN, &[segment("x", None, "en", 0)]).await.unwrap(), "{name}");
        assert!(jobs.said_by(&scene.tape.key, scene.ada).await.unwrap().is_empty(), "{name}");
        assert_eq!(scene.texts(&scene.chosen(Some("en"), false)).await, ["bob one", "bob two"], "{name}");
        scene.make("fr").await;
        scene.run().await;
        assert_eq!(scene.texts(&scene.chosen(Some("fr"), false)).await, ["bob one", "bob two"], "{name}");
    })
    .await;
}

#[tokio::test]
async fn tenants_do_not_see_each_others() {
    each(async |name, opened| {
        let scene = Scene::new(&opened, true).await;
        scene.make("en").await;
        scene.run().await;
        let mut key = scene.tape.key.clone();
        key.tenant = TenantId("other".into());
        let other = Named::new(key.clone(), scene.recording.id);
        let jobs = &scene.worker.jobs;
        assert!(jobs.transcripts(&other).await.unwrap().is_empty(), "{name}");
        assert!(jobs.spoken(&other, "en").await.unwrap().is_empty(), "{name}");
        assert!(jobs.said_by(&key, scene.ada).await.unwrap().is_empty(), "{name}");
        assert_eq!(jobs.make(&other, "en").await.unwrap(), Made::Nothing, "{name}");
        let chosen = Chosen { named: other, ..scene.chosen(Some("en"), true) };
        assert!(scene.texts(&chosen).await.is_empty(), "{name}");
    })
    .await;
}

#[tokio::test]
async fn what_was_completed_lately_is_found_once_and_there_is_an_end_to_languages() {
    each(async |name, opened| {
        let scene = Scene::new(&opened, true).await;
        let jobs = &scene.worker.jobs;
        let languages = ["detect".to_owned(), "en".to_owned()];
        assert_eq!(jobs.make_all(&languages).await.unwrap(), 0, "it was long ago, {name}");
        let now = Ledger::new(opened.db.clone()).now().await.unwrap();
        let mut lately = Tape::begin("acme", "Daily");
        let (young, _) = lately.composite(now, 0);
        let silent = lately.recording(RecordingKind::Composite, now - 5_000);
        let silent = lately.ended(&silent, RecordingStatus::Completed, now);
        lately.write(&opened).await;
        projections(&opened).catch_up(&lately.key).await.unwrap();
        assert_eq!(jobs.make_all(&languages).await.unwrap(), 2, "{name}");
        assert_eq!(jobs.make_all(&languages).await.unwrap(), 0, "{name}");
        let of = async |recording: &Recording| {
            let named = Named::new(lately.key.clone(), recording.id);
            let all = jobs.transcripts(&named).await.unwrap();
            all.into_iter().map(|one| (one.language, one.status, one.error)).collect::<Vec<_>>()
        };
        assert_eq!(of(&young).await, [state("detect", "pending", None), state("en", "pending", None)], "{name}");
        let nothing = state("detect", "failed", Some("there is nothing to transcribe"));
        assert_eq!(of(&silent).await, [nothing], "{name}");
        let tag = |number: usize| format!("x{}", char::from(b'a' + u8::try_from(number).unwrap()));
        for number in 0..LANGUAGES_MAX {
            assert_eq!(scene.make(&tag(number)).await, Made::There, "{name}");
        }
        assert_eq!(scene.make("one-more").await, Made::TooMany, "{name}");
        assert_eq!(scene.make(&tag(0)).await, Made::There, "what is there already may be asked for, {name}");
    })
    .await;
}

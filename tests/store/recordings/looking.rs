//! Pictures and durations, by tools that stand in for the real ones.

use super::keeping::Storage;
use super::*;
use crate::rebuilding::on_database;
use convoke::objects::{LookPolicy, Looker, Tools};
use std::os::unix::fs::PermissionsExt;

/// A tool that does what these lines of a shell say.
fn tool(storage: &Storage, name: &str, lines: &str) -> PathBuf {
    let path = storage.folder.with_file_name(format!("{name}-{}", Uuid::now_v7()));
    // Written under another name first: a file that is open for writing cannot be run.
    std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// With nothing to wait for: what failed is due again at once.
fn policy() -> LookPolicy {
    let tool = Duration::from_secs(20);
    LookPolicy { tool, bytes_max: 100, attempts_max: 2, wait: Duration::ZERO, every: Duration::from_secs(3_600) }
}

#[tokio::test]
async fn a_recording_that_is_completed_is_looked_at_once() {
    each(async |name, opened| {
        let storage = Storage::new(&opened);
        let mut tape = Tape::begin("acme", "Weekly");
        let (recording, take) = tape.composite(THEN + DAY, 0);
        tape.write(&opened).await;
        storage.asked.catch_up(&tape.key).await.unwrap();
        storage.put(&take.file);
        let ffprobe = tool(&storage, "ffprobe", "echo 61.5");
        let ffmpeg = tool(&storage, "ffmpeg", "/bin/cat \"$9\"");
        let tools = Tools { ffprobe: ffprobe.clone(), ffmpeg: ffmpeg.clone() };
        let (ledger, objects) = (storage.keeper.ledger().clone(), storage.keeper.objects().clone());
        let looker = Looker::new(ledger, objects, tools, policy());
        assert!(looker.pass().await.unwrap(), "{name}");
        let kept = storage.kept(&tape, &recording).await.unwrap();
        assert_eq!((kept.duration_ms, kept.thumbnail), (Some(61_500), true), "{name}");
        let picture = kept.picture.clone().unwrap();
        assert_eq!(picture, take.file.replace(".mp4", ".jpg"), "{name}");
        assert_eq!(std::fs::read_to_string(storage.folder.join(&picture)).unwrap(), "0123456789", "{name}");
        assert!(!looker.pass().await.unwrap(), "{name}");
        storage.asked.rebuild().await.unwrap();
        assert!(!looker.pass().await.unwrap(), "a rebuild is no reason to look again, {name}");
        assert_eq!(storage.kept(&tape, &recording).await.unwrap(), kept, "{name}");
        assert!(storage.keeper.delete(&named(&tape, &recording), "api").await.unwrap(), "{name}");
        assert!(!storage.has(&picture) && !storage.has(&take.file), "the picture goes along, {name}");
        [ffprobe, ffmpeg].iter().for_each(|tool| std::fs::remove_file(tool).unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_look_that_fails_is_tried_again_and_then_given_up() {
    each(async |name, opened| {
        let storage = Storage::new(&opened);
        let mut tape = Tape::begin("acme", "Weekly");
        let (recording, take) = tape.composite(THEN + DAY, 0);
        tape.write(&opened).await;
        storage.asked.catch_up(&tape.key).await.unwrap();
        let ffprobe = tool(&storage, "ffprobe", "exit 1");
        // One that would go on for ever is killed.
        let ffmpeg = tool(&storage, "ffmpeg", "exec /bin/sleep 3600");
        let tools = Tools { ffprobe: ffprobe.clone(), ffmpeg: ffmpeg.clone() };
        let (ledger, objects) = (storage.keeper.ledger().clone(), storage.keeper.objects().clone());
        let looker = Looker::new(ledger.clone(), objects.clone(), tools.clone(), policy());
        assert!(looker.pass().await.unwrap(), "there is no file, {name}");
        storage.put(&take.file);
        assert!(looker.pass().await.unwrap(), "the tool fails, {name}");
        assert!(!looker.pass().await.unwrap(), "it was tried as often as it may be, {name}");
        std::fs::write(&ffprobe, "#!/bin/sh\necho 1\n").unwrap();
        on_database(&opened.db, "UPDATE recording_objects SET look_at = 0, looks = 0").await;
        let short = LookPolicy { tool: Duration::from_millis(300), ..policy() };
        let looker = Looker::new(ledger, objects, tools, short);
        assert!(looker.pass().await.unwrap(), "{name}");
        let kept = storage.kept(&tape, &recording).await.unwrap();
        assert_eq!((kept.duration_ms, kept.thumbnail), (Some(4_000), false), "what the recorder said stays, {name}");
        // Somebody who died over it is followed when their lease is over.
        on_database(&opened.db, "UPDATE recording_objects SET look_at = 0, looks = 0, look_until = 9000000000000")
            .await;
        assert!(!looker.pass().await.unwrap(), "{name}");
        on_database(&opened.db, "UPDATE recording_objects SET look_until = 1").await;
        assert!(looker.pass().await.unwrap(), "{name}");
        [ffprobe, ffmpeg].iter().for_each(|tool| std::fs::remove_file(tool).unwrap());
    })
    .await;
}

use super::*;
use crate::adapters::media::livekit::name_of;
use convoke_domain::recording::{Part, path_of};
use convoke_domain::shapes::Source;
use convoke_domain::{ParticipantId, RoomId, TenantId};
use livekit_protocol::{
    DirectFileOutput, EncodedFileOutput, RoomCompositeEgressRequest, TrackEgressRequest, egress_info::Request,
};
use uuid::Uuid;

const MEETING: MeetingId = MeetingId(Uuid::from_u128(1));
const RECORDING: RecordingId = RecordingId(Uuid::from_u128(2));

fn path(part: &Part) -> String {
    path_of(&TenantId("acme".to_owned()), MEETING, &format!("2026-11-21-{RECORDING}"), part)
}

fn composite(status: EgressStatus) -> EgressInfo {
    let filepath = format!("/out/{}.mp4", path(&Part::Composite(3)));
    let file_outputs = vec![EncodedFileOutput { filepath, ..EncodedFileOutput::default() }];
    EgressInfo {
        egress_id: "EG_1".to_owned(),
        room_name: name_of(MEETING, RoomId::Main, 3),
        status: status.into(),
        started_at: 1_795_219_200_123_456_789,
        request: Some(Request::RoomComposite(RoomCompositeEgressRequest { file_outputs, ..Default::default() })),
        ..EgressInfo::default()
    }
}

fn with_file(info: EgressInfo, size: i64) -> EgressInfo {
    let filename = format!("some/prefix/{}.mp4", path(&Part::Composite(3)));
    let file = FileInfo { filename, size, duration: 61_500_000_000, ..FileInfo::default() };
    EgressInfo { file_results: vec![file], ended_at: 1_795_219_262_000_000_000, ..info }
}

fn state(info: &EgressInfo) -> TakeState {
    take_of(info).unwrap().2.state
}

#[test]
fn a_run_that_begins_is_known_by_what_was_asked_for() {
    let (meeting, recording, take) = take_of(&composite(EgressStatus::EgressStarting)).unwrap();
    assert_eq!((meeting, recording), (MEETING, RECORDING));
    let part = Part::Composite(3);
    let begun = Take::of("EG_1".to_owned(), &part, format!("{}.mp4", path(&part)));
    assert_eq!(take, Take { started_at: Some(1_795_219_200_123), ..begun });
}

#[test]
fn a_run_that_is_over_tells_of_its_file() {
    let info = with_file(composite(EgressStatus::EgressComplete), 4_711);
    let take = take_of(&info).unwrap().2;
    assert_eq!(take.file, format!("{}.mp4", path(&Part::Composite(3))), "the bucket's prefix is not the object's");
    assert_eq!((take.state, take.bytes, take.duration_ms), (TakeState::Complete, Some(4_711), Some(61_500)));
    assert_eq!((take.ended_at, take.error), (Some(1_795_219_262_000), None));
}

#[test]
fn a_track_is_taken_of_its_participant() {
    let participant = ParticipantId(Uuid::from_u128(5));
    let part = Part::Track { participant, source: Source::Screen, track: "TR_VS1".to_owned() };
    let output = track_egress_request::Output::File(DirectFileOutput { filepath: path(&part), ..Default::default() });
    let request = Request::Track(TrackEgressRequest { output: Some(output), ..Default::default() });
    let info = EgressInfo { request: Some(request), ..composite(EgressStatus::EgressActive) };
    let take = take_of(&info).unwrap().2;
    assert_eq!((take.participant, take.source), (Some(participant), Some(Source::Screen)));
    assert_eq!((take.state, take.file), (TakeState::Active, path(&part)));
}

#[test]
fn every_status_has_its_state() {
    use EgressStatus::*;
    let states = [
        (EgressStarting, TakeState::Starting),
        (EgressActive, TakeState::Active),
        (EgressEnding, TakeState::Ending),
        (EgressComplete, TakeState::Complete),
        (EgressFailed, TakeState::Failed),
        (EgressAborted, TakeState::Failed),
        (EgressLimitReached, TakeState::Failed),
    ];
    for (status, expected) in states {
        assert_eq!(state(&composite(status)), expected, "{status:?}");
    }
    assert_eq!(state(&with_file(composite(EgressLimitReached), 1)), TakeState::Complete);
    assert_eq!(state(&with_file(composite(EgressFailed), 1)), TakeState::Failed);
}

#[test]
fn a_failure_is_told_without_secrets() {
    let error = "upload of https://bucket.example/x?X-Amz-Signature=0123456789abcdef failed".to_owned();
    let failed = EgressInfo { error, ..composite(EgressStatus::EgressFailed) };
    assert_eq!(take_of(&failed).unwrap().2.error.as_deref(), Some("upload of … failed"));
    let aborted = take_of(&composite(EgressStatus::EgressAborted)).unwrap().2;
    assert_eq!(aborted.error.as_deref(), Some("egress_aborted"));
    let warned = EgressInfo { error: "slow".to_owned(), ..composite(EgressStatus::EgressActive) };
    assert_eq!(take_of(&warned).unwrap().2.error, None);
}

#[test]
fn runs_of_others_are_not_ours() {
    let stranger = EgressInfo { request: None, ..composite(EgressStatus::EgressActive) };
    assert_eq!(take_of(&stranger), None);
    let file_results = vec![FileInfo { filename: "out/meeting.mp4".to_owned(), ..FileInfo::default() }];
    assert_eq!(take_of(&EgressInfo { file_results, ..stranger }), None);
    let room_name = name_of(MeetingId(Uuid::from_u128(77)), RoomId::Main, 0);
    let misplaced = EgressInfo { room_name, ..composite(EgressStatus::EgressActive) };
    assert_eq!(take_of(&misplaced), None, "the file is in another meeting's folder");
}

//! Recordings by LiveKit Egress: a room as one picture, its sound, or a single track as it is. What
//! runs, and for a while what has ended, is listed once for all meetings of the node.

use super::LiveKit;
use super::calls::counted;
use super::names::name_of;
use super::takes::take_of;
use async_trait::async_trait;
use convoke_actors::ports::{MediaError, MeetingKey, Recorder, TakeOrder, Takes};
use convoke_domain::MeetingId;
use convoke_domain::recording::{Format, Part, Take};
use livekit_api::access_token::VideoGrants;
use livekit_api::services::ServerErrorCode;
use livekit_api::services::egress::encoding::{EncodingOptions, H264_1080P_30};
use livekit_api::services::egress::{EgressOutput, RoomCompositeOptions, TrackEgressOutput};
use livekit_protocol::{
    AudioCodec, DirectFileOutput, EgressInfo, EncodedFileOutput, EncodedFileType, ListEgressRequest,
    ListEgressResponse, VideoCodec,
};
use std::collections::HashMap;
use std::time::Duration;

/// People side by side; a screen that is shared comes to the front.
const LAYOUT: &str = "grid";
/// What Opus is made of.
const OPUS_HZ: i32 = 48_000;
/// Beyond these a listing is given up: it would not be read in time.
const PAGES_MAX: usize = 50;

#[async_trait]
impl Recorder for LiveKit {
    fn is_there(&self) -> bool {
        true
    }

    async fn begin(&self, order: &TakeOrder) -> Result<Take, MediaError> {
        let room = name_of(order.room.key.meeting, order.room.room, order.room.generation);
        let (info, file) = match &order.part {
            Part::Composite(_) => self.composite(&room, order, false).await?,
            Part::Audio(_) => self.composite(&room, order, true).await?,
            Part::Track { track, .. } => self.track(&room, order, track).await?,
        };
        let told = take_of(&info).map(|(_, _, take)| take);
        Ok(told.unwrap_or_else(|| Take::of(info.egress_id, &order.part, file)))
    }

    async fn end(&self, take: &str) -> Result<(), MediaError> {
        match counted("stop_egress", self.egress.stop_egress(take)).await {
            Ok(_) => Ok(()),
            // It has ended, or is about to.
            Err(failed) if failed.is(ServerErrorCode::FAILED_PRECONDITION) => Ok(()),
            Err(failed) if failed.is(ServerErrorCode::NOT_FOUND) => Ok(()),
            Err(failed) => Err(failed.into()),
        }
    }

    async fn takes(&self, key: &MeetingKey, age_max: Duration) -> Result<Takes, MediaError> {
        let recorded = self.recorded.get(age_max, || self.list_takes()).await?;
        Ok(recorded.get(&key.meeting).cloned().unwrap_or_default())
    }
}

impl LiveKit {
    async fn composite(
        &self,
        room: &str,
        order: &TakeOrder,
        audio_only: bool,
    ) -> Result<(EgressInfo, String), MediaError> {
        // Egress names VP8 and Opus WebM when it may choose; it has no type of that name.
        let (ending, file_type) = match (audio_only, order.format) {
            (true, _) => ("ogg", EncodedFileType::Ogg),
            (false, Format::Mp4) => ("mp4", EncodedFileType::Mp4),
            (false, Format::Webm) => ("webm", EncodedFileType::DefaultFiletype),
        };
        let opus = EncodingOptions { audio_codec: AudioCodec::Opus, audio_frequency: OPUS_HZ, ..H264_1080P_30 };
        let encoding = match file_type {
            EncodedFileType::Mp4 => EncodingOptions { audio_codec: AudioCodec::Aac, ..H264_1080P_30 },
            EncodedFileType::DefaultFiletype => EncodingOptions { video_codec: VideoCodec::Vp8, ..opus },
            _ => opus,
        };
        let file = format!("{}.{ending}", order.path);
        let output = EncodedFileOutput {
            file_type: file_type.into(),
            filepath: self.storage.path(&file),
            // A file beside each recording that nobody asked for.
            disable_manifest: true,
            output: self.storage.for_encoded(),
        };
        let layout = if audio_only { String::new() } else { LAYOUT.to_owned() };
        let options = RoomCompositeOptions { layout, encoding, audio_only, ..RoomCompositeOptions::default() };
        let call = self.egress.start_room_composite_egress(room, vec![EgressOutput::File(output)], options);
        Ok((counted("start_egress", call).await?, file))
    }

    /// A track is written as it comes; Egress gives the file the ending of what it is.
    async fn track(&self, room: &str, order: &TakeOrder, track: &str) -> Result<(EgressInfo, String), MediaError> {
        let output = DirectFileOutput {
            filepath: self.storage.path(&order.path),
            disable_manifest: true,
            output: self.storage.for_direct(),
        };
        let call = self.egress.start_track_egress(room, TrackEgressOutput::File(Box::new(output)), track);
        Ok((counted("start_egress", call).await?, order.path.clone()))
    }

    /// All takes of ours, by meeting. What has ended is in it as long as LiveKit remembers.
    async fn list_takes(&self) -> Result<HashMap<MeetingId, Takes>, MediaError> {
        let mut takes: HashMap<MeetingId, Takes> = HashMap::new();
        let mut page_token = None;
        for _ in 0..PAGES_MAX {
            let question = ListEgressRequest { page_token: page_token.take(), ..ListEgressRequest::default() };
            let grants = VideoGrants { room_record: true, ..VideoGrants::default() };
            let call = self.twirp.call::<_, ListEgressResponse>("Egress/ListEgress", grants, &question);
            let page = counted("list_egress", call).await?;
            for (meeting, recording, take) in page.items.iter().filter_map(take_of) {
                takes.entry(meeting).or_default().by_recording.entry(recording).or_default().push(take);
            }
            page_token = page.next_page_token.filter(|next| !next.token.is_empty());
            if page_token.is_none() {
                return Ok(takes);
            }
        }
        Err(MediaError(format!("the listing of recordings has more than {PAGES_MAX} pages")))
    }
}

"""A person's media client, for tests: the real SDK with its own WebRTC, driven by lines.

Each line of standard input is a command, a JSON object with "do"; each line of standard output is
what happened, a JSON object with "event". Tracks are synthetic: a tone, and a picture that changes.

    {"do": "connect", "url": ..., "token": ...}      again with other credentials: leaves, and connects
    {"do": "publish" | "unpublish" | "mute" | "unmute", "source": "audio" | "video" | "screen"}
    {"do": "disconnect"} | {"do": "quit"}            the end of the input is the same as quit
"""

import array
import asyncio
import json
import math
import sys

from livekit import rtc

SOURCES = {
    "audio": rtc.TrackSource.SOURCE_MICROPHONE,
    "video": rtc.TrackSource.SOURCE_CAMERA,
    "screen": rtc.TrackSource.SOURCE_SCREENSHARE,
}
NAMES = {number: name for name, number in SOURCES.items()}
RATE_HZ = 48_000
FRAME_S = 0.01
WIDTH, HEIGHT, FRAMES_PER_S = 320, 180, 15
CONNECT_S = 20


def tell(event, **what):
    print(json.dumps({"event": event, **what}), flush=True)


async def feed_audio(source):
    """A tone, without end."""
    samples = int(RATE_HZ * FRAME_S)
    at = 0
    while True:
        tone = (int(8_000 * math.sin(2 * math.pi * 440 * (at + i) / RATE_HZ)) for i in range(samples))
        data = array.array("h", tone).tobytes()
        at += samples
        # Waits while the queue is full.
        await source.capture_frame(rtc.AudioFrame(data, RATE_HZ, 1, samples))


async def feed_video(source):
    """A picture in one colour, another one each time."""
    shade = 0
    while True:
        data = bytearray(bytes((shade, 128, 255 - shade, 255)) * (WIDTH * HEIGHT))
        source.capture_frame(rtc.VideoFrame(WIDTH, HEIGHT, rtc.VideoBufferType.RGBA, data))
        shade = (shade + 8) % 256
        await asyncio.sleep(1 / FRAMES_PER_S)


class Client:
    def __init__(self):
        self.room = None
        self.feeds = {}
        self.published = {}

    async def connect(self, url, token):
        await self.disconnect()
        room = rtc.Room()
        self.listen(room)
        try:
            options = rtc.RoomOptions(connect_timeout=CONNECT_S)
            await asyncio.wait_for(room.connect(url, token, options), CONNECT_S)
        except (rtc.ConnectError, asyncio.TimeoutError) as error:
            tell("refused", error=str(error))
            return
        self.room = room
        there = sorted(room.remote_participants)
        tell("connected", room=room.name, identity=room.local_participant.identity, there=there)

    def listen(self, room):
        def who(participant):
            return participant.identity

        def source(publication):
            return NAMES.get(publication.source, "other")

        def on_permissions(participant, *_):
            permissions = participant.permissions
            may = [NAMES[number] for number in permissions.can_publish_sources if number in NAMES]
            tell("permitted", who=who(participant), can_publish=permissions.can_publish, may=sorted(may))

        def on_disconnected(reason):
            if room is self.room:
                self.forget()
                self.room = None
            tell("disconnected", reason=rtc.DisconnectReason.Name(reason))

        def on_track(event):
            return lambda publication, participant: tell(event, who=who(participant), source=source(publication))

        room.on("disconnected", on_disconnected)
        room.on("reconnecting", lambda: tell("reconnecting"))
        room.on("reconnected", lambda: tell("reconnected"))
        room.on("participant_connected", lambda participant: tell("joined", who=who(participant)))
        room.on("participant_disconnected", lambda participant: tell("left", who=who(participant)))
        room.on("participant_permissions_changed", on_permissions)
        room.on("track_published", on_track("published"))
        room.on("track_unpublished", on_track("unpublished"))
        room.on("track_subscribed", lambda _, publication, participant: on_track("heard")(publication, participant))
        room.on("track_muted", lambda participant, publication: on_track("muted")(publication, participant))
        room.on("track_unmuted", lambda participant, publication: on_track("unmuted")(publication, participant))
        room.on("local_track_unpublished", lambda publication: tell("taken_down", source=source(publication)))

    async def publish(self, name):
        if name == "audio":
            source = rtc.AudioSource(RATE_HZ, 1)
            track, feed = rtc.LocalAudioTrack.create_audio_track(name, source), feed_audio(source)
        else:
            source = rtc.VideoSource(WIDTH, HEIGHT, is_screencast=name == "screen")
            track, feed = rtc.LocalVideoTrack.create_video_track(name, source), feed_video(source)
        options = rtc.TrackPublishOptions(source=SOURCES[name])
        try:
            publication = await asyncio.wait_for(self.room.local_participant.publish_track(track, options), CONNECT_S)
        except (rtc.participant.PublishTrackError, asyncio.TimeoutError) as error:
            feed.close()
            tell("publish_refused", source=name, error=str(error))
            return
        self.stop_feed(name)
        self.feeds[name] = asyncio.ensure_future(feed)
        self.published[name] = publication
        tell("publishes", source=name, track=publication.sid)

    async def unpublish(self, name):
        publication = self.published.pop(name, None)
        self.stop_feed(name)
        if publication is not None:
            await self.room.local_participant.unpublish_track(publication.sid)

    def stop_feed(self, name):
        feed = self.feeds.pop(name, None)
        if feed is not None:
            feed.cancel()

    def forget(self):
        for name in list(self.feeds):
            self.stop_feed(name)
        self.published.clear()

    async def disconnect(self):
        room, self.room = self.room, None
        self.forget()
        if room is not None:
            await room.disconnect()

    async def obey(self, command):
        """False: that was the last one."""
        do, source = command["do"], command.get("source")
        if do == "connect":
            await self.connect(command["url"], command["token"])
        elif do == "disconnect":
            await self.disconnect()
        elif do == "quit":
            await self.disconnect()
            return False
        elif self.room is None:
            tell("error", error=f"{do}: not connected")
        elif do == "publish":
            await self.publish(source)
        elif do == "unpublish":
            await self.unpublish(source)
        elif source not in self.published:
            tell("error", error=f"{do}: nothing of that source is published")
        elif do == "mute":
            self.published[source].track.mute()
        elif do == "unmute":
            self.published[source].track.unmute()
        else:
            tell("error", error=f"{do} is not known")
        return True


async def main():
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    client = Client()
    tell("ready")
    while line := await lines.readline():
        try:
            if not await client.obey(json.loads(line)):
                break
        except Exception as error:  # A test is told of it, and goes on to say what it missed.
            tell("error", error=f"{type(error).__name__}: {error}")
    await client.disconnect()
    tell("ended")


asyncio.run(main())

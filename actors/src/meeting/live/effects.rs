//! What goes with events and has no place in the log: places, views, notices, signals, closings.

use super::Live;
use crate::frame;
use crate::release::{Item, Placing, SocketId};
use bytestring::ByteString;
use convoke_domain::effect::Signal;
use convoke_domain::{Effect, ParticipantId, RoomId, SessionId};

impl Live {
    pub(super) fn effects(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.effect(effect);
        }
    }

    pub(super) fn sockets_of(&self, participant: ParticipantId) -> Vec<(SessionId, SocketId)> {
        let Some(member) = self.state.member(participant) else { return Vec::new() };
        member.sessions.iter().filter_map(|id| self.socket_of(*id).map(|socket| (*id, socket))).collect()
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::LobbyMessage { to, from, text } => {
                let data = match from {
                    Some(from) => format!(r#"{{"text":{},"from":"{from}"}}"#, frame::json(&text)),
                    None => format!(r#"{{"text":{}}}"#, frame::json(&text)),
                };
                let message = frame::notice("lobby.message", &data);
                for participant in to {
                    for (_, socket) in self.sockets_of(participant) {
                        self.tell(socket, message.clone());
                    }
                }
            }
            Effect::Admitted(participant) => self.show(participant, true),
            Effect::Entered(participant) => self.show(participant, false),
            Effect::Waiting(participant) => {
                for (session, socket) in self.sockets_of(participant) {
                    self.place(session, socket, Placing::Moved);
                    self.tell(socket, frame::notice("self.waiting", "{}"));
                }
            }
            Effect::Close { sessions, code } => {
                for session in sessions {
                    self.detached.remove(&session);
                    self.numbers.remove(&session);
                    if let Some(attachment) = self.attached.remove(&session) {
                        self.leave(Item::Close { socket: attachment.socket, code });
                    }
                }
            }
            Effect::CloseAll(code) => {
                self.attached.clear();
                self.detached.clear();
                self.numbers.clear();
                self.leave(Item::CloseAll { code });
            }
            Effect::ScreenRequested(participant) => {
                let message = frame::notice("screen.requested", &format!(r#"{{"participant":"{participant}"}}"#));
                self.tell_leads(&message);
            }
            Effect::GrantMedia(participant) => {
                for (session, _) in self.sockets_of(participant) {
                    self.grant(session);
                }
            }
            Effect::Signal { room, signal } => {
                let item = signal_item(room, &signal);
                self.leave(item);
            }
            Effect::Mesh { to, from, data } => {
                if let Some(socket) = self.socket_of(to) {
                    let data = format!(r#"{{"from":"{from}","data":{data}}}"#);
                    self.tell(socket, frame::notice("mesh.signal", &data));
                }
            }
        }
    }

    /// A notice to everybody who leads.
    pub(super) fn tell_leads(&mut self, message: &ByteString) {
        let leads: Vec<ParticipantId> = self.state.leads.iter().copied().collect();
        for (_, socket) in leads.into_iter().flat_map(|lead| self.sockets_of(lead)).collect::<Vec<_>>() {
            self.tell(socket, message.clone());
        }
    }

    /// Shows somebody what they see from now on: all of it, or what changed with them.
    pub(super) fn show(&mut self, participant: ParticipantId, is_snapshot: bool) {
        for (session, socket) in self.sockets_of(participant) {
            self.place(session, socket, Placing::Moved);
            let (message, seq) = if is_snapshot {
                let Some(snapshot) = self.snapshot_json(session) else { continue };
                let data = format!(r#"{{"snapshot":{snapshot}}}"#);
                (frame::notice("self.admitted", &data), Some(self.state.seq))
            } else {
                let Some(shown) = Self::shown(&self.key, &self.env, &self.state, session) else { continue };
                // The events of the same decision that follow are not in it.
                (frame::notice("self.entered", &shown.entered(&mut self.views)), None)
            };
            self.leave(Item::Direct { socket, message, re: None, seq, is_snapshot: true });
        }
    }
}

pub(super) fn signal_item(room: RoomId, signal: &Signal) -> Item {
    match signal {
        Signal::ReactionShown { participant, emoji } => {
            let data = format!(r#"{{"participant":"{participant}","emoji":{}}}"#, frame::json(emoji));
            Item::Signal { room, key: format!("r{participant}"), message: frame::notice("reaction.shown", &data) }
        }
        Signal::CaptionShown { caption } => {
            let (speaker, lang) = (caption.participant, &caption.lang);
            let data = format!(r#"{{"caption":{}}}"#, frame::json(caption));
            Item::Signal { room, key: format!("c{speaker}{lang}"), message: frame::notice("caption.shown", &data) }
        }
        Signal::QualityShown { participant, quality } => {
            let data = format!(r#"{{"participant":"{participant}","quality":{}}}"#, frame::json(quality));
            Item::Signal { room, key: format!("q{participant}"), message: frame::notice("media.quality", &data) }
        }
        Signal::MediaStates { participant, media } => {
            let media = frame::json(media);
            let data = format!(r#"{{"states":[{{"participant":"{participant}","media":{media}}}]}}"#);
            Item::Signal { room, key: format!("m{participant}"), message: frame::notice("media.states", &data) }
        }
    }
}

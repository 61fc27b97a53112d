//! Who is at a board, and where their cursor is: what clients say of themselves by awareness. Nobody speaks for
//! another: a client's id is its socket's who used it first, and of its session for as long as that may come
//! back. What is said is told to all a few dozen times a second at most, each client's latest.

use super::protocol::Presence;
use crate::release::SocketId;
use convoke_domain::{Millis, SessionId};
use std::collections::{BTreeMap, BTreeSet};

/// A client says something of itself at least every 15 s; one that has not for this long is gone.
const SILENT_MS: Millis = 30_000;
/// How long an id stays with the session that had it.
const KEPT_MS: Millis = 60_000;
/// Ids of one socket: an editor has one.
const OF_SOCKET_MAX: usize = 8;
/// Ids of a session that are kept for it when they are gone.
const KEPT_MAX: usize = 32;
/// Bytes of what a client says of itself.
pub const STATE_BYTES_MAX: usize = 16 << 10;

struct Client {
    said: Presence,
    session: SessionId,
    /// None: it is gone, and its id kept for its session.
    socket: Option<SocketId>,
    heard_at: Millis,
}

#[derive(Default)]
pub struct Everybody {
    clients: BTreeMap<u64, Client>,
    /// Of whom something is to be told.
    untold: BTreeSet<u64>,
}

impl Everybody {
    /// Takes what a socket says. False: what it says of itself is too long, or it is too many.
    pub fn hear(&mut self, said: Vec<Presence>, socket: SocketId, session: SessionId, now: Millis) -> bool {
        for said in said {
            if !self.hear_one(said, socket, session, now) {
                return false;
            }
        }
        true
    }

    fn hear_one(&mut self, said: Presence, socket: SocketId, session: SessionId, now: Millis) -> bool {
        let id = said.client;
        match self.clients.get_mut(&id) {
            // Clients repeat what they were told of others, and tell of those that they miss: not theirs to say.
            Some(client) if client.session != session => true,
            Some(client) => {
                let is_newer = said.clock > client.said.clock
                    || (said.clock == client.said.clock && said.is_gone() && !client.said.is_gone());
                if said.state.len() > STATE_BYTES_MAX {
                    return false;
                }
                if is_newer {
                    client.socket = (!said.is_gone()).then_some(socket);
                    client.heard_at = now;
                    client.said = said;
                    self.untold.insert(id);
                }
                true
            }
            // Somebody else, who has gone.
            None if said.is_gone() => true,
            None => {
                let own = self.clients.values().filter(|client| client.socket == Some(socket)).count();
                if said.state.len() > STATE_BYTES_MAX || own >= OF_SOCKET_MAX {
                    return false;
                }
                self.keep_few(session);
                self.clients.insert(id, Client { said, session, socket: Some(socket), heard_at: now });
                self.untold.insert(id);
                true
            }
        }
    }

    /// The oldest of those who are gone give way to who comes.
    fn keep_few(&mut self, session: SessionId) {
        let is_gone = |client: &Client| client.session == session && client.socket.is_none();
        let gone = self.clients.iter().filter(|(_, client)| is_gone(client));
        if gone.clone().count() >= KEPT_MAX
            && let Some(oldest) = gone.min_by_key(|(_, client)| client.heard_at).map(|(id, _)| *id)
        {
            self.clients.remove(&oldest);
        }
    }

    /// A socket is gone, and with it who spoke by it.
    pub fn leave(&mut self, socket: SocketId, now: Millis) {
        self.lose(now, |client| client.socket == Some(socket));
    }

    /// Forgets who says nothing any more.
    pub fn tidy(&mut self, now: Millis) {
        self.lose(now, |client| client.socket.is_some() && client.heard_at.saturating_add(SILENT_MS) <= now);
        let untold = &self.untold;
        self.clients.retain(|id, client| {
            client.socket.is_some() || untold.contains(id) || client.heard_at.saturating_add(KEPT_MS) > now
        });
    }

    fn lose(&mut self, now: Millis, is_gone: impl Fn(&Client) -> bool) {
        for (id, client) in self.clients.iter_mut().filter(|(_, client)| is_gone(client)) {
            client.said.clock = client.said.clock.saturating_add(1);
            "null".clone_into(&mut client.said.state);
            client.socket = None;
            client.heard_at = now;
            self.untold.insert(*id);
        }
    }

    pub fn has_news(&self) -> bool {
        !self.untold.is_empty()
    }

    /// What is to be told to all.
    pub fn news(&mut self) -> Vec<Presence> {
        let untold = std::mem::take(&mut self.untold);
        untold.iter().filter_map(|id| self.clients.get(id)).map(|client| client.said.clone()).collect()
    }

    /// Everybody who is there.
    pub fn all(&self) -> Vec<Presence> {
        self.clients.values().filter(|client| client.socket.is_some()).map(|client| client.said.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn socket(number: u128) -> SocketId {
        SocketId(Uuid::from_u128(number))
    }

    fn session(number: u128) -> SessionId {
        SessionId(Uuid::from_u128(number))
    }

    fn says(client: u64, clock: u32, state: &str) -> Vec<Presence> {
        vec![Presence { client, clock, state: state.to_owned() }]
    }

    #[test]
    fn nobody_speaks_for_another() {
        let mut everybody = Everybody::default();
        assert!(everybody.hear(says(7, 1, "{}"), socket(1), session(1), 0));
        assert_eq!(everybody.news().len(), 1);
        assert!(everybody.hear(says(7, 2, "{\"user\":\"me\"}"), socket(2), session(2), 0), "passed over");
        assert!(everybody.hear(says(7, 9, "null"), socket(2), session(2), 0));
        assert!(!everybody.has_news());
        assert_eq!(everybody.all(), says(7, 1, "{}"));
        everybody.leave(socket(1), 10);
        assert_eq!(everybody.news(), says(7, 2, "null"), "it is gone for all");
        assert!(everybody.hear(says(7, 3, "{}"), socket(2), session(2), 20));
        assert!(everybody.all().is_empty(), "its id is kept for it");
        assert!(everybody.hear(says(7, 3, "{}"), socket(3), session(1), 30));
        assert_eq!(everybody.all().len(), 1);
    }

    #[test]
    fn what_is_old_changes_nothing() {
        let mut everybody = Everybody::default();
        everybody.hear(says(7, 5, "\"new\""), socket(1), session(1), 0);
        everybody.news();
        everybody.hear(says(7, 5, "\"same\""), socket(1), session(1), 0);
        everybody.hear(says(7, 4, "null"), socket(1), session(1), 0);
        assert!(!everybody.has_news());
        everybody.hear(says(7, 5, "null"), socket(1), session(1), 0);
        assert_eq!(everybody.news(), says(7, 5, "null"), "to go is said with the same clock");
    }

    #[test]
    fn whoever_falls_silent_is_gone_and_then_forgotten() {
        let mut everybody = Everybody::default();
        everybody.hear(says(7, 1, "{}"), socket(1), session(1), 0);
        everybody.news();
        everybody.tidy(SILENT_MS - 1);
        assert!(!everybody.has_news());
        everybody.tidy(SILENT_MS);
        assert_eq!(everybody.news(), says(7, 2, "null"));
        everybody.tidy(SILENT_MS + KEPT_MS);
        assert!(everybody.clients.is_empty());
    }

    #[test]
    fn what_is_said_has_bounds() {
        let mut everybody = Everybody::default();
        let long = "x".repeat(STATE_BYTES_MAX + 1);
        assert!(!everybody.hear(says(1, 1, &long), socket(1), session(1), 0));
        for client in 0..u64::try_from(OF_SOCKET_MAX).unwrap_or(0) {
            assert!(everybody.hear(says(client, 1, "{}"), socket(1), session(1), 0));
        }
        assert!(!everybody.hear(says(99, 1, "{}"), socket(1), session(1), 0));
        assert!(!everybody.hear(says(1, 2, &long), socket(1), session(1), 0));
        assert!(everybody.hear(says(99, 1, "{}"), socket(2), session(1), 0), "another page of theirs");
    }

    #[test]
    fn of_who_is_gone_a_few_are_kept() {
        let mut everybody = Everybody::default();
        for client in 0..100 {
            assert!(everybody.hear(says(client, 1, "{}"), socket(1), session(1), client), "{client}");
            everybody.leave(socket(1), client);
        }
        assert_eq!(everybody.clients.len(), KEPT_MAX);
        assert!(everybody.clients.contains_key(&99) && !everybody.clients.contains_key(&0));
    }
}

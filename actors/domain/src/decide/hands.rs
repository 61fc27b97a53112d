//! Raised hands, in the order in which the meeting heard of them, and passing reactions. A hand
//! belongs to the person, not to the device that raised it.

use super::{person, roles};
use crate::command::OneOrAll;
use crate::effect::{Effect, Signal};
use crate::event::Event;
use crate::rejection::Rejection;
use crate::shapes::Hand;
use crate::turn::{Caller, Reply, Turn};

pub fn raise(turn: &mut Turn<'_>, caller: &Caller) -> Result<Reply, Rejection> {
    let id = person(caller)?;
    if turn.member(id)?.participant.hand_at.is_none() {
        turn.emit(Event::HandRaised { hand: Hand { participant: id, at: turn.now.at } });
    }
    Ok(Reply::Done)
}

pub fn lower(turn: &mut Turn<'_>, caller: &Caller, whom: &OneOrAll) -> Result<Reply, Rejection> {
    let chosen = match (whom.participant, whom.all) {
        (None, true) if caller.role.leads() => match caller.participant {
            // A host lowers the hands of the room they are in; a backend, all of them.
            Some(id) => turn.state.hands_in(turn.member(id)?.participant.room),
            None => turn.state.hands.clone(),
        },
        (None, true) => return Err(Rejection::not_permitted("only hosts can lower all hands")),
        (Some(id), false) => {
            turn.inside(id)?;
            roles::self_or_lead(turn, caller, id)?;
            turn.state.hands.iter().filter(|hand| hand.participant == id).copied().collect()
        }
        (None, false) => {
            let id = person(caller)?;
            turn.state.hands.iter().filter(|hand| hand.participant == id).copied().collect()
        }
        (Some(_), true) => return Err(Rejection::bad_request("name one participant, or all")),
    };
    // One event a room: those who see a hand see it lowered.
    let mut rooms = std::collections::BTreeMap::<_, std::collections::BTreeSet<_>>::new();
    for hand in chosen {
        let room = turn.member(hand.participant)?.participant.room;
        rooms.entry(room).or_default().insert(hand.participant);
    }
    for hands in rooms.into_values() {
        turn.emit(Event::HandsLowered { hands, by: caller.participant });
    }
    Ok(Reply::Done)
}

pub fn react(turn: &mut Turn<'_>, caller: &Caller, emoji: String) -> Result<Reply, Rejection> {
    let participant = person(caller)?;
    let emoji = super::checked(&emoji, "emoji", turn.limits.emoji_chars_max)?;
    let room = turn.member(participant)?.participant.room;
    turn.tell(Effect::Signal { room, signal: Signal::ReactionShown { participant, emoji } });
    Ok(Reply::Done)
}

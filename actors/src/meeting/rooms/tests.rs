use super::*;
use convoke_domain::command::{Create, Input, Join};
use convoke_domain::effect::Output;
use convoke_domain::shapes::{Role, Settings};
use convoke_domain::turn::Now;
use convoke_domain::{By, Command, Limits, MeetingId, SessionId, TenantId, UserId, execute, turn};
use uuid::Uuid;

struct Party {
    key: MeetingKey,
    state: Meeting,
    rooms: Rooms,
}

impl Party {
    fn new() -> Self {
        let key = MeetingKey { tenant: TenantId("t".into()), meeting: MeetingId(Uuid::from_u128(1)) };
        let create = Create {
            tenant: key.tenant.clone(),
            id: key.meeting,
            title: "A meeting".into(),
            scheduled_at: None,
            recurrence: None,
            settings: Settings::default(),
            breakout: None,
        };
        let (state, _) = turn::begin(create, Now { at: 1, entropy: 1 }, &Limits::default()).unwrap();
        Self { key, state, rooms: Rooms::new(false) }
    }

    fn join(&mut self, number: u128) {
        let (session, user) = (SessionId(Uuid::from_u128(number)), Some(UserId(number.to_string())));
        let join = Join { session, user, name: "somebody".into(), role: Role::Participant };
        self.take(Input::Join(join));
    }

    fn take(&mut self, input: Input) {
        let at = self.state.at + 1;
        let outcome = execute(&mut self.state, input, Now { at, entropy: at.into() }, &Limits::default());
        outcome.reply.unwrap();
        for output in outcome.outputs {
            if let Output::Event(recorded) = output {
                self.rooms.note(&recorded, &self.state);
            }
        }
    }

    fn stage(&mut self) -> Vec<(RoomId, ToRoom)> {
        self.rooms.stage(&self.state, &self.key)
    }

    fn people(words: &[(RoomId, ToRoom)]) -> Vec<usize> {
        let of = |(_, word): &(RoomId, ToRoom)| match word {
            ToRoom::Wanted(wanted) => Some(wanted.people.len()),
            _ => None,
        };
        words.iter().filter_map(of).collect()
    }
}

#[test]
fn a_crowd_that_joins_is_told_of_together_and_all_of_it() {
    let mut party = Party::new();
    party.join(1);
    assert_eq!(Party::people(&party.stage()), [1], "a new room is told of at once");
    for number in 2..=50 {
        party.join(number);
        assert!(party.stage().is_empty(), "the first word has not left yet");
    }
    party.rooms.waiting = 0;
    assert_eq!(Party::people(&party.stage()), [50]);
    party.rooms.waiting = 0;
    assert!(party.stage().is_empty(), "nothing has changed");
}

#[test]
fn a_room_that_asks_is_told_all_and_who_is_on_the_way() {
    let mut party = Party::new();
    party.join(1);
    party.stage();
    let id = *party.state.inside.first().unwrap();
    let coming = Coming { room: RoomId::Main, seq: Seq(7), is_expected: true, is_placed: true };
    party.rooms.coming.insert(id, coming);
    assert!(party.stage().is_empty());
    assert!(party.rooms.hear(RoomId::Main, Word::Asks).is_none());
    let words = party.stage();
    let said = |wanted: fn(&ToRoom) -> bool| words.iter().any(|(_, word)| wanted(word));
    assert_eq!(words.len(), 3);
    assert!(said(|word| matches!(word, ToRoom::Wanted(wanted) if wanted.people.len() == 1)));
    assert!(said(|word| matches!(word, ToRoom::Migrate(migrate) if migrate.people.values().eq([&Seq(7)]))));
    assert!(said(|word| matches!(word, ToRoom::Arrived(people) if people.len() == 1)));
    assert!(party.rooms.hear(RoomId::Main, Word::Arrived([id].into())).is_none());
    assert!(party.rooms.coming.is_empty());
}

#[test]
fn whoever_leaves_is_not_on_the_way_any_more() {
    let mut party = Party::new();
    party.join(1);
    party.join(2);
    party.stage();
    let id = *party.state.inside.first().unwrap();
    let session = *party.state.member(id).unwrap().sessions.first().unwrap();
    let coming = Coming { room: RoomId::Main, seq: Seq(7), is_expected: false, is_placed: false };
    party.rooms.coming.insert(id, coming);
    let leave = Command::Leave { all: false, transfer_to: None };
    party.take(Input::Command { by: By::Session { session, id: 1 }, command: leave });
    assert!(party.rooms.coming.is_empty());
    party.rooms.waiting = 0;
    assert_eq!(Party::people(&party.stage()), [1]);
}

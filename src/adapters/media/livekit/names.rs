//! What a room is called at the LiveKit server. The name says all that is needed to find the room
//! again from a webhook or a listing: the meeting, whose id no two tenants share, the room, and the
//! generation. Other applications may have rooms there; theirs do not read like this.

use convoke_domain::{MeetingId, RoomId};

pub fn name_of(meeting: MeetingId, room: RoomId, generation: u32) -> String {
    format!("{meeting}_{room}_{generation}")
}

/// The way back. Only what `name_of` would have made is a name of ours.
pub fn room_of(name: &str) -> Option<(MeetingId, RoomId, u32)> {
    let mut parts = name.split('_');
    let (meeting, room) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let generation = parts.next()?.parse().ok()?;
    (name_of(meeting, room, generation) == name).then_some((meeting, room, generation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    proptest! {
        #[test]
        fn a_name_leads_back_to_its_room(meeting: u128, room: Option<u128>, generation: u32) {
            let room = room.map_or(RoomId::Main, |id| RoomId::Breakout(Uuid::from_u128(id)));
            let meeting = MeetingId(Uuid::from_u128(meeting));
            let name = name_of(meeting, room, generation);
            prop_assert!(name.len() <= 256, "longer names are refused there");
            prop_assert_eq!(room_of(&name), Some((meeting, room, generation)));
        }

        #[test]
        fn no_two_names_lead_to_one_room(name in "[0-9a-f]{8}-[0-9a-fA]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}_(main|Main|[0-9a-f]{32})_[+0-9]{1,3}") {
            if let Some((meeting, room, generation)) = room_of(&name) {
                prop_assert_eq!(name_of(meeting, room, generation), name);
            }
        }
    }

    #[test]
    fn rooms_of_others_are_not_ours() {
        let ours = name_of(MeetingId(Uuid::from_u128(10)), RoomId::Breakout(Uuid::from_u128(11)), 7);
        let strange =
            ["", "lobby", "a_b_c", &ours.to_uppercase(), &format!("{ours}_1"), &ours.replace("_7", "_+7"), &ours[..73]];
        for name in strange {
            assert_eq!(room_of(name), None, "{name}");
        }
        assert!(room_of(&ours).is_some());
    }
}

//! What questions and polls leave in the read models: how they stand, whose they are, who reads them.

use super::key;
use super::read_models::{Story, dump, each, follow, projections};
use super::rebuilding::on_database;
use convoke::projections::{Projections, Reader, Which};
use convoke_actors::ports::MeetingKey;
use convoke_domain::poll::Poll;
use convoke_domain::question::{Question, QuestionState};
use convoke_domain::shapes::Role;
use convoke_domain::{Input, ParticipantId, PollId, RoomId, Seq, SessionId, UserId};
use serde_json::{Value, json};

const ALL: Which = Which { room: None, state: None, after: 0, limit: 100 };

async fn questions(asked: &Projections, key: &MeetingKey, which: &Which, reader: Reader) -> Vec<Question> {
    asked.questions(key, which, reader).await.unwrap().items.into_iter().map(|(_, question)| question).collect()
}

async fn polls(asked: &Projections, key: &MeetingKey, which: &Which, reader: Reader) -> Vec<Poll> {
    asked.polls(key, which, reader).await.unwrap().items.into_iter().map(|(_, poll)| poll).collect()
}

fn ask(story: &mut Story, who: SessionId, text: &str, anonymous: bool) -> Value {
    story.say(who, "question.ask", json!({ "text": text, "anonymous": anonymous }));
    json!(story.state.questions.keys().last().unwrap())
}

fn open(story: &mut Story, who: SessionId, question: &str, results: &str, anonymous: bool) -> PollId {
    let options = ["Yes", "No", "Perhaps"];
    let poll = json!({ "question": question, "options": options, "results": results, "anonymous": anonymous });
    story.say(who, "poll.open", poll);
    *story.state.polls.keys().last().unwrap()
}

fn vote(story: &mut Story, who: SessionId, poll: PollId, choice: u32) {
    story.say(who, "poll.vote", json!({ "poll": poll, "choices": [choice] }));
}

/// What is due by then is told.
fn settle(story: &mut Story) {
    story.pass(5_000);
    story.play(Input::Tick);
}

type Told<'a> = (&'a str, &'a str, Option<Vec<u32>>, Option<u32>);

fn told(polls: &[Poll]) -> Vec<Told<'_>> {
    polls.iter().map(|poll| (poll.question.as_str(), poll.state.as_str(), poll.counts.clone(), poll.voters)).collect()
}

#[tokio::test]
async fn polls_are_told_with_their_counts_as_far_as_the_rules_show_them() {
    each(async |name, opened| {
        let key = key();
        let mut story = Story::begin(&key);
        let (ada, ada_id) = story.join("ada", Role::Host);
        let (bob, bob_id) = story.join("bob", Role::Participant);
        let (eve, _) = story.join("eve", Role::Participant);
        let asked = projections(&opened);
        for (number, results) in ["live", "closed", "hosts"].iter().enumerate() {
            let poll = open(&mut story, ada, results, results, number == 1);
            vote(&mut story, bob, poll, 0);
            vote(&mut story, eve, poll, 0);
            vote(&mut story, eve, poll, 2);
        }
        let fresh = open(&mut story, ada, "fresh", "hosts", true);
        settle(&mut story);
        let open_rows = story.rows.len();
        let counts = || Some(vec![1, 0, 1]);
        follow(&opened, &key, &story.rows, 2, std::slice::from_ref(&asked)).await;
        for reader in [Reader::Tenant, Reader::Lead(ada_id)] {
            let expected = [
                ("live", "open", counts(), Some(2)),
                ("closed", "open", None, Some(2)),
                ("hosts", "open", counts(), Some(2)),
                ("fresh", "open", Some(vec![0, 0, 0]), Some(0)),
            ];
            assert_eq!(told(&polls(&asked, &key, &ALL, reader).await), expected, "{name}");
        }
        let as_bob = polls(&asked, &key, &ALL, Reader::Participant(bob_id)).await;
        let expected = [
            ("live", "open", counts(), Some(2)),
            ("closed", "open", None, Some(2)),
            ("hosts", "open", None, None),
            ("fresh", "open", None, None),
        ];
        assert_eq!(told(&as_bob), expected, "{name}");

        for poll in story.state.polls.keys().copied().collect::<Vec<_>>() {
            if poll != fresh {
                story.say(ada, "poll.close", json!({ "poll": poll }));
            }
        }
        append(&opened, &key, &story, open_rows).await;
        asked.catch_up(&key).await.unwrap();
        let as_bob = polls(&asked, &key, &ALL, Reader::Participant(bob_id)).await;
        let expected = [
            ("live", "closed", counts(), Some(2)),
            ("closed", "closed", counts(), Some(2)),
            ("hosts", "closed", None, None),
            ("fresh", "open", None, None),
        ];
        assert_eq!(told(&as_bob), expected, "{name}");
        let closed = Which { state: Some("closed".into()), ..ALL };
        let as_ada = polls(&asked, &key, &closed, Reader::Lead(ada_id)).await;
        let expected = ["live", "closed", "hosts"].map(|results| (results, "closed", counts(), Some(2)));
        assert_eq!(told(&as_ada), expected, "{name}");
        assert_eq!(asked.poll(&key, as_ada[2].id).await.unwrap().as_ref(), Some(&as_ada[2]), "{name}");
        let other = MeetingKey { tenant: super::TenantId("other".into()), ..key.clone() };
        assert!(polls(&asked, &other, &ALL, Reader::Tenant).await.is_empty(), "{name}");
        assert!(asked.poll(&other, fresh).await.unwrap().is_none(), "{name}");

        let first = asked.polls(&key, &Which { limit: 3, ..ALL }, Reader::Tenant).await.unwrap();
        let next = Which { after: first.next.unwrap().parse().unwrap(), ..ALL };
        assert_eq!(polls(&asked, &key, &next, Reader::Tenant).await[0].id, fresh, "{name}");
        let lived = dump(&opened.db).await;
        asked.rebuild().await.unwrap();
        assert_eq!(dump(&opened.db).await, lived, "{name}");
    })
    .await;
}

/// Writes the rest of a story's log.
async fn append(opened: &convoke::adapters::store::Opened, key: &MeetingKey, story: &Story, from: usize) {
    let life = opened.store.boot("a", super::LEASE).await.unwrap();
    let term = opened.store.take(key, &life).await.unwrap().term;
    let (after, events) = (story.rows[from - 1].seq, story.rows[from..].to_vec());
    let commit =
        super::Commit { key: key.clone(), term, after, events, wake_at: None, outbox: Vec::new(), boards: Vec::new() };
    opened.store.commit(&[commit], &[]).await.unwrap();
}

#[tokio::test]
async fn a_row_that_cannot_be_read_ends_no_list() {
    each(async |name, opened| {
        let key = key();
        let mut story = Story::begin(&key);
        let (ada, _) = story.join("ada", Role::Host);
        for text in ["first", "second", "third"] {
            open(&mut story, ada, text, "live", false);
            ask(&mut story, ada, text, false);
        }
        let asked = projections(&opened);
        follow(&opened, &key, &story.rows, 100, std::slice::from_ref(&asked)).await;
        on_database(&opened.db, "UPDATE polls_view SET data = '{}' WHERE data LIKE '%\"second\"%'").await;
        on_database(&opened.db, "UPDATE questions_view SET data = '{}' WHERE words = 'second'").await;
        let mut which = Which { limit: 1, ..ALL };
        let (mut found, mut pages) = (Vec::new(), 0);
        loop {
            let page = asked.polls(&key, &which, Reader::Tenant).await.unwrap();
            found.extend(page.items.into_iter().map(|(_, poll)| poll.question));
            pages += 1;
            let Some(next) = page.next else { break };
            which.after = next.parse().unwrap();
        }
        assert_eq!((found, pages), (vec!["first".to_owned(), "third".to_owned()], 3), "{name}");
        let mut which = Which { limit: 2, ..ALL };
        let page = asked.questions(&key, &which, Reader::Tenant).await.unwrap();
        assert_eq!(page.items.len(), 1, "{name}");
        which.after = page.next.unwrap().parse().unwrap();
        assert_eq!(questions(&asked, &key, &which, Reader::Tenant).await[0].text, "third", "{name}");
    })
    .await;
}

#[tokio::test]
async fn votes_by_name_are_listed_and_anonymous_ones_are_nowhere() {
    each(async |name, opened| {
        let key = key();
        let mut story = Story::begin(&key);
        let (ada, _) = story.join("ada", Role::Host);
        let (bob, bob_id) = story.join("bob", Role::Participant);
        let (eve, eve_id) = story.join("eve", Role::Participant);
        let named = open(&mut story, ada, "By name?", "closed", false);
        let secret = open(&mut story, ada, "In secret?", "live", true);
        ask(&mut story, bob, "Why?", true);
        for poll in [named, secret] {
            vote(&mut story, bob, poll, 0);
            vote(&mut story, eve, poll, 1);
            vote(&mut story, bob, poll, 2);
        }
        let asked = projections(&opened);
        let check = async |user: Option<&str>, bobs_name: &str| {
            let votes = asked.votes(&key, named, None, 10).await.unwrap().items;
            let told: Vec<_> = votes.iter().map(|vote| (vote.participant, vote.choices.clone())).collect();
            assert_eq!(told, [(bob_id, vec![2]), (eve_id, vec![1])], "{name}");
            assert_eq!((votes[0].user.as_deref(), votes[0].name.as_str()), (user, bobs_name), "{name}");
            assert!(asked.votes(&key, secret, None, 10).await.unwrap().items.is_empty(), "{name}");
            let dump = dump(&opened.db).await;
            let kept: Vec<_> = dump.iter().filter(|row| row.starts_with("poll_votes_view")).collect();
            assert_eq!(kept.len(), 2, "{kept:?} in {name}");
        };
        follow(&opened, &key, &story.rows, 1, std::slice::from_ref(&asked)).await;
        check(Some("bob"), "bob").await;
        let page = asked.votes(&key, named, None, 1).await.unwrap();
        let rest = asked.votes(&key, named, page.next.unwrap().parse().ok(), 1).await.unwrap();
        assert_eq!((rest.items[0].participant, rest.next), (eve_id, None), "{name}");
        let own = asked.votes_by(&key, bob_id).await.unwrap();
        assert_eq!(own.len(), 1, "{name}");
        assert_eq!((own[0].poll, own[0].question.as_str()), (named, "By name?"), "{name}");
        assert_eq!((&own[0].choices, &own[0].chosen), (&vec![2], &vec!["Perhaps".to_owned()]), "{name}");

        let before = story.rows.len();
        story.say(ada, "participant.rename", json!({ "participant": bob_id, "name": "Robert" }));
        story.say(ada, "meeting.end", json!({}));
        append(&opened, &key, &story, before).await;
        asked.catch_up(&key).await.unwrap();
        check(Some("bob"), "Robert").await;
        let before = story.rows.len();
        story.play(Input::Erase(UserId("bob".into())));
        append(&opened, &key, &story, before).await;
        asked.catch_up(&key).await.unwrap();
        check(None, "Erased").await;
        let lived = dump(&opened.db).await;
        // What the log does not tell is gone when it is read again.
        for change in [
            "UPDATE poll_votes_view SET voter = meeting WHERE choices = '[1]'",
            "UPDATE polls_view SET id = meeting WHERE anonymous = 0",
            "UPDATE questions_view SET id = meeting",
        ] {
            on_database(&opened.db, change).await;
        }
        asked.rebuild().await.unwrap();
        assert_eq!(dump(&opened.db).await, lived, "{name}");
    })
    .await;
}

#[tokio::test]
async fn questions_are_told_as_they_stand_and_lose_the_words_of_the_erased() {
    each(async |name, opened| {
        let key = key();
        let mut story = Story::begin(&key);
        let (ada, _) = story.join("ada", Role::Host);
        let (bob, bob_id) = story.join("bob", Role::Participant);
        let (eve, _) = story.join("eve", Role::Participant);
        let (mallory, mallory_id) = story.join("mallory", Role::Cohost);
        let ids = [
            ask(&mut story, bob, "first words of bob", false),
            ask(&mut story, bob, "second words of nobody", true),
            ask(&mut story, mallory, "third words of mallory", false),
            ask(&mut story, eve, "fourth words of eve", false),
        ];
        for (id, up) in [(0, true), (1, true), (1, false)] {
            story.say(eve, "question.vote", json!({ "question": ids[id], "up": up }));
        }
        settle(&mut story);
        story.say(mallory, "question.answer", json!({ "question": ids[0], "text": "an answer of mallory" }));
        story.say(ada, "question.answer", json!({ "question": ids[2], "live": true }));
        story.say(ada, "question.dismiss", json!({ "question": ids[3] }));
        let asked = projections(&opened);
        follow(&opened, &key, &story.rows, 2, std::slice::from_ref(&asked)).await;
        let all = questions(&asked, &key, &ALL, Reader::Participant(bob_id)).await;
        let expected: Vec<Question> = {
            let by_seq = ids.iter().map(|id| serde_json::from_value(id.clone()).unwrap());
            by_seq.map(|id| story.state.questions[&id].counted()).collect()
        };
        assert_eq!(all, expected, "{name}");
        assert_eq!((all[0].votes, all[0].answer.as_deref()), (1, Some("an answer of mallory")), "{name}");
        assert_eq!((all[1].by, all[1].anonymous, all[2].live), (None, true, true), "{name}");
        for (state, count) in [("open", 1), ("answered", 2), ("dismissed", 1)] {
            let which = Which { state: Some(state.into()), ..ALL };
            assert_eq!(questions(&asked, &key, &which, Reader::Tenant).await.len(), count, "{state} in {name}");
        }
        let own = asked.questions_by(&key, bob_id).await.unwrap();
        assert_eq!(own.iter().map(|own| own.text.as_str()).collect::<Vec<_>>(), ["first words of bob"], "{name}");
        let page = asked.questions(&key, &Which { limit: 3, ..ALL }, Reader::Tenant).await.unwrap();
        let next = Which { after: page.next.unwrap().parse().unwrap(), ..ALL };
        assert_eq!(questions(&asked, &key, &next, Reader::Tenant).await, expected[3..], "{name}");

        let before = story.rows.len();
        story.play(Input::Erase(UserId("mallory".into())));
        append(&opened, &key, &story, before).await;
        asked.catch_up(&key).await.unwrap();
        let all = questions(&asked, &key, &ALL, Reader::Tenant).await;
        assert_eq!((all[0].text.as_str(), all[0].answer.as_ref()), ("first words of bob", None), "{name}");
        assert_eq!((all[2].text.as_str(), all[2].by), ("", Some(mallory_id)), "{name}");
        assert_eq!(all[2].state, QuestionState::Answered, "{name}");
        let log = opened.store.events(&key, Seq(0), 1_000).await.unwrap();
        for row in super::whole::everything(&opened.db).await {
            assert!(!row.contains("of mallory"), "{name}: {row}");
        }
        assert_eq!(log.len(), story.rows.len(), "{name}");
        let lived = dump(&opened.db).await;
        asked.rebuild().await.unwrap();
        assert_eq!(dump(&opened.db).await, lived, "{name}");
    })
    .await;
}

#[tokio::test]
async fn what_belonged_to_merged_rooms_is_read_in_the_other_and_by_those_who_were_there() {
    each(async |name, opened| {
        let key = key();
        let mut story = Story::begin(&key);
        let (ada, ada_id) = story.join("ada", Role::Host);
        let people: Vec<_> = ["bob", "eve", "gil"].iter().map(|user| story.join(user, Role::Participant)).collect();
        let [(bob, bob_id), (eve, eve_id), (_, gil_id)] = people[..] else { panic!() };
        let set = json!({ "rooms": [{ "name": "One", "participants": [bob_id, ada_id] }, { "name": "Two", "participants": [eve_id] }] });
        story.say(ada, "breakout.open", set);
        let rooms: Vec<RoomId> = story.state.set_rooms().map(|room| room.id).collect();
        ask(&mut story, bob, "in one", false);
        let poll = open(&mut story, ada, "in one", "live", false);
        vote(&mut story, bob, poll, 1);
        ask(&mut story, eve, "in two", false);
        let asked = projections(&opened);
        let before = story.rows.len();
        follow(&opened, &key, &story.rows, 3, std::slice::from_ref(&asked)).await;
        let texts = async |who: Reader, room: Option<RoomId>| -> Vec<String> {
            let which = Which { room: room.map(|room| room.to_string()), ..ALL };
            let asked_there = questions(&asked, &key, &which, who).await.into_iter().map(|question| question.text);
            let polled = polls(&asked, &key, &which, who).await.into_iter().map(|poll| format!("{}?", poll.question));
            asked_there.chain(polled).collect()
        };
        let of = Reader::Participant;
        let read = async |who: ParticipantId| texts(of(who), None).await;
        assert_eq!(read(bob_id).await, ["in one", "in one?"], "{name}");
        assert_eq!(read(eve_id).await, ["in two"], "{name}");
        assert!(read(gil_id).await.is_empty(), "{name}");
        assert_eq!(texts(Reader::Lead(gil_id), None).await, ["in one", "in two", "in one?"], "{name}");

        // Bob goes away before the merge, and has still been in the first room.
        story.say(bob, "leave", json!({}));
        story.say(ada, "breakout.merge", json!({ "from": [rooms[0]], "into": rooms[1] }));
        append(&opened, &key, &story, before).await;
        asked.catch_up(&key).await.unwrap();
        assert_eq!(read(bob_id).await, ["in one", "in one?"], "{name}");
        assert_eq!(read(eve_id).await, ["in one", "in two", "in one?"], "{name}");
        assert!(read(gil_id).await.is_empty(), "{name}");
        assert!(texts(Reader::Tenant, Some(rooms[0])).await.is_empty(), "{name}");
        assert_eq!(texts(Reader::Tenant, Some(rooms[1])).await.len(), 3, "{name}");
        let merged = &polls(&asked, &key, &ALL, Reader::Tenant).await[0];
        assert_eq!((merged.room, merged.state.as_str()), (rooms[1], "closed"), "{name}");
        assert_eq!(merged.counts, Some(vec![0, 1, 0]), "{name}");
        let there = questions(&asked, &key, &ALL, Reader::Tenant).await;
        assert!(there.iter().all(|question| question.room == rooms[1]), "{name}");
        let lived = dump(&opened.db).await;
        asked.rebuild().await.unwrap();
        assert_eq!(dump(&opened.db).await, lived, "{name}");
    })
    .await;
}

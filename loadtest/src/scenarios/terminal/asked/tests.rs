use super::*;

fn question(id: &str, votes: u32, state: &str) -> Value {
    json!({ "id": id, "text": format!("{id}?"), "by": "1", "votes": votes, "state": state })
}

fn poll(id: &str, state: &str, counts: Value) -> Value {
    json!({ "id": id, "question": "Where?", "options": ["Sea", "Home"], "state": state, "counts": counts, "voters": 2 })
}

fn names() -> Names {
    [("1".to_owned(), "Ann".to_owned())].into()
}

fn does(asked: &Asked, line: &str) -> (&'static str, Value) {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match asked.command(word, rest) {
        Some(Wish::Do(kind, data)) => (kind, data),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn questions_keep_their_numbers_and_are_listed_by_votes() {
    let mut asked = Asked::default();
    let view = json!({ "questions": [question("b", 3, "open"), question("a", 0, "answered")], "polls": [] });
    assert_eq!(asked.enter(&view), ["* 1 open questions; /questions"]);
    let told = |asked: &mut Asked, kind: &str, question: Value| {
        asked.event(kind, &json!({ "question": question }), &names()).unwrap()
    };
    assert_eq!(told(&mut asked, "question.asked", question("c", 0, "open")), "* question 3, by Ann: c?");
    assert_eq!(told(&mut asked, "question.voted", question("c", 5, "open")), "* question 3 (5 for it): c?");
    let listed = Wish::Say("* 3: c? (5 for it)\n* 2: b? (3 for it)".to_owned());
    assert_eq!(asked.command("/questions", ""), Some(listed));
    assert_eq!(does(&asked, "/up 2"), ("question.vote", json!({ "question": "b", "up": true })));
    let answer = does(&asked, "/answer 3 On Monday, then.");
    assert_eq!(answer, ("question.answer", json!({ "question": "c", "text": "On Monday, then." })));
    assert_eq!(does(&asked, "/answer 3"), ("question.answer", json!({ "question": "c", "live": true })));
    assert!(matches!(asked.command("/up", "4"), Some(Wish::Say(_))));
    assert!(matches!(asked.command("/up", "0"), Some(Wish::Say(_))));
    let anonymous = json!({ "text": "who?", "anonymous": true });
    assert_eq!(does(&asked, "/anonymous who?"), ("question.ask", anonymous));
}

#[test]
fn a_vote_is_for_the_latest_open_poll_with_options_from_one() {
    let mut asked = Asked::default();
    let opening = json!({ "question": "Where?", "options": ["Sea", "Home"], "results": "live" });
    assert_eq!(does(&asked, "/poll Where? | Sea | Home"), ("poll.open", opening));
    assert_eq!(asked.command("/results", ""), Some(Wish::Say("* no poll is open".to_owned())));
    let told =
        |asked: &mut Asked, kind: &str, poll: Value| asked.event(kind, &json!({ "poll": poll }), &names()).unwrap();
    told(&mut asked, "poll.opened", poll("a", "open", Value::Null));
    told(&mut asked, "poll.opened", poll("b", "open", Value::Null));
    assert_eq!(does(&asked, "/vote 2,1"), ("poll.vote", json!({ "poll": "b", "choices": [1, 0] })));
    let over = told(&mut asked, "poll.closed", poll("b", "closed", json!([2, 0])));
    assert_eq!(over, "* the poll is over: Where? 1 Sea: 2, 2 Home: 0 (2 voted)");
    assert_eq!(does(&asked, "/results"), ("poll.close", json!({ "poll": "a" })));
    for wrong in ["0", "x", "1,", ""] {
        assert!(matches!(asked.command("/vote", wrong), Some(Wish::Say(_))), "{wrong}");
    }
}

#[test]
fn the_timer_has_seconds_and_maybe_a_title() {
    let asked = Asked::default();
    let (kind, data) = does(&asked, "/timer 300 A short break");
    assert_eq!((kind, data), ("timer.start", json!({ "duration_s": 300, "title": "A short break" })));
    assert!(matches!(asked.command("/timer", "soon"), Some(Wish::Say(_))));
    let timer = json!({ "timer": { "started_at": 1_000, "ends_at": 61_000, "title": "Break" } });
    let line = Asked::default().event("timer.started", &timer, &names());
    assert_eq!(line.unwrap(), "* the timer runs for Break: 60 s");
}

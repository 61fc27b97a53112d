//! A command's span goes from the socket to the answer, with the decision and the commit within it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use convoke_domain::shapes::Role;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Each span by id: its name, the name of what it stands in, and whether it has ended.
type Seen = Arc<Mutex<BTreeMap<u64, (&'static str, Option<&'static str>, bool)>>>;

struct Watch(Seen);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Watch {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let parent = span.parent().map(|parent| parent.name());
        self.0.lock().unwrap().insert(id.into_u64(), (span.name(), parent, false));
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        if let Some(span) = self.0.lock().unwrap().get_mut(&id.into_u64()) {
            span.2 = true;
        }
    }
}

#[test]
fn a_commands_span_ends_with_its_answer_and_holds_what_was_done_for_it() {
    let seen = Seen::default();
    let subscriber = tracing_subscriber::registry().with(Watch(Arc::clone(&seen)));
    let _guard = tracing::subscriber::set_default(subscriber);
    common::run(|world| async move {
        let mut socket = world.join("ann", Role::Participant).await;
        seen.lock().unwrap().clear();
        let id = socket.post("hello").await;
        socket.answer(id).await;
        let spans: Vec<_> = seen.lock().unwrap().values().copied().collect();
        assert!(spans.contains(&("command", None, true)), "{spans:?}");
        assert!(spans.contains(&("decide", Some("command"), true)), "{spans:?}");
        assert!(spans.contains(&("commit", Some("command"), true)), "{spans:?}");
    });
}

//! People who talk all the while, whatever befalls the cluster: each says something new every so
//! often and does not wait for what it said before, as people do not. What they were answered is in
//! their clients' records, and the verifier holds that against the log.

use convoke_loadtest::client::{Client, Record};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Between two words of one person. It paces the load, and nothing waits for it.
const PAUSE: Duration = Duration::from_millis(100);

struct Person {
    client: Arc<Client>,
    said: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

pub struct Talk {
    people: Vec<Person>,
    is_over: Arc<AtomicBool>,
}

/// The number of one of the words that are said here; other posts have none.
fn number_of(data: &Value) -> Option<usize> {
    data["text"].as_str()?.split_once(" says ")?.1.parse().ok()
}

fn taken(record: &Record) -> impl Iterator<Item = usize> {
    record.acknowledged.iter().filter_map(|command| number_of(&command.data))
}

fn refused(record: &Record) -> impl Iterator<Item = usize> {
    record.declined.iter().filter_map(|(_, data)| number_of(data))
}

impl Talk {
    pub fn begin(people: &[&Arc<Client>]) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let id = uuid::Uuid::now_v7();
        let talk = |(name, client): (usize, &&Arc<Client>)| {
            let said = Arc::new(AtomicUsize::new(0));
            let task = tokio::spawn({
                let (client, said, is_over) = (Arc::clone(client), Arc::clone(&said), Arc::clone(&is_over));
                async move {
                    while !is_over.load(Ordering::Relaxed) {
                        let number = said.fetch_add(1, Ordering::Relaxed);
                        let text = format!("{name} of {id} says {number}");
                        client.send("chat.post", json!({ "to": "room", "text": text }));
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            });
            Person { client: Arc::clone(client), said, task }
        };
        let people = people.iter().enumerate().map(talk).collect();
        Self { people, is_over }
    }

    /// Waits until of everybody something has been taken that was said after this was asked, and
    /// everybody has heard it of everybody.
    pub async fn goes_on(&self) {
        let said: Vec<usize> = self.people.iter().map(|person| person.said.load(Ordering::Relaxed)).collect();
        let mut latest = 0;
        for (person, said) in self.people.iter().zip(said) {
            let is_new = |data: &Value| number_of(data).is_some_and(|number| number >= said);
            let new = |record: &Record| record.acknowledged.iter().find(|one| is_new(&one.data))?.seq;
            latest = latest.max(person.client.until("a new word that is taken", new).await.unwrap());
        }
        for person in &self.people {
            person.client.until("the others", |record| (record.cursor >= latest).then_some(())).await.unwrap();
        }
    }

    /// Everybody falls silent, and is answered what is still owed. How much was taken, and refused.
    pub async fn ends(self) -> (usize, usize) {
        self.is_over.store(true, Ordering::Relaxed);
        let mut told = (0, 0);
        for Person { client, said, task } in self.people {
            task.await.unwrap();
            let said = said.load(Ordering::Relaxed);
            let all = |record: &Record| {
                let both = (taken(record).count(), refused(record).count());
                (both.0 + both.1 >= said).then_some(both)
            };
            let both = client.until("the last answer", all).await.unwrap();
            told = (told.0 + both.0, told.1 + both.1);
        }
        told
    }
}

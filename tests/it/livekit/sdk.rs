//! A person's media client: a process with LiveKit's SDK (`tests/sdk/client.py`), told what to do and
//! asked what it saw. Everything it said is kept, so that a test may wait for what has been already.

use super::skipped;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use tokio::sync::mpsc;

/// No test waits for less than this; a machine may be busy with others.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Sdk {
    child: Child,
    input: ChildStdin,
    lines: mpsc::UnboundedReceiver<Value>,
    /// What was said and not waited for yet.
    said: Vec<Value>,
}

impl Sdk {
    /// None, said aloud: there is no SDK.
    pub fn start() -> Option<Self> {
        let Ok(python) = std::env::var("CONVOKE_TEST_LIVEKIT_PYTHON") else {
            skipped("there is no SDK of LiveKit: CONVOKE_TEST_LIVEKIT_PYTHON is not set");
            return None;
        };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/client.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Its WebRTC says much that nobody asked for.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(line) = serde_json::from_str(&line) else { continue };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Some(Self { child, input, lines, said: Vec::new() })
    }

    pub fn tell(&mut self, command: &Value) {
        writeln!(self.input, "{command}").unwrap();
    }

    /// Connects with credentials as clients are given them; what it was in before it leaves. Who was there.
    pub async fn connect(&mut self, media: &Value) -> Vec<String> {
        self.tell(&json!({ "do": "connect", "url": media["url"], "token": media["token"] }));
        let connected = self.until("connected", |_| true).await;
        assert_eq!(connected["room"], media["room"]);
        assert_eq!(connected["identity"], media["identity"]);
        let there = connected["there"].as_array().unwrap();
        there.iter().map(|who| who.as_str().unwrap().to_owned()).collect()
    }

    /// Publishes, and says what the server calls the track.
    pub async fn publish(&mut self, source: &str) -> String {
        self.tell(&json!({ "do": "publish", "source": source }));
        let published = self.until("publishes", |event| event["source"] == source).await;
        published["track"].as_str().unwrap().to_owned()
    }

    /// Tries to publish what it may not.
    pub async fn publish_in_vain(&mut self, source: &str) {
        self.tell(&json!({ "do": "publish", "source": source }));
        let told = self.until_any(&["publishes", "publish_refused"]).await;
        assert_eq!((&told["event"], &told["source"]), (&json!("publish_refused"), &json!(source)));
    }

    /// Waits until it says this, takes it away, and gives it.
    pub async fn until(&mut self, event: &str, is_meant: impl Fn(&Value) -> bool) -> Value {
        let is_it = |line: &Value| line["event"] == event && is_meant(line);
        if let Some(at) = self.said.iter().position(is_it) {
            return self.said.remove(at);
        }
        loop {
            let line = tokio::time::timeout(PATIENCE, self.lines.recv()).await;
            let Ok(Some(line)) = line else { panic!("it did not say `{event}`, but {:?}", self.said) };
            if is_it(&line) {
                return line;
            }
            assert!(line["event"] != "error", "waiting for `{event}`: {line}");
            self.said.push(line);
        }
    }

    /// Waits for whichever of these comes first.
    pub async fn until_any(&mut self, events: &[&str]) -> Value {
        loop {
            let is_it = |line: &Value| events.iter().any(|event| line["event"] == *event);
            if let Some(at) = self.said.iter().position(is_it) {
                return self.said.remove(at);
            }
            let line = tokio::time::timeout(PATIENCE, self.lines.recv()).await;
            let Ok(Some(line)) = line else { panic!("it said none of {events:?}, but {:?}", self.said) };
            self.said.push(line);
        }
    }

    /// Of somebody and a source.
    pub async fn until_of(&mut self, event: &str, who: &str, source: &str) -> Value {
        self.until(event, |line| line["who"] == who && line["source"] == source).await
    }

    /// Whether it has said this by now, of what was not waited for.
    pub fn has_said(&mut self, event: &str, is_meant: impl Fn(&Value) -> bool) -> bool {
        while let Ok(line) = self.lines.try_recv() {
            self.said.push(line);
        }
        self.said.iter().any(|line| line["event"] == event && is_meant(line))
    }
}

impl Drop for Sdk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

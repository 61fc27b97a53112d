//! A person at a whiteboard: a process with the real Yjs and its real provider (`tests/yjs/client.mjs`), told
//! what to do and asked what it has. Everything it said is kept, so that a test may wait for what has been
//! already.

#![allow(dead_code)] // each test binary uses its part

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use tokio::sync::mpsc;

/// No test waits for less than this; a machine may be busy with others.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Yjs {
    child: Child,
    input: ChildStdin,
    lines: mpsc::UnboundedReceiver<Value>,
    /// What was said and not waited for yet.
    said: Vec<Value>,
    /// Commands that were answered carry numbers.
    asked: u64,
}

impl Yjs {
    /// Connects at once. `url` is of the board, as `whiteboard.open` tells it. None, said aloud: there is no Yjs.
    pub fn start(url: &str, token: &str, name: &str) -> Option<Self> {
        let (server, board) = url.rsplit_once('/').unwrap();
        Self::run("client.mjs", &[server, board, token, name])
    }

    /// The example of the documentation.
    pub fn example(url: &str, board: &str, token: &str) -> Option<Self> {
        Self::run("example.mjs", &[url, board, token])
    }

    fn run(script: &str, arguments: &[&str]) -> Option<Self> {
        let Ok(folder) = std::env::var("CONVOKE_TEST_YJS") else {
            println!(
                "SKIPPED: there is no Yjs: CONVOKE_TEST_YJS is not set; `cargo xtask test` brings it where it can"
            );
            return None;
        };
        let mut child = Command::new("node")
            .arg(format!("{}/tests/yjs/{script}", env!("CARGO_MANIFEST_DIR")))
            .args(arguments)
            .env("CONVOKE_TEST_YJS", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
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
        Some(Self { child, input, lines, said: Vec::new(), asked: 0 })
    }

    /// Tells it something, and waits for the answer.
    pub async fn ask(&mut self, mut command: Value) -> Value {
        self.asked += 1;
        command["id"] = json!(self.asked);
        writeln!(self.input, "{command}").unwrap();
        let id = command["id"].clone();
        self.next(|line| line["id"] == id, &command.to_string()).await
    }

    pub async fn synced(&mut self) {
        self.until("synced", |line| line["is"] == true).await;
    }

    pub async fn set(&mut self, element: Value) {
        self.ask(json!({ "do": "set", "element": element })).await;
    }

    pub async fn delete(&mut self, element: &str) {
        self.ask(json!({ "do": "delete", "element": element })).await;
    }

    /// Waits until an element is there with these values, and gives it.
    pub async fn sees(&mut self, element: &str, values: Value) -> Value {
        self.ask(json!({ "do": "wait", "element": element, "where": values })).await["element"].clone()
    }

    pub async fn misses(&mut self, element: &str) {
        self.ask(json!({ "do": "wait_gone", "element": element })).await;
    }

    pub async fn disconnect(&mut self) {
        self.ask(json!({ "do": "disconnect" })).await;
        self.until("status", |line| line["status"] == "disconnected").await;
    }

    /// Connects again, and waits until it is up to date.
    pub async fn connect(&mut self) {
        // What was said of an earlier connection is no sign of this one.
        self.drain();
        self.said.retain(|line| line["event"] != "synced");
        self.ask(json!({ "do": "connect" })).await;
        self.synced().await;
    }

    /// The next connection is made by this way.
    pub async fn goes_by(&mut self, url: &str, token: &str) {
        let (server, _) = url.rsplit_once('/').unwrap();
        self.ask(json!({ "do": "token", "server": server, "token": token })).await;
    }

    /// Takes back the last that was drawn here.
    pub async fn undo(&mut self) {
        self.ask(json!({ "do": "undo" })).await;
    }

    pub async fn redo(&mut self) {
        self.ask(json!({ "do": "redo" })).await;
    }

    /// Says of itself what others see: a name, a cursor.
    pub async fn shows(&mut self, state: Value) {
        self.ask(json!({ "do": "awareness", "state": state })).await;
    }

    /// Waits until others are seen as they are meant, a state each.
    pub async fn others(&mut self, is_meant: impl Fn(&[&Value]) -> bool) {
        let states = |line: &Value| {
            let others = line["others"].as_object().unwrap();
            is_meant(&others.values().collect::<Vec<_>>())
        };
        self.until("awareness", states).await;
    }

    /// What it has: `elements`, `vector`, `deleted`, and whether something is `pending`. Documents that have
    /// converged are equal in all of it.
    pub async fn document(&mut self) -> Value {
        let report = self.ask(json!({ "do": "report" })).await;
        let part = |name: &str| report[name].clone();
        json!({
            "elements": part("elements"),
            "vector": part("vector"),
            "deleted": part("deleted"),
            "pending": part("pending"),
        })
    }

    /// The code that its socket was closed with, each time.
    pub async fn closed(&mut self) -> u64 {
        self.until("closed", |_| true).await["code"].as_u64().unwrap()
    }

    /// Waits until it says this, takes it away, and gives it.
    pub async fn until(&mut self, event: &str, is_meant: impl Fn(&Value) -> bool) -> Value {
        self.next(|line| line["event"] == event && is_meant(line), event).await
    }

    async fn next(&mut self, is_it: impl Fn(&Value) -> bool, what: &str) -> Value {
        if let Some(at) = self.said.iter().position(&is_it) {
            return self.said.remove(at);
        }
        // However much else is said meanwhile.
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let line = tokio::time::timeout_at(until, self.lines.recv()).await;
            let Ok(Some(line)) = line else { panic!("waited in vain for {what}; it said {:?}", self.said) };
            if is_it(&line) {
                return line;
            }
            assert!(line["event"] != "error", "waiting for {what}: {line}");
            self.said.push(line);
        }
    }

    fn drain(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.said.push(line);
        }
    }
}

impl Drop for Yjs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until all of them have the same document, and gives it.
pub async fn converged(people: &mut [&mut Yjs]) -> Value {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        let mut documents = Vec::new();
        for person in people.iter_mut() {
            documents.push(person.document().await);
        }
        if documents.windows(2).all(|two| two[0] == two[1]) {
            return documents.swap_remove(0);
        }
        assert!(tokio::time::Instant::now() < until, "they did not converge: {documents:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

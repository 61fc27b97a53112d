//! A mail server on loopback that keeps what it is given, and fails as it is told to.

#![allow(dead_code)] // each test binary uses its part

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How the server takes one connection.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    Accept,
    /// Answers the recipient with this code.
    Refuse(u16),
    /// Takes the mail and hangs up instead of saying so.
    HangUp,
    /// Never says a word.
    Silent,
}

#[derive(Clone, Debug)]
pub struct Received {
    pub to: String,
    pub data: String,
}

impl Received {
    pub fn header(&self, name: &str) -> String {
        let line = self.data.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_default().to_owned()
    }

    /// What stands behind `code=` in the mail, whose lines are broken for the way.
    pub fn code(&self) -> String {
        let whole = self.data.replace("=\r\n", "").replace("=3D", "=");
        whole.split("code=").nth(1).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
    }
}

#[derive(Clone)]
pub struct Smtp {
    pub url: String,
    manners: Arc<Mutex<VecDeque<Manner>>>,
    received: Arc<watch::Sender<Vec<Received>>>,
}

impl Smtp {
    /// Takes its first connections in these manners, and all others as a mail server should.
    pub async fn start(manners: &[Manner]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let smtp = Self {
            url,
            manners: Arc::new(Mutex::new(manners.iter().copied().collect())),
            received: Arc::new(watch::Sender::new(Vec::new())),
        };
        let server = smtp.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let manner = server.manners.lock().unwrap().pop_front().unwrap_or(Manner::Accept);
                tokio::spawn(server.clone().serve(stream, manner));
            }
        });
        smtp
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }

    /// Waits until it was given this many mails.
    pub async fn has_received(&self, count: usize) -> Vec<Received> {
        self.received.subscribe().wait_for(|all| all.len() >= count).await.unwrap().clone()
    }

    async fn serve(self, stream: TcpStream, manner: Manner) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        if let Manner::Silent = manner {
            let mut line = String::new();
            while stream.read_line(&mut line).await? > 0 {}
            return Ok(());
        }
        stream.write_all(b"220 mail.example ESMTP\r\n").await?;
        let mut to = String::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let word = line.get(..4).unwrap_or_default().to_uppercase();
            let answer = match (word.as_str(), manner) {
                ("RCPT", Manner::Refuse(code)) => format!("{code} <{}> is not wanted\r\n", line.trim()),
                ("RCPT", _) => {
                    to = line.trim().to_owned();
                    "250 ok\r\n".to_owned()
                }
                ("DATA", _) => {
                    stream.write_all(b"354 go on\r\n").await?;
                    let mut data = String::new();
                    while !data.ends_with("\r\n.\r\n") {
                        if stream.read_line(&mut data).await? == 0 {
                            return Ok(());
                        }
                    }
                    self.received.send_modify(|all| all.push(Received { to: to.clone(), data }));
                    if let Manner::HangUp = manner {
                        return Ok(());
                    }
                    "250 taken\r\n".to_owned()
                }
                ("QUIT", _) => "221 bye\r\n".to_owned(),
                _ => "250 ok\r\n".to_owned(),
            };
            stream.write_all(answer.as_bytes()).await?;
        }
    }
}

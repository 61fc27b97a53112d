//! One request to a server on this host, over plain HTTP/1.0: the answer ends with the connection,
//! so nothing of HTTP beyond its first line and its body need be understood. A client library for
//! this one call would be the largest part of the command line.

use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug)]
pub enum Unanswered {
    /// No server listens there.
    NobodyThere,
    /// One does, and did not answer as a server should.
    Broken(&'static str),
}

/// The status and the body, which is null where it is not JSON.
pub async fn post(address: SocketAddr, path: &str, bearer: &str, body: &Value) -> Result<(u16, Value), Unanswered> {
    let asked = tokio::time::timeout(PATIENCE, ask(address, path, bearer, body.to_string()));
    asked.await.unwrap_or(Err(Unanswered::Broken("does not answer")))
}

async fn ask(address: SocketAddr, path: &str, bearer: &str, body: String) -> Result<(u16, Value), Unanswered> {
    let mut stream = TcpStream::connect(address).await.map_err(|_| Unanswered::NobodyThere)?;
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {bearer}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len(),
    );
    stream.write_all(request.as_bytes()).await.map_err(|_| Unanswered::Broken("hung up"))?;
    let mut answer = Vec::new();
    let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await;
    read.map_err(|_| Unanswered::Broken("hung up"))?;
    parse(&answer).ok_or(Unanswered::Broken("does not speak HTTP"))
}

fn parse(answer: &[u8]) -> Option<(u16, Value)> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut first = head.lines().next()?.split(' ');
    let is_http = first.next()?.starts_with("HTTP/1.");
    let status = first.next()?.parse().ok().filter(|_| is_http)?;
    Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::net::TcpListener;

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        assert_eq!(parse(b"HTTP/1.0 201 Created\r\na: b\r\n\r\n{\"id\":1}"), Some((201, json!({"id": 1}))));
        assert_eq!(parse(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>"), Some((502, Value::Null)));
        for bad in [&b"SSH-2.0-x\r\n\r\n"[..], b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\xff\r\n\r\n"] {
            assert_eq!(parse(bad), None);
        }
    }

    #[tokio::test]
    async fn the_request_carries_token_and_body_and_nobody_there_is_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = vec![0; 4_096];
            let mut length = 0;
            while !seen[..length].ends_with(b"{\"a\":1}") {
                length += stream.read(&mut seen[length..]).await.unwrap();
            }
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n{}").await.unwrap();
            String::from_utf8(seen[..length].to_vec()).unwrap()
        });
        assert_eq!(post(address, "/x", "secret", &json!({"a": 1})).await.unwrap(), (200, json!({})));
        let seen = server.await.unwrap();
        assert!(seen.starts_with("POST /x HTTP/1.0\r\n") && seen.contains("Authorization: Bearer secret\r\n"));
        // The listener is gone.
        assert!(matches!(post(address, "/x", "t", &json!({})).await, Err(Unanswered::NobodyThere)));
    }
}

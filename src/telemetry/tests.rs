use super::*;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

/// What is logged by this, under these filters.
fn logged(filter: &str, is_pretty: bool, act: impl FnOnce()) -> Vec<String> {
    let (sink, provider) = (Sink::default(), SdkTracerProvider::builder().build());
    let writer = sink.clone();
    let subscriber = subscriber(EnvFilter::new(filter), &provider, is_pretty, move || writer.clone());
    tracing::subscriber::with_default(subscriber, act);
    sink.lines()
}

#[test]
fn lines_of_one_trace_carry_its_id_and_others_carry_none() {
    let lines = logged("info", false, || {
        tracing::info!("outside");
        let outer = tracing::info_span!("request", request_id = "r1");
        outer.in_scope(|| {
            tracing::info!(status = 200, "one \"quoted\" }}");
            tracing::info_span!("inner").in_scope(|| tracing::warn!("two"));
        });
        tracing::info_span!("another").in_scope(|| tracing::info!("three"));
    });
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [outside, one, two, three] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(outside["trace_id"], Value::Null);
    assert_eq!(one["trace_id"].as_str().unwrap().len(), 32);
    assert_eq!(one["trace_id"], two["trace_id"]);
    assert_ne!(one["span_id"], two["span_id"]);
    assert_ne!(one["trace_id"], three["trace_id"]);
    assert_eq!((&one["fields"]["status"], &one["level"]), (&Value::from(200), &Value::from("INFO")));
    assert_eq!(one["spans"][0]["request_id"], "r1");
}

#[test]
fn the_filter_decides_what_is_logged() {
    let log = || {
        tracing::info!("shown");
        tracing::debug!("hidden");
    };
    assert_eq!(logged("info", false, log).len(), 1);
    assert_eq!(logged("info,convoke=debug", false, log).len(), 2);
    assert_eq!(logged("off", false, log).len(), 0);
    assert!(serde_json::from_str::<Value>(&logged("info", true, log)[0]).is_err());
}

#[test]
fn the_path_of_a_collector_is_added_where_it_is_missing() {
    assert_eq!(endpoint("http://c:4318"), "http://c:4318/v1/traces");
    assert_eq!(endpoint("http://c:4318/"), "http://c:4318/v1/traces");
    assert_eq!(endpoint("http://c/otlp/v1/traces"), "http://c/otlp/v1/traces");
}

#[test]
fn spans_reach_the_collector_at_the_latest_when_the_server_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let collector = std::thread::spawn(move || {
        let mut reader = BufReader::new(listener.accept().unwrap().0);
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first).unwrap();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        std::io::Write::write_all(reader.get_mut(), b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        (first, body)
    });
    let example = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/convoke.example.toml"));
    let config = Config::load_from(Some(example), Vec::new(), &[("otlp_url".to_owned(), url)]).unwrap();
    let telemetry = Telemetry(provider(&config).unwrap());
    let subscriber = subscriber(EnvFilter::new("info"), &telemetry.0, false, std::io::sink);
    tracing::subscriber::with_default(subscriber, || tracing::info_span!("a_span_of_ours").in_scope(|| ()));
    drop(telemetry);
    let (first, body) = collector.join().unwrap();
    assert_eq!(first.trim(), "POST /v1/traces HTTP/1.1");
    let holds = |text: &str| body.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("a_span_of_ours") && holds("convoke"));
}

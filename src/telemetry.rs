//! Logs and traces. JSON lines where nobody looks on, readable ones on a terminal; spans go out by
//! OTLP where that is configured. A panic is logged like any other error.

use crate::config::Config;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::io::IsTerminal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Keeps the exporter alive; what it still holds is sent when it is dropped.
pub struct Telemetry(Option<SdkTracerProvider>);

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = &self.0 {
            // At the very end there is nowhere left to report a failure to.
            let _ = provider.shutdown();
        }
    }
}

pub fn begin(config: &Config) -> Telemetry {
    let filter = EnvFilter::try_new(&config.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let is_pretty = match config.log_format.as_str() {
        "pretty" => true,
        "json" => false,
        _ => std::io::stderr().is_terminal(),
    };
    let log = if is_pretty {
        fmt::layer().with_writer(std::io::stderr).boxed()
    } else {
        fmt::layer().json().with_span_list(true).with_writer(std::io::stderr).boxed()
    };
    let provider = config.otlp_url.as_deref().and_then(exporter);
    let traces =
        provider.as_ref().map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("convoke")));
    // A second beginning, in tests, keeps the first.
    let _ = tracing_subscriber::registry().with(filter).with(log).with(traces).try_init();
    std::panic::set_hook(Box::new(|info| {
        let at = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(%at, "panic: {}", info.payload_as_str().unwrap_or("without a message"));
    }));
    Telemetry(provider)
}

fn exporter(url: &str) -> Option<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(url)
        .build();
    match exporter {
        Ok(exporter) => Some(SdkTracerProvider::builder().with_batch_exporter(exporter).build()),
        Err(error) => {
            eprintln!("traces are not exported: {error}");
            None
        }
    }
}

//! Logs and traces. JSON lines where nobody looks on, readable ones on a terminal, always on standard
//! error; each line within a span carries its trace id, whether or not traces are exported, so that
//! all lines of one request can be found by it. Spans go out by OTLP where that is configured. A
//! panic is logged like any other error.

use crate::config::Config;
use metrics_exporter_prometheus::PrometheusHandle;
use opentelemetry::KeyValue;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_otlp::{ExporterBuildError, Protocol, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tracing::dispatcher::{Dispatch, WeakDispatch};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

const EXPORT_PATH: &str = "v1/traces";
const UPKEEP: Duration = Duration::from_secs(5);

/// Keeps the exporter alive; what it still holds is sent when this is dropped. To be made and
/// dropped outside of the runtime: the exporter waits for its own thread.
pub struct Telemetry(SdkTracerProvider);

impl Drop for Telemetry {
    fn drop(&mut self) {
        // At the very end there is nowhere left to report a failure to.
        let _ = self.0.shutdown();
    }
}

pub fn begin(config: &Config) -> Telemetry {
    let (provider, failure) = match provider(config) {
        Ok(provider) => (provider, None),
        Err(error) => (SdkTracerProvider::builder().build(), Some(error)),
    };
    let is_pretty = match config.log_format.as_str() {
        "pretty" => true,
        "json" => false,
        _ => std::io::stderr().is_terminal(),
    };
    // The configuration was checked: the filter can be read.
    let filter = EnvFilter::try_new(&config.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    // A second beginning, in tests, keeps the first.
    let _ = subscriber(filter, &provider, is_pretty, std::io::stderr).try_init();
    std::panic::set_hook(Box::new(log_panic));
    if let Some(error) = failure {
        tracing::error!(%error, "traces are not exported");
    }
    Telemetry(provider)
}

/// Rare events that alerts ask for: each counter is there from the start, so that its first step is
/// a step and not an appearance.
const RARE: [&str; 12] = [
    "convoke_commits_fenced_total",
    "convoke_gaps_repaired_total",
    "convoke_gaps_total",
    "convoke_lease_lost_total",
    "convoke_meetings_failed_total",
    "convoke_outbox_given_up_total",
    "convoke_recordings_deleted_total",
    "convoke_recordings_moved_total",
    "convoke_signals_dropped_total",
    "convoke_takeovers_total",
    "convoke_webhooks_disabled_total",
    "convoke_webhooks_given_up_total",
];

/// Keeps the figures of a node that nobody scrapes from growing without end.
pub async fn upkeep(prometheus: PrometheusHandle) {
    for name in RARE {
        metrics::counter!(name).absolute(0);
    }
    let mut interval = tokio::time::interval(UPKEEP);
    loop {
        interval.tick().await;
        prometheus.run_upkeep();
    }
}

fn subscriber<W>(
    filter: EnvFilter,
    provider: &SdkTracerProvider,
    is_pretty: bool,
    writer: W,
) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let own = OwnDispatch::default();
    let log = if is_pretty {
        fmt::layer().with_writer(writer).boxed()
    } else {
        let lines = fmt::format().json().with_span_list(true).with_current_span(false);
        fmt::layer()
            .event_format(TracedJson { lines, own: own.clone() })
            .fmt_fields(JsonFields::new())
            .with_writer(writer)
            .boxed()
    };
    // Only our own spans: those of the exporter's HTTP client would be exported by it in turn.
    let traces = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("convoke"))
        .with_filter(filter_fn(|metadata: &Metadata<'_>| metadata.target().starts_with("convoke")));
    tracing_subscriber::registry().with(filter).with(traces).with(log).with(own)
}

fn provider(config: &Config) -> Result<SdkTracerProvider, ExporterBuildError> {
    let Some(url) = &config.otlp_url else { return Ok(SdkTracerProvider::builder().build()) };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint(url))
        .build()?;
    let mut resource = Resource::builder()
        .with_service_name("convoke")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if let Some(node) = &config.node_id {
        resource = resource.with_attribute(KeyValue::new("service.instance.id", node.clone()));
    }
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build())
}

/// Collectors take traces at a path of their own, which people leave out.
fn endpoint(url: &str) -> String {
    let has_path = url.split_once("://").is_some_and(|(_, rest)| rest.trim_end_matches('/').contains('/'));
    if has_path { url.to_owned() } else { format!("{}/{EXPORT_PATH}", url.trim_end_matches('/')) }
}

fn log_panic(info: &std::panic::PanicHookInfo<'_>) {
    let at = info.location().map(ToString::to_string).unwrap_or_default();
    let message = info.payload_as_str().unwrap_or("without a message");
    // Captured only where RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => tracing::error!(%at, %backtrace, "panic: {message}"),
        _ => tracing::error!(%at, "panic: {message}"),
    }
}

/// JSON lines with the ids of the trace and the span that they belong to.
struct TracedJson {
    lines: Format<Json>,
    own: OwnDispatch,
}

/// The subscriber that a layer is part of. While it handles an event it cannot be asked for as the
/// current one, so it is remembered when it is put in place.
#[derive(Clone, Default)]
struct OwnDispatch(Arc<OnceLock<WeakDispatch>>);

impl<S: Subscriber> Layer<S> for OwnDispatch {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        let _ = self.0.set(dispatch.downgrade());
    }
}

impl<S, N> FormatEvent<S, N> for TracedJson
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let mut line = String::new();
        self.lines.format_event(context, Writer::new(&mut line), event)?;
        let span = event.parent().and_then(|id| context.span(id)).or_else(|| context.lookup_current());
        let traced = span.and_then(|span| {
            let dispatch = self.own.0.get()?.upgrade()?;
            tracing_opentelemetry::get_otel_context(&span.id(), &dispatch)
        });
        let ids = traced.as_ref().map(|traced| traced.span().span_context().clone()).filter(|ids| ids.is_valid());
        match (line.trim_end().strip_suffix('}'), ids) {
            (Some(open), Some(ids)) => {
                writeln!(writer, r#"{open},"trace_id":"{}","span_id":"{}"}}"#, ids.trace_id(), ids.span_id())
            }
            _ => writer.write_str(&line),
        }
    }
}

#[cfg(test)]
mod tests;

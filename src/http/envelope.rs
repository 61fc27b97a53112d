//! What every request and response carries: a request id, security headers, a line in the log. The
//! log has the path's pattern and never a query, because one of ours holds a token.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use std::time::Instant;
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const REQUEST_ID_MAX: usize = 64;

const HEADERS: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
];
/// Swagger UI writes styles of its own; everything else comes from this host.
const CONTENT_POLICY: &str =
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

fn request_id(request: &ServiceRequest) -> String {
    let given = request.headers().get("x-request-id").and_then(|value| value.to_str().ok());
    let sane = given.filter(|id| {
        !id.is_empty()
            && id.len() <= REQUEST_ID_MAX
            && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    });
    sane.map_or_else(|| uuid::Uuid::now_v7().to_string(), ToOwned::to_owned)
}

/// The headers of a request, for what is read of a trace that began elsewhere.
struct Headers<'a>(&'a ServiceRequest);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.headers().get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.headers().keys().map(HeaderName::as_str).collect()
    }
}

/// A caller's trace goes on in this span; without a valid `traceparent` a new one begins.
fn go_on_from(span: &tracing::Span, request: &ServiceRequest) {
    // Where spans are not traced there is nothing to go on with.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&Headers(request)));
}

pub async fn wrap(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let id = request_id(&request);
    let began = Instant::now();
    let method = request.method().clone();
    let pattern = request.match_pattern().unwrap_or_else(|| "unknown".to_owned());
    let span = tracing::info_span!("request", request_id = %id, %method, path = %pattern);
    go_on_from(&span, &request);
    let mut response = next.call(request).instrument(span.clone()).await?;
    let status = response.status().as_u16();
    span.in_scope(|| tracing::info!(status, ms = began.elapsed().as_secs_f64() * 1_000.0, "answered"));
    metrics::counter!("convoke_requests_total", "status" => status.to_string()).increment(1);
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    // A handler that knows its page better has said so.
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY));
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use opentelemetry::trace::{TraceContextExt, TracerProvider};
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn a_trace_that_began_elsewhere_goes_on_in_the_requests_span() {
        let (trace, caller) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let provider = SdkTracerProvider::builder().build();
        let traced = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let trace_of = |value: Option<String>| {
            let mut request = TestRequest::default();
            if let Some(value) = value {
                request = request.insert_header(("traceparent", value));
            }
            let span = tracing::info_span!("request");
            go_on_from(&span, &request.to_srv_request());
            let context = span.context();
            (context.span().span_context().trace_id().to_string(), context.span().span_context().span_id().to_string())
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(traced), || {
            let (goes_on, own) = trace_of(Some(format!("00-{trace}-{caller}-01")));
            assert_eq!(goes_on, trace);
            assert_ne!(own, caller, "the span is a child of the caller's");
            for nonsense in
                [None, Some(format!("00-{trace}-nonsense")), Some(format!("00-{}-{caller}-01", "0".repeat(32)))]
            {
                let (begins, _) = trace_of(nonsense);
                assert!(begins != trace && begins.chars().any(|c| c != '0'), "what cannot be read begins anew");
            }
        });
    }

    #[test]
    fn a_request_id_is_taken_where_it_is_sane() {
        let of =
            |value: &str| request_id(&TestRequest::default().insert_header(("x-request-id", value)).to_srv_request());
        assert_eq!(of("abc-123_4.5"), "abc-123_4.5");
        for bad in ["", "with space", "<script>", &"x".repeat(65)] {
            assert!(uuid::Uuid::parse_str(&of(bad)).is_ok(), "{bad}");
        }
    }
}

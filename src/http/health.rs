//! Alive, ready, and in numbers. `/readyz` tells load balancers the truth: false while the node
//! drains, and while its database or the bus between the nodes does not answer.

use actix_web::HttpResponse;
use actix_web::web::Data;
use convoke_actors::supervisor::Meetings;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const DATABASE: Duration = Duration::from_secs(2);

#[derive(Default)]
pub struct Readiness {
    draining: AtomicBool,
}

impl Readiness {
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

/// The process is alive.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, description = "alive")))]
pub async fn alive() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// The node can serve.
#[utoipa::path(get, path = "/readyz", tag = "operation",
    responses((status = 200, description = "can serve"), (status = 503, description = "draining, or without its database or the bus between the nodes")))]
pub async fn ready(readiness: Data<Arc<Readiness>>, meetings: Data<Meetings>) -> HttpResponse {
    if readiness.is_draining() {
        return HttpResponse::ServiceUnavailable().content_type("text/plain").body("draining\n");
    }
    if !meetings.env().bus.is_connected() {
        return HttpResponse::ServiceUnavailable().content_type("text/plain").body("no bus\n");
    }
    match tokio::time::timeout(DATABASE, meetings.env().store.now()).await {
        Ok(Ok(_)) => HttpResponse::Ok().content_type("text/plain").body("ready\n"),
        _ => HttpResponse::ServiceUnavailable().content_type("text/plain").body("no database\n"),
    }
}

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses((status = 200, description = "Prometheus text format")))]
pub async fn numbers(prometheus: Data<PrometheusHandle>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(prometheus.render())
}

//! The index of the API: every path, and who answers it.

use super::webhooks::Told;
use super::{
    Problem, breakout, caller, health, invitations, livekit, log, meetings, objects, people, polls, questions,
    recorder, recordings, report, storage, tokens, transcript, transcripts, webhooks, whiteboards, ws,
};
use actix_web::middleware::from_fn;
use actix_web::web::{ServiceConfig, delete, get, head, patch, post, put, resource, scope};
use actix_web::{HttpResponse, web};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    modifiers(&Told),
    info(title = "Convoke", description = "Runs meetings; LiveKit moves the media."),
    paths(
        meetings::create,
        meetings::index,
        meetings::show,
        meetings::update,
        meetings::cancel,
        meetings::start,
        meetings::end,
        tokens::token,
        invitations::invite,
        invitations::invitations,
        invitations::accept,
        log::events,
        breakout::show,
        breakout::open,
        breakout::plan,
        breakout::add,
        breakout::rename,
        breakout::join,
        breakout::relocate,
        breakout::merge,
        breakout::extend,
        breakout::broadcast,
        breakout::close,
        breakout::close_all,
        people::attendance,
        people::messages,
        transcript::transcript,
        report::report,
        questions::index,
        polls::index,
        polls::votes,
        recorder::start,
        recorder::stop,
        recordings::index,
        recordings::show,
        recordings::update,
        recordings::remove,
        recordings::link,
        transcripts::create,
        transcripts::read,
        objects::object,
        whiteboards::index,
        whiteboards::create,
        whiteboards::show,
        whiteboards::update,
        whiteboards::remove,
        whiteboards::copy,
        whiteboards::files::export,
        whiteboards::snapshots::index,
        whiteboards::snapshots::create,
        whiteboards::snapshots::export,
        whiteboards::snapshots::restore,
        storage::create,
        storage::index,
        storage::replace,
        storage::remove,
        storage::apply,
        storage::orphans,
        storage::audit,
        people::erase,
        people::export,
        livekit::webhook,
        webhooks::create,
        webhooks::index,
        webhooks::show,
        webhooks::update,
        webhooks::remove,
        webhooks::rotate,
        webhooks::test,
        webhooks::deliveries,
        webhooks::replay,
        health::alive,
        health::ready,
        health::numbers,
    )
)]
pub struct Api;

pub fn routes(config: &mut ServiceConfig) {
    config
        // Before the scope, whose guard asks for a token that LiveKit does not have.
        .service(
            resource("/api/v1/webhooks/livekit").route(post().to(livekit::webhook)).default_service(web::to(nothing)),
        )
        .service(
            scope("/api/v1")
                .wrap(from_fn(caller::guard))
                .route("/meetings", post().to(meetings::create))
                .route("/meetings", get().to(meetings::index))
                .route("/meetings/{id}", get().to(meetings::show))
                .route("/meetings/{id}", patch().to(meetings::update))
                .route("/meetings/{id}", delete().to(meetings::cancel))
                .route("/meetings/{id}/start", post().to(meetings::start))
                .route("/meetings/{id}/end", post().to(meetings::end))
                .route("/meetings/{id}/tokens", post().to(tokens::token))
                .route("/meetings/{id}/invitations", post().to(invitations::invite))
                .route("/meetings/{id}/invitations", get().to(invitations::invitations))
                .route("/invitations/{code}/accept", post().to(invitations::accept))
                .route("/meetings/{id}/participants", get().to(people::attendance))
                .route("/meetings/{id}/messages", get().to(people::messages))
                .route("/meetings/{id}/transcript", get().to(transcript::transcript))
                .route("/meetings/{id}/report", get().to(report::report))
                .route("/meetings/{id}/questions", get().to(questions::index))
                .route("/meetings/{id}/polls", get().to(polls::index))
                .route("/meetings/{id}/polls/{poll}/votes", get().to(polls::votes))
                .route("/meetings/{id}/events", get().to(log::events))
                .configure(whiteboard_routes)
                .route("/recordings", get().to(recordings::index))
                .route("/recordings/start", post().to(recorder::start))
                .route("/recordings/stop", post().to(recorder::stop))
                .route("/recordings/{id}", get().to(recordings::show))
                .route("/recordings/{id}", patch().to(recordings::update))
                .route("/recordings/{id}", delete().to(recordings::remove))
                .route("/recordings/{id}/link", post().to(recordings::link))
                .route("/recordings/{id}/transcripts", post().to(transcripts::create))
                .route("/recordings/{id}/transcripts", get().to(transcripts::read))
                .route("/admin/storage-policies", post().to(storage::create))
                .route("/admin/storage-policies", get().to(storage::index))
                .route("/admin/storage-policies/{id}", put().to(storage::replace))
                .route("/admin/storage-policies/{id}", delete().to(storage::remove))
                .route("/admin/recordings/apply-policy/{id}", post().to(storage::apply))
                .route("/admin/recordings/orphans", get().to(storage::orphans))
                .route("/admin/audit", get().to(storage::audit))
                .route("/users/{user}", delete().to(people::erase))
                .route("/users/{user}/export", get().to(people::export))
                .route("/admin/webhooks", post().to(webhooks::create))
                .route("/admin/webhooks", get().to(webhooks::index))
                .route("/admin/webhooks/{id}", get().to(webhooks::show))
                .route("/admin/webhooks/{id}", patch().to(webhooks::update))
                .route("/admin/webhooks/{id}", delete().to(webhooks::remove))
                .route("/admin/webhooks/{id}/rotate", post().to(webhooks::rotate))
                .route("/admin/webhooks/{id}/test", post().to(webhooks::test))
                .route("/admin/webhooks/{id}/deliveries", get().to(webhooks::deliveries))
                .route("/admin/webhooks/{id}/replay", post().to(webhooks::replay))
                .configure(|config| breakout_routes(config, "/meetings/{id}/breakout"))
                .configure(|config| breakout_routes(config, "/rooms/{id}/breakout"))
                .default_service(web::to(nothing)),
        )
        .route("/objects/{tenant}/{recording}/{file}", get().to(objects::object))
        .route("/objects/{tenant}/{recording}/{file}", head().to(objects::object))
        .route("/ws", get().to(ws::connect))
        .route("/ws/whiteboards/{id}", get().to(ws::connect_board))
        .route("/healthz", get().to(health::alive))
        .route("/readyz", get().to(health::ready))
        .route("/metrics", get().to(health::numbers))
        .route("/asyncapi.json", get().to(asyncapi))
        .service(utoipa_swagger_ui::SwaggerUi::new("/docs/{_:.*}").url("/openapi.json", Api::openapi()))
        .default_service(web::to(nothing));
}

fn breakout_routes(config: &mut ServiceConfig, base: &str) {
    config
        .route(base, get().to(breakout::show))
        .route(base, post().to(breakout::open))
        .route(&format!("{base}/plan"), put().to(breakout::plan))
        .route(&format!("{base}/rooms"), post().to(breakout::add))
        .route(&format!("{base}/move"), post().to(breakout::relocate))
        .route(&format!("{base}/merge"), post().to(breakout::merge))
        .route(&format!("{base}/extend"), post().to(breakout::extend))
        .route(&format!("{base}/broadcast"), post().to(breakout::broadcast))
        .route(&format!("{base}/close"), post().to(breakout::close_all))
        .route(&format!("{base}/{{room}}"), patch().to(breakout::rename))
        .route(&format!("{base}/{{room}}/join"), post().to(breakout::join))
        .route(&format!("{base}/{{room}}/close"), post().to(breakout::close));
}

fn whiteboard_routes(config: &mut ServiceConfig) {
    use whiteboards::{files, snapshots};
    config
        .route("/meetings/{id}/whiteboards", get().to(whiteboards::index))
        .route("/meetings/{id}/whiteboards", post().to(whiteboards::create))
        .route("/whiteboards/{id}", get().to(whiteboards::show))
        .route("/whiteboards/{id}", patch().to(whiteboards::update))
        .route("/whiteboards/{id}", delete().to(whiteboards::remove))
        .route("/whiteboards/{id}/copy", post().to(whiteboards::copy))
        .route("/whiteboards/{id}/export", get().to(files::export))
        .route("/whiteboards/{id}/snapshots", get().to(snapshots::index))
        .route("/whiteboards/{id}/snapshots", post().to(snapshots::create))
        .route("/whiteboards/{id}/snapshots/{snapshot}/export", get().to(snapshots::export))
        .route("/whiteboards/{id}/restore", post().to(snapshots::restore));
}

async fn nothing() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found())
}

async fn asyncapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(super::asyncapi::document())
}

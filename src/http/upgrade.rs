//! Where an HTTP connection becomes a WebSocket. Within a response, the connection's two HTTP buffers
//! and its parser would stay in memory as long as the socket lives; so whoever asks for an upgrade
//! is answered by the same routes as everybody, and then the connection is taken out of HTTP.

use super::socket::part;
use actix_codec::{Framed, FramedParts};
use actix_http::h1::{Codec, Message};
use actix_http::{HttpMessage, Request, Response};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, fn_factory, fn_service};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{AppConfig, ServiceResponse};
use actix_web::web::BytesMut;
use actix_web::{Error, HttpRequest};
use futures_util::SinkExt;
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use tokio::net::TcpStream;

type Connection = Framed<TcpStream, Codec>;

/// What serves a connection from the handshake on.
pub trait Socket {
    /// `early` is what came right behind the handshake.
    fn start(self: Box<Self>, io: TcpStream, early: BytesMut);
}

/// Goes with a request whose connection can be taken over: the handler leaves the socket here.
#[derive(Clone, Default)]
pub struct Slot(Rc<RefCell<Option<Box<dyn Socket>>>>);

impl Slot {
    pub fn of(request: &HttpRequest) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    pub fn fill(&self, socket: impl Socket + 'static) {
        self.0.replace(Some(Box::new(socket)));
    }
}

/// Answers requests for an upgrade with these routes.
pub fn upgrades<F, B>(
    app: impl IntoServiceFactory<F, Request>,
) -> impl ServiceFactory<(Request, Connection), Config = (), Response = (), Error = Error, InitError = ()>
where
    F: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse<B>, Error = Error, InitError = ()>
        + 'static,
    B: MessageBody + 'static,
{
    let app = app.into_factory();
    fn_factory(move || {
        let made = app.new_service(AppConfig::default());
        async move {
            let app = Rc::new(made.await?);
            Ok(fn_service(move |(request, connection)| upgrade(Rc::clone(&app), request, connection)))
        }
    })
}

async fn upgrade<S, B>(app: Rc<S>, request: Request, connection: Connection) -> Result<(), Error>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    let slot = Slot::default();
    request.extensions_mut().insert(slot.clone());
    let response = match app.call(request).await {
        Ok(response) => Response::from(response).map_into_boxed_body(),
        Err(error) => Response::from(error),
    };
    let (mut io, early) = take_out(send(connection, response).await?);
    match slot.0.take() {
        Some(socket) => socket.start(io, early),
        None => part(&mut io).await,
    }
    Ok(())
}

async fn send(mut connection: Connection, response: Response<BoxBody>) -> Result<Connection, Error> {
    let (head, mut body) = response.into_parts();
    connection.send(Message::Item((head, body.size()))).await?;
    while let Some(chunk) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
        connection.send(Message::Chunk(Some(chunk?))).await?;
    }
    connection.send(Message::Chunk(None)).await?;
    Ok(connection)
}

/// The connection without HTTP and its buffers, and what has been read of it already.
fn take_out(connection: Connection) -> (TcpStream, BytesMut) {
    let FramedParts { io, read_buf, .. } = connection.into_parts();
    (io, BytesMut::from(read_buf.as_ref()))
}

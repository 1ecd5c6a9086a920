//! How far the requests of a connection have come: told by who answers them, and by the stream beneath ([`connection`](super::connection)),
//! which goes by it.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    http::ConnectionType,
    web::Bytes,
};
use tokio::time::Instant;

use crate::plugin::stream_body::ON_THE_WAY;

/// What is known of the requests on a connection.
#[derive(Default)]
pub struct Heads {
    stage: Cell<Stage>,
    /// When the first byte of the next head came, or the connection, for the first.
    begun: Cell<Option<Instant>>,
    /// Whether nothing comes behind the last one.
    is_last: Cell<bool>,
    /// Whether anything has happened since the last look.
    is_used: Cell<bool>,
}

/// How far the last request has come.
#[derive(Clone, Copy, Default, PartialEq)]
enum Stage {
    /// Its answer is written, or there was none yet: there may be a next one.
    #[default]
    Done,
    /// actix has its head, and may refuse it.
    Parsed,
    /// It is being answered.
    Served,
    /// actix has all of its answer.
    Answered,
}

impl Heads {
    /// Those of a connection that begins now.
    pub fn new(now: Instant) -> Heads {
        Heads { begun: Cell::new(Some(now)), ..Heads::default() }
    }

    /// A head is there, behind whose request there may come no other.
    pub fn handed_on(&self, is_last: bool) {
        self.is_used.set(true);
        self.is_last.set(is_last);
        self.stage.set(Stage::Parsed);
        self.begun.set(None);
    }

    /// It is a request.
    pub fn complete(&self) {
        self.stage.set(Stage::Served);
    }

    /// It has its answer; a stream, when that has ended. So has one behind a head that actix writes before it asks for the body. All others
    /// are in one piece.
    pub fn answered(self: Rc<Self>, mut response: HttpResponse) -> HttpResponse {
        if self.is_last.get() {
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        let is_in_pieces = match response.body().size() {
            BodySize::None | BodySize::Sized(0) => false,
            BodySize::Sized(_) => is_long(&response),
            BodySize::Stream => true,
        };
        if is_in_pieces {
            response.map_body(|_, body| BoxBody::new(Ending { body, _end: End(self) }))
        } else {
            drop(End(self));
            response
        }
    }

    /// When the first byte of a head came that is not there yet.
    pub fn begun(&self) -> Option<Instant> {
        self.begun.get()
    }

    /// Something was written.
    pub fn used(&self) {
        self.is_used.set(true);
    }

    /// Bytes came that end no head.
    pub fn heard(&self) {
        if self.stage.get() == Stage::Done && self.begun.get().is_none() {
            self.begun.set(Some(Instant::now()));
        }
    }

    /// Whether what is written now is an answer of ours.
    pub fn is_answering(&self) -> bool {
        matches!(self.stage.get(), Stage::Served | Stage::Answered)
    }

    /// Whether everything that was asked is answered.
    pub fn is_done(&self) -> bool {
        self.stage.get() == Stage::Done
    }

    /// Whether it is, and nothing has happened since this was asked before.
    pub fn is_silent(&self) -> bool {
        !self.is_used.replace(false) && self.is_done()
    }

    /// All is written that actix had to write. Answers whether an answer has come to its end.
    pub fn flushed(&self) -> bool {
        let is_end = self.stage.get() == Stage::Answered;
        if is_end {
            self.stage.set(Stage::Done);
        }
        is_end
    }
}

/// Whether the head of an answer may fill what actix writes at once.
fn is_long(response: &HttpResponse) -> bool {
    let fields = response.headers().iter();
    fields.map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() > ON_THE_WAY / 2
}

/// The end of an answer.
struct End(Rc<Heads>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.stage.set(Stage::Answered);
    }
}

/// The body of an answer that comes in pieces.
struct Ending {
    body: BoxBody,
    _end: End,
}

impl MessageBody for Ending {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}

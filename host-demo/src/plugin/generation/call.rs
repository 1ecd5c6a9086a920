//! Requests into a generation, and the answers out of it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use plugin_api::abi::{plugin_http::PluginHttpRef, wire::Status};

use super::Generation;
use crate::{
    lines::{LINES, line_of_this_thread},
    plugin::{
        calls::Place,
        context::Context,
        exchange::{Abandoned, Answer, Pending},
        mark::Mark,
        request::{OwnedRequest, Request},
        stanzas::Handed,
        stream_body::on_worker,
        threads::Busy,
        watchdog,
    },
};

/// How long a request may wait for an answer that its handler left for later.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// Why a request has no answer of the plugin's.
#[derive(Debug, PartialEq, Eq)]
pub enum CallError {
    /// The handler panicked, or gave up for this reason.
    Abandoned(String),
    /// All threads of the plugin are busy.
    Busy,
    /// The handler, or whoever it left the answer to, took too long.
    TimedOut,
}

/// The right to call a generation, counted until it is dropped.
pub struct Call(Arc<Door>);

/// A way into a generation, on a line of its own. Every call counts itself among the owners of one: were they all owners of the generation
/// itself, its count would be passed from core to core.
#[repr(align(64))]
struct Door {
    generation: Arc<Generation>,
    place: Place,
}

/// The ways into a generation, one for each line of threads.
pub struct Doors([Arc<Door>; LINES]);

impl Doors {
    /// Those of this generation.
    pub fn new(generation: &Arc<Generation>) -> Doors {
        Doors(Place::all().map(|place| Arc::new(Door { generation: generation.clone(), place })))
    }

    /// Where they lead.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.0[0].generation
    }

    /// Begins a call. `None`: this generation takes no more; look the route up again.
    pub fn enter(&self) -> Option<Call> {
        let call = Call::begin(&self.0[line_of_this_thread()]);
        (!call.generation().calls.is_closed()).then_some(call)
    }

    /// Hands over a stanza that was sent to the address of the plugin. `Gone`: this generation takes no more; look the address up again.
    pub fn hand(&self, stanza: String) -> Handed {
        match (&self.generation().stanzas, self.enter()) {
            (Some(stanzas), Some(call)) => stanzas.hand(stanza, Some(call)),
            _ => Handed::Gone,
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.generation().calls.end(self.0.place);
    }
}

impl Call {
    fn begin(door: &Arc<Door>) -> Call {
        door.generation.calls.begin(door.place);
        Call(door.clone())
    }

    /// Whom it calls.
    pub fn generation(&self) -> &Generation {
        &self.0.generation
    }

    /// Passes a request to the route of this index and waits for the answer.
    ///
    /// # Errors
    /// The plugin gave none.
    pub async fn answer(&self, index: usize, request: &Request<'_>) -> Result<Answer, CallError> {
        let result = self.ask(index, request).await;
        self.generation().calls.count(self.0.place, &result);
        result
    }

    async fn ask(&self, index: usize, request: &Request<'_>) -> Result<Answer, CallError> {
        let generation = self.generation();
        let (Some(http), Some(route)) = (generation.http, generation.routes.get(index)) else {
            return Err(CallError::Abandoned("the plugin has no such route".into()));
        };
        if route.is_inline() {
            answer_inline(generation, http, index as u32, request).await
        } else {
            Box::pin(self.answer_on_thread(http, index as u32, request.detach(), route.patience())).await
        }
    }

    async fn answer_on_thread(
        &self,
        http: PluginHttpRef,
        index: u32,
        request: OwnedRequest,
        patience: Duration,
    ) -> Result<Answer, CallError> {
        let generation = self.generation();
        let mut waiting = begin(generation)?;
        let token = waiting.pending.token();
        let (returned, mut returns) = tokio::sync::oneshot::channel();
        let running = Call::begin(&self.0);
        let mark = generation.context.mark;
        let job = move || {
            let handled = mark.keep_thread(|| handle(http, mark, index, &request.borrow(), token));
            drop(running);
            // Nobody waits any more if the client is gone.
            let _ = returned.send(handled);
        };
        let seat = generation.threads.seat().await;
        seat.and_then(|seat| generation.threads.run(seat, job)).map_err(|Busy| CallError::Busy)?;
        let patience = tokio::time::sleep(patience);
        tokio::select! {
            biased;
            answer = waiting.pending.answer() => return answer.map_err(abandoned),
            handled = &mut returns => if handled != Ok(Status::OK) {
                return Err(CallError::Abandoned("the handler panicked".into()));
            },
            () = patience => return Err(CallError::TimedOut),
        }
        within(ANSWER_PATIENCE, waiting.pending.answer()).await
    }
}

/// A request that waits for its answer. Dropped without one, it tells the plugin that nobody waits any more.
struct Waiting {
    pending: Pending<'static>,
    context: &'static Context,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.pending.close() {
            self.context.writable(self.pending.token());
        }
    }
}

/// Opens an exchange, unless this call was among those that were given up while its body came in.
fn begin(generation: &Generation) -> Result<Waiting, CallError> {
    let pending = generation.context.exchanges.begin();
    if generation.cut.load(Ordering::SeqCst) {
        return Err(CallError::Abandoned("the plugin was replaced or removed".into()));
    }
    Ok(Waiting { pending, context: generation.context })
}

/// Has the plugin handle a request on this thread.
fn handle(http: PluginHttpRef, mark: &'static Mark, index: u32, request: &Request<'_>, token: u64) -> Status {
    request.with_view(|view| mark.run_route(index as usize, || http.handle()(index, view, token)))
}

async fn answer_inline(
    generation: &Generation,
    http: PluginHttpRef,
    index: u32,
    request: &Request<'_>,
) -> Result<Answer, CallError> {
    let mut waiting = begin(generation)?;
    let token = waiting.pending.token();
    let mark = generation.context.mark;
    let handled = on_worker(|| watchdog::seen(mark, index as usize, || handle(http, mark, index, request, token)));
    if handled != Status::OK {
        return Err(CallError::Abandoned("the handler panicked".into()));
    }
    if let Some(answer) = waiting.pending.answered() {
        return answer.map_err(abandoned);
    }
    Box::pin(within(ANSWER_PATIENCE, waiting.pending.answer())).await
}

async fn within(
    patience: Duration,
    answer: impl Future<Output = Result<Answer, Abandoned>>,
) -> Result<Answer, CallError> {
    match tokio::time::timeout(patience, answer).await {
        Ok(answer) => answer.map_err(abandoned),
        Err(_) => Err(CallError::TimedOut),
    }
}

fn abandoned(Abandoned(reason): Abandoned) -> CallError {
    CallError::Abandoned(reason)
}

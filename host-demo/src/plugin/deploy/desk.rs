//! Where journeys and retirements report, and ask. All that changes what is in service goes through one channel to one
//! task, in one order.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{
    deployer::{Command, CommandError},
    digest::Digest,
    folder::FileName,
    journey::{Candidate, End},
    probation::Misconduct,
    status::State,
    vouch::Voucher,
    watch::Report,
};
use crate::plugin::generation::Generation;

/// What the task that owns the plugins is told and asked.
pub enum Message {
    /// The watch saw something.
    Report(Report),
    /// A journey got on.
    Step {
        /// Which.
        journey: u64,
        /// Where it is now.
        state: State,
        /// The hash of its content, when it has just been learnt.
        digest: Option<Digest>,
    },
    /// A journey knows what it carries.
    Carries {
        /// Which.
        journey: u64,
        /// What it carries.
        candidate: Box<Candidate>,
    },
    /// A journey knows who vouches for what it carries.
    Vouched {
        /// Which.
        journey: u64,
        /// Who.
        voucher: Voucher,
    },
    /// A journey wants to run the plugin's code.
    Turn {
        /// Which.
        journey: u64,
        /// Answered when it is its turn, or never will be.
        reply: oneshot::Sender<Result<Turn, End>>,
    },
    /// A journey's plugin has started and wants to be in service.
    Publish {
        /// Which.
        journey: u64,
        /// The plugin.
        generation: Arc<Generation>,
        /// Whether it is.
        reply: oneshot::Sender<Result<(), End>>,
    },
    /// A journey is over.
    End {
        /// Which.
        journey: u64,
        /// How it ended.
        result: Result<(), End>,
    },
    /// A version on its way out got on.
    Leaving {
        /// The plugin.
        id: String,
        /// The version.
        number: u64,
        /// Where it is now.
        state: State,
    },
    /// What was seen of a version in its first seconds in service.
    Probation {
        /// The plugin.
        id: String,
        /// The version.
        number: u64,
        /// Whether it did its work.
        result: Result<(), Misconduct>,
    },
    /// It is time to try a file again that the host failed on.
    TryAgain(FileName),
    /// It is time to try again to bring back the last good version of a plugin, which the host failed on.
    ReviveAgain(String),
    /// What was found at the start and has not settled by now is no longer waited for.
    PatienceOver,
    /// The administrator wants something.
    Command(Command, oneshot::Sender<Result<(), CommandError>>),
}

/// Leave to run the plugin's code: no other version of the plugin is on this part of the way.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The number of this version among those of the plugin.
    pub number: u64,
    /// What is known of this very content.
    pub standing: Standing,
}

/// What is known of a content that is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Unknown,
    /// It is on record as good: it has shown that it starts.
    Good,
    /// It is on record as good, and took too long the last time, with nothing beside it.
    Slow,
}

/// A journey's side of the channel.
#[derive(Clone)]
pub struct Desk {
    /// The number of the journey.
    pub journey: u64,
    /// To the task that owns the plugins.
    pub messages: mpsc::Sender<Message>,
}

impl Desk {
    /// Tells of a step.
    pub async fn step(&self, state: State, digest: Option<Digest>) {
        self.tell(Message::Step { journey: self.journey, state, digest }).await;
    }

    /// Tells of a step from a thread.
    pub fn step_blocking(&self, state: State) {
        // A server that ends does not care.
        let _ = self.messages.blocking_send(Message::Step { journey: self.journey, state, digest: None });
    }

    /// Tells what is carried.
    pub async fn carries(&self, candidate: &Candidate) {
        self.tell(Message::Carries { journey: self.journey, candidate: Box::new(candidate.clone()) }).await;
    }

    /// Tells who vouches for it.
    pub async fn vouched(&self, voucher: Voucher) {
        self.tell(Message::Vouched { journey: self.journey, voucher }).await;
    }

    /// Waits until no other version of the plugin is between its trial and service.
    ///
    /// # Errors
    /// The content is not to be run.
    pub async fn wait_for_turn(&self) -> Result<Turn, End> {
        self.ask(|reply| Message::Turn { journey: self.journey, reply }).await
    }

    /// Asks to be put into service.
    ///
    /// # Errors
    /// It is no longer wanted.
    pub async fn publish(&self, generation: Arc<Generation>) -> Result<(), End> {
        self.ask(|reply| Message::Publish { journey: self.journey, generation, reply }).await
    }

    /// Tells that the journey is over.
    pub async fn end(&self, result: Result<(), End>) {
        self.tell(Message::End { journey: self.journey, result }).await;
    }

    async fn tell(&self, message: Message) {
        // A server that ends does not care.
        let _ = self.messages.send(message).await;
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<Result<T, End>>) -> Message) -> Result<T, End> {
        let (reply, answer) = oneshot::channel();
        self.tell(question(reply)).await;
        answer.await.unwrap_or(Err(End::Unwanted))
    }
}

/// A retirement's side of the channel.
pub struct Retirement {
    /// The plugin.
    pub id: String,
    /// The version.
    pub number: u64,
    /// To the task that owns the plugins.
    pub messages: mpsc::Sender<Message>,
}

impl Retirement {
    /// Tells of a step.
    pub async fn step(&self, state: State) {
        let message = Message::Leaving { id: self.id.clone(), number: self.number, state };
        // A server that ends does not care.
        let _ = self.messages.send(message).await;
    }
}

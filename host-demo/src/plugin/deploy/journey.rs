//! The way of one content, from the drop folder into service: staged, checked, probed, loaded, started, published. The
//! steps stand in [`Journey::go`] in their order; each ends the journey or leads to the next.
//!
//! A journey decides nothing about others. It asks the [`Desk`] twice: for its turn, when it knows which plugin it
//! carries, and for publication.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use plugin_api::manifest::Manifest;
use tokio::sync::Semaphore;

use super::{
    budget, check,
    check::Offer,
    desk::{Desk, Standing, Turn},
    digest::Digest,
    folder::{DropFolder, FileName},
    probe::{self, Prober},
    refusal::Refusal,
    retire,
    stage::{NotCopied, Part, Staging},
    staged::StagedFile,
    stamp::Stamps,
    status::{State, Subject},
    trust::Trust,
    vouch::Vouching,
    within::{Overdue, telling, within},
};
use crate::plugin::{
    context::Hold,
    generation::{Generation, LoadError, Loaded, StartError},
    services::Services,
    settings::Plan,
};

/// How long loading and starting may take.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How often the log says that it still takes.
const TELL: Duration = Duration::from_secs(2);
/// How many files may be copied, checked or tried at a time. A trial waits more than it computes, and one that hangs for its five
/// seconds should begin at once, so that the server is ready soon after: with eight at a time, fifty plugins of which one hangs took 6.4 s.
pub const BENCHES: u32 = 64;

/// What all journeys work with.
pub struct Workshop {
    /// Where files come from.
    pub folder: DropFolder,
    /// Whose files are taken, and in whose folders.
    pub trust: Trust,
    /// Where copies are kept.
    pub staging: Staging,
    /// Who tries them.
    pub prober: Prober,
    /// What this host offers.
    pub offer: Offer,
    /// Whose word counts.
    pub vouching: Vouching,
    /// The largest file.
    pub limit: u64,
    /// What plugins may ask of this server.
    pub services: Arc<dyn Services>,
    /// Where they copy, check and probe: [`BENCHES`] of them.
    pub benches: Semaphore,
    /// How many trials were ever begun.
    pub trials: AtomicUsize,
}

impl Workshop {
    /// How much is under way.
    fn at_work(&self) -> usize {
        BENCHES as usize - self.benches.available_permits()
    }

    /// Whether that is more than this machine has processors for.
    fn is_crowd(at_work: usize) -> bool {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        at_work > processors.min(BENCHES as usize / 4)
    }
}

/// Where a content comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A file in the drop folder.
    Folder {
        /// Its name.
        file: FileName,
        /// Its stamps when it had settled.
        stamps: Stamps,
        /// What this file serves already: the same again is no reason to load.
        serves: Option<Digest>,
    },
    /// The last good version, kept since it was last in service.
    Kept {
        /// The copy.
        staged: StagedFile,
        /// The dynamic loader has seen it since this server was started: another copy must be made.
        mapped: bool,
    },
}

impl Origin {
    /// Whether this copy is not the journey's own to delete.
    fn keeps(&self, copy: &StagedFile) -> bool {
        matches!(self, Origin::Kept { staged, .. } if staged == copy)
    }
}

/// A whole plugin that fits this host.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its bytes.
    pub staged: StagedFile,
}

impl Candidate {
    /// How the log calls it.
    pub fn subject(&self) -> Subject {
        Subject::plugin(&self.manifest.id, &self.manifest.version, self.staged.digest())
    }

    /// Waits for a step of its way, and has the log say so if it takes long.
    async fn telling<T>(&self, doing: &str, limit: Duration, step: impl Future<Output = T>) -> T {
        let (subject, limit) = (self.subject(), limit.as_secs());
        let tell = |seconds| subject.stays(&format!("still {doing} after {seconds} s, refused after {limit} s"));
        telling(TELL, tell, step).await
    }
}

/// How a journey ended before it came into service.
#[derive(Debug)]
pub enum End {
    /// The content is what the file serves already.
    Same,
    /// The file changed meanwhile: it will settle and be read again.
    Changed,
    /// The file or the plugin was removed or switched off meanwhile, or this server ends.
    Unwanted,
    /// It is not taken.
    Refused(Refusal),
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> End {
        End::Refused(refusal)
    }
}

/// One content on its way.
pub struct Journey {
    /// Where it comes from.
    pub origin: Origin,
    /// Whom it asks and tells.
    pub desk: Desk,
    /// What it works with.
    pub workshop: Arc<Workshop>,
}

impl Journey {
    /// Goes as far as it can, and tells the desk how it ended.
    pub async fn travel(self) {
        let result = self.go().await;
        self.desk.end(result).await;
    }

    async fn go(&self) -> Result<(), End> {
        let candidate = match &self.origin {
            Origin::Folder { file, stamps, serves } => {
                let part = self.stage(file.clone(), *stamps).await?;
                self.desk.step(State::Staged, Some(part.digest())).await;
                // With the same content, the signature beside it may still be another.
                if *serves == Some(part.digest()) && !self.workshop.vouching.asks() {
                    return Err(End::Same);
                }
                self.identify(part).await?
            }
            Origin::Kept { staged, mapped } => self.identify_kept(staged.clone(), *mapped).await?,
        };
        self.desk.carries(&candidate).await;
        let result = self.enter_service(&candidate).await;
        if result.is_err() && !self.origin.keeps(&candidate.staged) {
            candidate.staged.delete();
        }
        result
    }

    async fn enter_service(&self, candidate: &Candidate) -> Result<(), End> {
        self.vouch(candidate).await?;
        if matches!(self.origin, Origin::Folder { serves, .. } if serves == Some(candidate.staged.digest())) {
            return Err(End::Same);
        }
        self.workshop.offer.satisfies(&candidate.manifest)?;
        self.desk.step(State::Checked, None).await;
        let Turn { number, standing } = self.desk.wait_for_turn().await?;
        let plan = self.settings_plan(&candidate.manifest)?;
        let excused = |refusal: Refusal| if standing == Standing::Unknown { refusal } else { refusal.of_good() };
        self.try_out(candidate, standing).await.map_err(excused)?;
        self.desk.step(State::Probed, None).await;
        self.at_bench(|_| budget::check()).await?;
        self.put_on_disk(&candidate.staged).await?;
        let started = candidate.telling("starting", START_LIMIT, self.load_and_start(candidate, number, plan)).await;
        let generation = started.map_err(excused)?;
        let published = self.desk.publish(generation.clone()).await;
        if published.is_err() {
            retire::stop(&generation).await;
        }
        published
    }

    /// A trial that timed out among many, or of a content that started before, may have had too little of this machine: it is made once more with
    /// nothing beside it, and that one counts. A good content that was slow there before keeps nobody else for it again.
    async fn try_out(&self, candidate: &Candidate, standing: Standing) -> Result<(), Refusal> {
        // What was beside it counts, and not what is left of that when it ends: trials that began together end together.
        let (before, trials) = (self.workshop.at_work(), self.workshop.trials.load(Ordering::SeqCst));
        let tried = self.trial(candidate, 1).await;
        let meanwhile = self.workshop.trials.load(Ordering::SeqCst) - trials;
        let may_be_excused = match standing {
            Standing::Unknown => Workshop::is_crowd(before + meanwhile),
            Standing::Good => true,
            Standing::Slow => false,
        };
        if !may_be_excused || !matches!(tried, Err(Refusal::ProbeTimeout { .. })) {
            return tried;
        }
        candidate.subject().stays("no end of its trial, which is made once more with nothing beside it");
        self.trial(candidate, BENCHES).await
    }

    async fn trial(&self, candidate: &Candidate, benches: u32) -> Result<(), Refusal> {
        let staged = candidate.staged.path().to_owned();
        self.workshop.trials.fetch_add(1, Ordering::SeqCst);
        let trial = self.at_benches(benches, move |workshop| workshop.prober.probe(&staged));
        candidate.telling("in its trial", probe::LIMIT, trial).await
    }

    /// What comes into service may be recorded as good in the same moment, so its copy survives a loss of power from here
    /// on. The registry waits for no disk but its own records: others have something to ask of it meanwhile.
    async fn put_on_disk(&self, staged: &StagedFile) -> Result<(), Refusal> {
        if self.origin.keeps(staged) {
            return Ok(());
        }
        let staged = staged.clone();
        let sync = move |_: &Workshop| staged.sync().map_err(|cause| Refusal::Staging(cause.to_string()));
        self.at_bench(sync).await
    }

    async fn stage(&self, file: FileName, stamps: Stamps) -> Result<Part, End> {
        let copied = self.at_bench(move |workshop| {
            workshop.staging.judge(&workshop.trust)?;
            let mut source = workshop.folder.open(&file)?;
            if source.stamps != stamps {
                return Ok(None);
            }
            let signature = if workshop.vouching.asks() { source.signature()? } else { None };
            match workshop.staging.copy(&source.file, &stamps.file, workshop.limit) {
                Ok(mut part) => {
                    part.signature = signature;
                    Ok(Some(part))
                }
                Err(NotCopied::Changed) => Ok(None),
                Err(NotCopied::Refused(refusal)) => Err(refusal),
            }
        });
        copied.await?.ok_or(End::Changed)
    }

    async fn identify(&self, part: Part) -> Result<Candidate, Refusal> {
        let identify = move |_: &Workshop| {
            let manifest = check::manifest(&part.bytes()?)?;
            let staged = part.name(&manifest.id)?;
            Ok(Candidate { manifest, staged })
        };
        self.at_bench(identify).await
    }

    /// A kept version is judged again: this host may be another release than the one that it served under.
    async fn identify_kept(&self, staged: StagedFile, mapped: bool) -> Result<Candidate, Refusal> {
        let identify = move |workshop: &Workshop| {
            workshop.staging.judge(&workshop.trust)?;
            let manifest = check::manifest(&staged.verified_bytes()?)?;
            let staged = if mapped { workshop.staging.duplicate(&staged, &manifest.id)? } else { staged };
            Ok(Candidate { manifest, staged })
        };
        self.at_bench(identify).await
    }

    /// Finds out who vouches for the copy: its bytes, never those in the drop folder, which may be others by now.
    async fn vouch(&self, candidate: &Candidate) -> Result<(), Refusal> {
        if !self.workshop.vouching.asks() {
            return Ok(());
        }
        let Candidate { manifest, staged } = candidate.clone();
        let judge = move |workshop: &Workshop| {
            let (bytes, signature) = (staged.verified_bytes()?, staged.signature()?);
            workshop.vouching.judge(&manifest, staged.digest(), &bytes, signature.as_deref())
        };
        let voucher = self.at_bench(judge).await?;
        self.desk.vouched(voucher).await;
        Ok(())
    }

    /// Does blocking work off the reactor, at one of the benches.
    async fn at_bench<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Workshop) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.at_benches(1, work).await
    }

    /// Does blocking work that takes this many benches: with all of them, it is alone.
    async fn at_benches<T: Send + 'static>(
        &self,
        benches: u32,
        work: impl FnOnce(&Workshop) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let _benches = self.workshop.benches.acquire_many(benches).await.expect("the benches are never closed");
        let workshop = self.workshop.clone();
        let done = tokio::task::spawn_blocking(move || work(&workshop)).await;
        done.unwrap_or_else(|cause| Err(Refusal::Host(cause.to_string())))
    }

    /// Which settings the plugin starts with. No other version of it can change them meanwhile: it is this one's turn.
    fn settings_plan(&self, manifest: &Manifest) -> Result<Plan, Refusal> {
        let stored = self.workshop.services.stored_settings(&manifest.id);
        Plan::of(manifest, stored, matches!(self.origin, Origin::Kept { .. })).map_err(Refusal::OlderSettings)
    }

    /// Maps the library and runs the plugin's start. One that takes too long is let go, and stopped should it return.
    async fn load_and_start(&self, candidate: &Candidate, number: u64, plan: Plan) -> Result<Arc<Generation>, Refusal> {
        let (desk, services, candidate) = (self.desk.clone(), self.workshop.services.clone(), candidate.clone());
        let name = format!("{}#{number}", candidate.manifest.id);
        let hold = Arc::new(Hold::default());
        let held = hold.clone();
        let work = move || -> Result<Arc<Generation>, Refusal> {
            let loaded = Loaded::open(candidate.staged.path(), candidate.manifest, number, services)?;
            desk.step_blocking(State::Loaded);
            let generation = loaded.with_settings(plan).start(&held)?;
            desk.step_blocking(State::Started);
            Ok(generation)
        };
        let stop_latecomer = |started: Result<Arc<Generation>, Refusal>| {
            if let Ok(generation) = started {
                generation.stop();
            }
        };
        // Threads that the plugin makes in its start are known by this name.
        match within(&name, START_LIMIT, work, stop_latecomer).await {
            Ok(started) => started,
            Err(Overdue::Limit) => {
                hold.let_go();
                Err(Refusal::StartTimeout { seconds: START_LIMIT.as_secs() })
            }
            Err(Overdue::Failed(cause)) => Err(Refusal::Host(cause)),
        }
    }
}

impl From<LoadError> for Refusal {
    fn from(cause: LoadError) -> Refusal {
        match cause {
            LoadError::Open(text) => Refusal::Load(text),
            LoadError::Root(_) => Refusal::Load(cause.to_string()),
        }
    }
}

impl From<StartError> for Refusal {
    fn from(cause: StartError) -> Refusal {
        match cause {
            StartError::Refused(text) => Refusal::Start(text),
            StartError::Route(cause) => Refusal::Route(cause.to_string()),
            StartError::Interface(_) | StartError::NoLife | StartError::LetGo => Refusal::Load(cause.to_string()),
        }
    }
}

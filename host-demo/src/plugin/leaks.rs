//! What plugins keep: looked at every five seconds, and told of when it grows beyond what the administrator should know.
//!
//! Memory is counted by each plugin's own allocator. Threads are told apart by their names: the host names its threads after
//! the generation that it lends them to, and a thread that they make takes their name over (pthread_create(3)); one made by a handler on an
//! HTTP worker can't be told. Descriptors are the process's, whoever opened them.

use std::{
    collections::HashMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;

use super::{generation::Generation, route::Routes, threads::MAX_THREADS};

/// How often plugins are looked at.
const PERIOD: Duration = Duration::from_secs(5);
/// The most threads that a generation should have: those that the host lends, and as many of its own.
const THREADS: u64 = 2 * MAX_THREADS as u64;
/// The share of the descriptors of this process that should not be passed, in percent.
const DESCRIPTORS: u64 = 80;
/// The bytes that the kernel keeps of a thread's name.
const COMM: usize = 15;

/// What is wrong at this moment, a sentence each.
pub type Warnings = ArcSwap<Vec<String>>;

/// Looks at the plugins in service for as long as the runtime lives. `memory` is how many bytes one should not pass.
pub async fn watch(routes: Arc<Routes>, memory: Arc<AtomicU64>, warnings: Arc<Warnings>) {
    let mut ledger = Ledger::default();
    loop {
        tokio::time::sleep(PERIOD).await;
        let found = look(&routes, memory.load(Relaxed));
        ledger.news(&found).for_each(|sentence| log::warn!("{sentence}"));
        warnings.store(Arc::new(found.into_iter().map(|excess| excess.sentence).collect()));
    }
}

/// Something that is more than it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Excess {
    /// Whose and what: by this it is known again.
    key: String,
    /// How much.
    amount: u64,
    /// For the administrator.
    sentence: String,
}

/// What was told: not again before it has doubled.
#[derive(Default)]
struct Ledger(HashMap<String, u64>);

impl Ledger {
    fn news<'a>(&mut self, found: &'a [Excess]) -> impl Iterator<Item = &'a str> {
        self.0.retain(|key, _| found.iter().any(|excess| excess.key == *key));
        let is_news = |excess: &&Excess| {
            let told = self.0.get(&excess.key).is_none_or(|told| excess.amount >= 2 * told);
            if told {
                self.0.insert(excess.key.clone(), excess.amount);
            }
            told
        };
        let news: Vec<_> = found.iter().filter(is_news).map(|excess| excess.sentence.as_str()).collect();
        news.into_iter()
    }
}

fn look(routes: &Routes, memory: u64) -> Vec<Excess> {
    let table = routes.load();
    let names = thread_names();
    let mut found: Vec<_> =
        table.generations().flat_map(|generation| of_generation(generation, memory, &names)).collect();
    found.sort_by(|one, other| one.key.cmp(&other.key));
    found.extend(of_process());
    found
}

fn of_generation(generation: &Generation, limit: u64, names: &[String]) -> Vec<Excess> {
    let name = generation.name();
    let memory = generation.memory();
    let threads = threads_of(name, names);
    let mut found = Vec::new();
    if memory > limit {
        let sentence = format!("plugin {name} has {} MiB of memory, {} MiB should do", memory >> 20, limit >> 20);
        found.push(Excess { key: format!("{name} memory"), amount: memory, sentence });
    }
    if threads > THREADS {
        let sentence = format!("plugin {name} has {threads} threads, {THREADS} should do");
        found.push(Excess { key: format!("{name} threads"), amount: threads, sentence });
    }
    found
}

fn of_process() -> Option<Excess> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
    let sentence = format!("{open} of {limit} descriptors are open: a plugin may not close what it opens");
    (open > limit / 100 * DESCRIPTORS).then(|| Excess { key: "descriptors".into(), amount: open, sentence })
}

fn thread_names() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    // A thread that has just ended has no name.
    tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok()).collect()
}

/// How many of these names are of threads lent to a generation, or made by such threads.
fn threads_of(generation: &str, names: &[String]) -> u64 {
    let shown = &generation[..generation.floor_char_boundary(COMM)];
    let is_its = |name: &&String| {
        let rest = name.trim_end().strip_prefix(shown);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    names.iter().filter(is_its).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excess(amount: u64) -> Vec<Excess> {
        vec![Excess { key: "a#1 memory".into(), amount, sentence: format!("{amount} is much") }]
    }

    #[test]
    fn what_grows_is_told_again_when_it_has_doubled() {
        let mut ledger = Ledger::default();
        let mut told = |amount| ledger.news(&excess(amount)).count();
        assert_eq!([100, 150, 199, 200, 300, 400].map(&mut told), [1, 0, 0, 1, 0, 1]);
        assert_eq!(ledger.news(&[]).count(), 0);
        assert_eq!(ledger.news(&excess(100)).count(), 1, "it was over in between");
    }

    #[test]
    fn threads_belong_to_the_generation_whose_name_they_have() {
        let names = ["hello#1-1\n", "hello#1-2\n", "hello#1\n", "hello#12-1\n", "other#1-1\n", "hello\n"];
        let names = names.map(String::from);
        assert_eq!(threads_of("hello#1", &names), 3);
        assert_eq!(threads_of("hello#12", &names), 1);
        let cut = ["a-plugin-with-a\n".into()];
        assert_eq!(threads_of("a-plugin-with-a-long-id#7", &cut), 1);
    }

    #[test]
    fn this_process_has_named_threads_and_few_descriptors() {
        let thread = std::thread::Builder::new().name("leaks#7-1".into());
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let count = || threads_of("leaks#7", &thread_names());
        let child = thread.spawn(move || {
            let inherited = std::thread::spawn(move || wait.recv());
            let _ = inherited.join();
        });
        let child = child.unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while count() != 2 {
            assert!(std::time::Instant::now() < deadline, "the threads have their name");
            std::thread::yield_now();
        }
        drop(go);
        child.join().unwrap();
        assert_eq!(of_process(), None);
    }
}

//! The last words of a process that a plugin takes down: which plugin it was, written into a file that was opened before.
//!
//! Handlers for the signals of a crash, and a hook for `exit`, write the [`Mark`] of the thread that dies. A thread that a
//! plugin made itself has none: there the libraries that its stack leads through tell. Then the handler that was there
//! before goes on (Rust's own tells of a stack that has overflowed), and the process dies of the same signal.
//!
//! Not told: `_exit`, SIGKILL, and an overflow of the stack of a thread that a plugin made, which has no other stack for a
//! handler to run on. All `unsafe` of this is here; what runs in a handler takes no lock and no memory (signal-safety(7)).

use std::{
    ffi::{CStr, OsStr, c_int, c_void},
    os::{
        fd::{IntoRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering},
    },
};

use super::mark::{self, Mark};

/// The signals of a crash, each with the line that is written of it.
const SIGNALS: [(c_int, &str); 5] = [
    (libc::SIGSEGV, "signal=11\n"),
    (libc::SIGBUS, "signal=7\n"),
    (libc::SIGILL, "signal=4\n"),
    (libc::SIGFPE, "signal=8\n"),
    (libc::SIGABRT, "signal=6\n"),
];
/// The line that is written of an exit.
const EXIT: &str = "exit=\n";
/// How many libraries are remembered. Thread keys run out long before.
const PLACES: usize = 4_096;
/// How often, and for how many milliseconds, a thread that dies second waits for the words of the first.
const WAITS: usize = 3_000;
const WAIT: c_int = 1;
/// How far up a stack is searched, in pieces of so many words.
const PIECES: usize = 256;
const PIECE: usize = 32;

/// Where to write; -1 while nobody wants to know.
static CRUMB: AtomicI32 = AtomicI32::new(-1);
/// This process. A child that it forked has its handlers too.
static PROCESS: AtomicI32 = AtomicI32::new(0);
/// The first crash is the one that counts.
static FIRST: LastWords = LastWords::none();
/// What was to be done at these signals before.
static FORMER: [OnceLock<libc::sigaction>; SIGNALS.len()] = [const { OnceLock::new() }; SIGNALS.len()];
/// Where the libraries of plugins are mapped. Only ever added to: they are never unmapped.
static LIBRARIES: [Library; PLACES] = [const { Library::none() }; PLACES];
static KNOWN: AtomicUsize = AtomicUsize::new(0);

struct Library {
    start: AtomicUsize,
    end: AtomicUsize,
    mark: AtomicPtr<Mark>,
}

/// What is written of a death, once, whoever else dies at the same time.
struct LastWords {
    are_begun: AtomicBool,
    are_said: AtomicBool,
}

type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// From now on a crash writes into this file. Once a process.
pub fn arm(crumb: OwnedFd) {
    CRUMB.store(crumb.into_raw_fd(), Ordering::SeqCst);
    PROCESS.store(std::process::id() as i32, Ordering::SeqCst);
    for (place, (signal, _)) in SIGNALS.iter().enumerate() {
        // Known before it can be needed.
        let _ = FORMER[place].set(action_at(*signal));
        act_at(*signal, dying as Handler as usize);
    }
    // SAFETY: registers a function that lives as long as the process.
    unsafe { libc::atexit(exiting) };
}

/// From now on nothing is written: the process ends as it should.
pub fn disarm() {
    CRUMB.store(-1, Ordering::SeqCst);
}

/// Remembers where a library is mapped that was opened by this path, for threads that bear no mark.
pub fn remember(library: &Path, mark: &'static Mark) {
    let Some((start, end)) = range_of(library) else { return };
    if let Some(place) = LIBRARIES.get(KNOWN.fetch_add(1, Ordering::SeqCst)) {
        place.start.store(start, Ordering::Relaxed);
        place.end.store(end, Ordering::Relaxed);
        // Last: what has a mark is complete.
        place.mark.store(ptr::from_ref(mark).cast_mut(), Ordering::Release);
    }
}

/// Whether a library is mapped, and remembered where it is.
#[cfg(test)]
pub fn is_known(library: &Path) -> bool {
    range_of(library).is_some_and(|(start, _)| plugin_at(start).is_some())
}

impl Library {
    const fn none() -> Library {
        Library { start: AtomicUsize::new(0), end: AtomicUsize::new(0), mark: AtomicPtr::new(ptr::null_mut()) }
    }

    fn mark_at(&self, address: usize) -> Option<&'static Mark> {
        let mark = self.mark.load(Ordering::Acquire);
        let within = (self.start.load(Ordering::Relaxed)..self.end.load(Ordering::Relaxed)).contains(&address);
        // SAFETY: null, or made from a `&'static Mark` by `remember`.
        unsafe { mark.as_ref() }.filter(|_| within)
    }
}

impl LastWords {
    const fn none() -> LastWords {
        LastWords { are_begun: AtomicBool::new(false), are_said: AtomicBool::new(false) }
    }

    /// Writes the words, unless another thread was first. Then it returns when those are written: the process ends with
    /// the thread that goes on, and would take them along half said.
    fn say(&self, crumb: c_int, words: impl FnOnce() -> [&'static str; 3]) {
        if self.are_begun.swap(true, Ordering::SeqCst) {
            return self.wait();
        }
        let parts = words().map(|text| libc::iovec { iov_base: text.as_ptr().cast_mut().cast(), iov_len: text.len() });
        // SAFETY: reads what the parts point to, which is never freed. If it fails there is nobody left to tell.
        unsafe { libc::writev(crumb, parts.as_ptr(), parts.len() as c_int) };
        self.are_said.store(true, Ordering::SeqCst);
    }

    /// Not for ever: the first thread may be this one, which has crashed again over its words.
    fn wait(&self) {
        for _ in 0..WAITS {
            if self.are_said.load(Ordering::SeqCst) {
                return;
            }
            // SAFETY: of no descriptors; it only lets time pass.
            unsafe { libc::poll(ptr::null_mut(), 0, WAIT) };
        }
    }
}

extern "C" fn dying(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives both to a handler that asked for them by SA_SIGINFO.
    let (code, sender) = unsafe { ((*info).si_code, (*info).si_pid()) };
    let was_sent = code <= 0;
    if !was_sent || sender == PROCESS.load(Ordering::SeqCst) {
        let line = SIGNALS.iter().find(|(known, _)| *known == signal).map_or("", |(_, line)| line);
        let (counter, stack) = registers(context);
        leave(line, || mark::running().or_else(|| on_the_way(counter, stack)));
    }
    pass_on(signal, info, context);
    if was_sent {
        // What was not caused by an instruction does not come again when this returns.
        act_at(signal, libc::SIG_DFL);
        // SAFETY: sends a signal to this thread, which ends the process when the handler returns.
        unsafe { libc::raise(signal) };
    }
}

extern "C" fn exiting() {
    if CRUMB.load(Ordering::SeqCst) < 0 {
        return;
    }
    let here = 0_usize;
    let culprit = mark::running().or_else(|| on_the_way(0, ptr::from_ref(&here).addr()));
    if culprit.is_some() {
        leave(EXIT, || culprit);
    }
}

/// Writes what happened and who did it.
fn leave(line: &'static str, culprit: impl FnOnce() -> Option<(&'static Mark, &'static str)>) {
    let crumb = CRUMB.load(Ordering::SeqCst);
    // SAFETY: asks for a number.
    let is_ours = unsafe { libc::getpid() } == PROCESS.load(Ordering::SeqCst);
    if crumb >= 0 && is_ours {
        FIRST.say(crumb, || {
            let (mark, route) = culprit().map_or(("", ""), |(mark, route)| (mark.lines(), route));
            [line, mark, route]
        });
    }
}

/// Has the handler go on that was there before. Where there was none, the default action comes next.
fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let place = SIGNALS.iter().position(|(known, _)| *known == signal);
    let former = place.and_then(|place| FORMER[place].get());
    match former {
        Some(former) if !matches!(former.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN) => {
            let wants_all = former.sa_flags & libc::SA_SIGINFO != 0;
            if wants_all {
                // SAFETY: what was installed with SA_SIGINFO is a function of this type.
                let handler = unsafe { std::mem::transmute::<usize, Handler>(former.sa_sigaction) };
                handler(signal, info, context);
            } else {
                // SAFETY: what was installed without SA_SIGINFO is a function of this type.
                let handler = unsafe { std::mem::transmute::<usize, extern "C" fn(c_int)>(former.sa_sigaction) };
                handler(signal);
            }
        }
        _ => act_at(signal, libc::SIG_DFL),
    }
}

fn action_at(signal: c_int) -> libc::sigaction {
    // SAFETY: all zeros are a valid sigaction, the default one.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: writes the present action to a place of ours and changes nothing.
    unsafe { libc::sigaction(signal, ptr::null(), &mut action) };
    action
}

/// Sets what is done at a signal: one of ours, on the alternate stack, or the default.
fn act_at(signal: c_int, handler: usize) {
    // SAFETY: all zeros are a valid sigaction, with an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: `handler` is `dying`, which is made to be a handler, or the default.
    unsafe { libc::sigaction(signal, &action, ptr::null_mut()) };
}

/// The plugin at a program counter, or through which a stack leads that begins at this address.
fn on_the_way(counter: usize, stack: usize) -> Option<(&'static Mark, &'static str)> {
    let on_stack = || if mark::is_lent() { None } else { plugin_on_stack(stack) };
    plugin_at(counter).or_else(on_stack).map(|mark| (mark, ""))
}

fn plugin_at(address: usize) -> Option<&'static Mark> {
    let known = KNOWN.load(Ordering::SeqCst).min(PLACES);
    LIBRARIES[..known].iter().find_map(|library| library.mark_at(address))
}

/// Any word that points into a library counts as a return address: a thread that has none of a plugin's on its stack is
/// not a plugin's.
fn plugin_on_stack(stack: usize) -> Option<&'static Mark> {
    (0..PIECES).find_map(|piece| {
        let mut words = [0; PIECE];
        // A crash may leave any number for a stack pointer.
        let read = read_own_memory(stack.wrapping_add(piece * size_of_val(&words)), &mut words);
        words[..read].iter().find_map(|word| plugin_at(*word))
    })
}

/// Reads memory that may not be there: the kernel is asked, which does not crash. Answers how many words it was.
fn read_own_memory(address: usize, words: &mut [usize; PIECE]) -> usize {
    let length = size_of_val(words);
    let ours = libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: length };
    let there = libc::iovec { iov_base: ptr::without_provenance_mut(address), iov_len: length };
    // SAFETY: writes to `words` alone, no more than they hold; of the other side the kernel checks what is mapped.
    let read = unsafe { libc::process_vm_readv(libc::getpid(), &ours, 1, &there, 1, 0) };
    usize::try_from(read).unwrap_or(0) / size_of::<usize>()
}

/// The program counter and the stack pointer at the moment of a signal; 0 where they are not known.
fn registers(context: *mut c_void) -> (usize, usize) {
    // SAFETY: the third argument of a handler that asked for it by SA_SIGINFO.
    let Some(context) = (unsafe { context.cast::<libc::ucontext_t>().as_ref() }) else { return (0, 0) };
    let machine = &context.uc_mcontext;
    #[cfg(target_arch = "x86_64")]
    return (machine.gregs[libc::REG_RIP as usize] as usize, machine.gregs[libc::REG_RSP as usize] as usize);
    #[cfg(target_arch = "aarch64")]
    return (machine.pc as usize, machine.sp as usize);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return (0, 0);
}

/// Where a library is mapped that was opened by this path.
fn range_of(library: &Path) -> Option<(usize, usize)> {
    let mut search = Search { library, range: None };
    // SAFETY: `visit` gets the pointer to `search` back, which lives for as long as the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), ptr::from_mut(&mut search).cast()) };
    search.range
}

struct Search<'a> {
    library: &'a Path,
    range: Option<(usize, usize)>,
}

/// Called for each library; anything but 0 ends the search. Nothing in here panics.
extern "C" fn visit(info: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
    // SAFETY: the loader lends the description of a library, `range_of` its search.
    let (info, search) = unsafe { (&*info, &mut *search.cast::<Search<'_>>()) };
    if info.dlpi_name.is_null() || info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: the loader keeps a name that ends with NUL.
    let name = unsafe { CStr::from_ptr(info.dlpi_name) };
    if OsStr::from_bytes(name.to_bytes()) != search.library {
        return 0;
    }
    // SAFETY: the loader keeps so many headers there.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let loaded = headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
    let address = |offset: u64| (info.dlpi_addr.wrapping_add(offset)) as usize;
    let start = loaded.clone().map(|header| address(header.p_vaddr)).min();
    let end = loaded.map(|header| address(header.p_vaddr.wrapping_add(header.p_memsz))).max();
    search.range = start.zip(end);
    1
}

#[cfg(test)]
mod tests {
    use std::{os::fd::AsRawFd, path::PathBuf, sync::mpsc};

    use plugin_api::manifest::Manifest;

    use super::*;

    /// The path by which the loader knows the C library of this process.
    fn c_library() -> PathBuf {
        // SAFETY: all zeros are a valid answer.
        let mut found: libc::Dl_info = unsafe { std::mem::zeroed() };
        // SAFETY: writes to `found` alone.
        assert_ne!(unsafe { libc::dladdr(libc::getpid as *const c_void, &mut found) }, 0);
        // SAFETY: the loader keeps a name that ends with NUL.
        OsStr::from_bytes(unsafe { CStr::from_ptr(found.dli_fname) }.to_bytes()).into()
    }

    #[test]
    fn a_library_is_found_by_its_path_and_an_address_in_it_by_the_stack() {
        let manifest = Manifest::parse(b"id=c\nversion=1.0.0\nabi=0.1\ntarget=t\n").unwrap();
        let mark = Mark::new(&manifest, Path::new("/state/staging/c-00-1.so"));
        assert!(plugin_at(libc::getpid as *const () as usize).is_none());
        remember(Path::new("/nowhere.so"), mark);
        assert!(plugin_at(libc::getpid as *const () as usize).is_none());
        remember(&c_library(), mark);
        let (start, end) = range_of(&c_library()).unwrap();
        assert!(plugin_at(start + 1).is_some() && plugin_at(end).is_none());
        let stack = [0, start + 1];
        assert!(ptr::eq(plugin_on_stack(ptr::from_ref(&stack).addr()).unwrap(), mark));
    }

    #[test]
    fn a_stack_pointer_that_is_none_leads_nowhere() {
        for wrecked in [0, usize::MAX - 7, usize::MAX] {
            assert!(plugin_on_stack(wrecked).is_none());
        }
    }

    #[test]
    fn who_dies_second_waits_for_the_words_of_the_first() {
        let (first, crumb) = (LastWords::none(), tempfile::NamedTempFile::new().unwrap());
        let (file, written) = (crumb.as_file().as_raw_fd(), || std::fs::read_to_string(crumb.path()).unwrap());
        let second_comes = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (begin, begun) = mpsc::channel();
            let (first, second_comes) = (&first, &second_comes);
            scope.spawn(move || {
                first.say(file, || {
                    begin.send(()).unwrap();
                    while !second_comes.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                    ["signal=6\n", "plugin=a\n", "route=/\n"]
                })
            });
            begun.recv().unwrap();
            second_comes.store(true, Ordering::SeqCst);
            first.say(file, || unreachable!("the first was first"));
            assert_eq!(written(), "signal=6\nplugin=a\nroute=/\n");
        });
    }

    #[test]
    fn memory_that_is_not_there_is_no_crash() {
        assert_eq!(read_own_memory(8, &mut [0; PIECE]), 0);
        let words = [7_usize; PIECE];
        let mut copy = [0; PIECE];
        assert_eq!(read_own_memory(ptr::from_ref(&words).addr(), &mut copy), PIECE);
        assert_eq!(copy, words);
    }

    #[test]
    fn the_lines_name_the_signals() {
        for (signal, line) in SIGNALS {
            assert_eq!(line, format!("signal={signal}\n"));
        }
    }
}

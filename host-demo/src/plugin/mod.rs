//! The way of a file from the drop folder to an active plugin, and back.

mod budget;
mod check;
mod elf;
mod folder;
mod probe;
mod refusal;
mod settle;
mod stage;
#[allow(unsafe_code)] // The C library's calls have no safe form; each block says why it is sound.
mod sys;
mod trust;
mod watch;

//! The way of a file: from the drop folder into service, and out of it.
//!
//! # Layout
//! [`watch`] looks at the [`folder`] and lets files [`settle`], told apart by their [`stamp`]; a [`journey`] takes each content the whole way,
//! through [`stage`] (which makes [`staged`] copies), [`check`] (with [`elf`]), [`vouch`], [`probe`] and [`budget`], or ends in a [`refusal`].
//! The [`registry`] decides about all plugins by its [`books`], publishes them, has them pass their [`probation`], and sends them into
//! [`retire`]; what comes to it through the [`desk`] it handles in [`first_scan`], [`arrivals`], [`turns`], [`outcomes`] and [`commands`], and
//! what was good it keeps in [`last_good`]. [`deployer`] is the handle on all of it, [`status`] what the administrator sees of it, [`notice`] what who has
//! only the folder does, [`cost`] what ended versions keep. [`culprit`] is what comes before all of it: who took the last run down.

mod arrivals;
mod books;
mod budget;
pub mod check;
mod commands;
pub mod cost;
pub mod culprit;
pub mod deployer;
mod desk;
pub mod digest;
mod elf;
mod first_scan;
mod folder;
mod journey;
mod last_good;
mod notice;
mod outcomes;
pub mod probation;
mod probe;
pub mod refusal;
mod registry;
pub mod retire;
mod rows;
mod rubbish;
mod settle;
mod stage;
mod staged;
mod stamp;
pub mod status;
#[allow(unsafe_code, reason = "calls of the C library that no safe crate offers")]
mod sys;
mod travel;
mod trust;
mod turns;
pub mod verdict;
mod version;
pub mod vouch;
mod watch;
mod within;

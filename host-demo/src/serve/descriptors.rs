//! As many descriptors as the system lets this process have: each connection takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one (getrlimit(2)). Shells and service managers set a low one for the sake of programs that use
/// select(2), which this one does not.
pub fn take_all() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => log::debug!("descriptors: {:?} instead of {:?}", limit.maximum, limit.current),
        Err(cause) => log::warn!("descriptors: {:?} must do, no more are given: {cause}", limit.current),
    }
}

//! How much memory a plugin has: its library's own allocator counts, so that the administrator sees which plugin grows.
//!
//! [`export_plugin!`](crate::export_plugin) makes it the allocator of the library. It asks the system's allocator for everything; what
//! crosses to the host (`RString`, `RVec`) comes back to it to be freed, and is counted until then.

#![allow(unsafe_code, reason = "an allocator is a promise to the compiler")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicIsize, Ordering},
};

/// The system's allocator, counting the bytes in use.
pub struct Counting;

/// A count on a cache line of its own. Threads that allocate at the same time should not meet on one.
#[repr(align(64))]
struct Shard(AtomicIsize);

/// Few: a library whose variables fit into the last page of its file needs one mapping less.
const SHARDS: usize = 8;
/// Stacks are megabytes apart: the address of a local variable tells threads apart, for less than a thread-local costs in a library.
const STACK_BITS: u32 = 21;

/// Every library has its own copy of this crate, so these are the plugin's own.
static IN_USE: [Shard; SHARDS] = [const { Shard(AtomicIsize::new(0)) }; SHARDS];

/// The bytes that this library has allocated and not freed.
pub fn in_use() -> u64 {
    // Memory may be freed by another thread than the one that allocated it: only the sum means something.
    let sum: isize = IN_USE.iter().map(|shard| shard.0.load(Ordering::Relaxed)).sum();
    u64::try_from(sum).unwrap_or(0)
}

/// Counts what was allocated, if it was.
fn counted(memory: *mut u8, bytes: isize) -> *mut u8 {
    if !memory.is_null() {
        count(bytes);
    }
    memory
}

fn count(bytes: isize) {
    let local = 0_u8;
    let shard = (std::ptr::from_ref(&local).addr() >> STACK_BITS) % SHARDS;
    IN_USE[shard].0.fetch_add(bytes, Ordering::Relaxed);
}

// SAFETY: every call is passed on to the system's allocator as it came; counting neither allocates nor unwinds. A layout's size is
// at most `isize::MAX`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises of `alloc`.
        counted(unsafe { System.alloc(layout) }, layout.size() as isize)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises of `alloc_zeroed`.
        counted(unsafe { System.alloc_zeroed(layout) }, layout.size() as isize)
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the promises of `realloc`; the memory came from the system's allocator.
        counted(unsafe { System.realloc(memory, layout, size) }, size as isize - layout.size() as isize)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the promises of `dealloc`; the memory came from the system's allocator.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not the allocator of this test program, so nobody else counts.
    #[test]
    fn what_is_allocated_is_counted_until_it_is_freed_on_whatever_thread() {
        let layout = Layout::from_size_align(1_000, 8).unwrap();
        // SAFETY: the layout has a size.
        let memory = unsafe { Counting.alloc(layout) };
        assert_eq!(in_use(), 1_000);
        // SAFETY: the memory is of this layout and allocator.
        let memory = unsafe { Counting.realloc(memory, layout, 3_000) };
        assert_eq!(in_use(), 3_000);
        let layout = Layout::from_size_align(3_000, 8).unwrap();
        let address = memory.expose_provenance();
        // SAFETY: as above; nobody uses it any more.
        std::thread::spawn(move || unsafe { Counting.dealloc(std::ptr::with_exposed_provenance_mut(address), layout) })
            .join()
            .unwrap();
        assert_eq!(in_use(), 0);
    }
}

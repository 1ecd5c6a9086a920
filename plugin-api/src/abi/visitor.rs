//! A closure lent to the other side for the length of one call.

use std::{
    any::Any,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use abi_stable::{
    StableAbi,
    std_types::{ROption, RSlice},
};

use super::host_presence::PresenceView;

/// Receives one borrowed presence.
#[repr(C)]
#[derive(StableAbi)]
pub struct PresenceVisitor<'a> {
    context: *mut (),
    visit: extern "C" fn(context: *mut (), presence: &PresenceView<'_>),
    lent: PhantomData<&'a mut ()>,
}

/// Receives one borrowed record, or the news that there is none.
#[repr(C)]
#[derive(StableAbi)]
pub struct RecordVisitor<'a> {
    context: *mut (),
    visit: extern "C" fn(context: *mut (), record: ROption<RSlice<'_, u8>>),
    lent: PhantomData<&'a mut ()>,
}

/// A closure with a place for its panic, which must not unwind through the other side.
struct Lent<F> {
    closure: F,
    panic: Option<Box<dyn Any + Send>>,
}

impl PresenceVisitor<'_> {
    /// Lends `closure` to `call`. A panic of the closure is raised again when `call` is back.
    pub fn lend<R>(closure: impl FnMut(&PresenceView<'_>), call: impl FnOnce(PresenceVisitor<'_>) -> R) -> R {
        fn visitor<F: FnMut(&PresenceView<'_>)>(lent: &mut Lent<F>) -> PresenceVisitor<'_> {
            PresenceVisitor { context: std::ptr::from_mut(lent).cast(), visit: visit::<F>, lent: PhantomData }
        }
        let mut lent = Lent { closure, panic: None };
        let result = call(visitor(&mut lent));
        if let Some(panic) = lent.panic {
            resume_unwind(panic);
        }
        result
    }

    /// Shows `presence` to the closure.
    pub fn visit(&mut self, presence: &PresenceView<'_>) {
        (self.visit)(self.context, presence);
    }
}

impl RecordVisitor<'_> {
    /// Lends `closure` to `call`. A panic of the closure is raised again when `call` is back.
    pub fn lend<R>(closure: impl FnMut(Option<&[u8]>), call: impl FnOnce(RecordVisitor<'_>) -> R) -> R {
        fn visitor<F: FnMut(Option<&[u8]>)>(lent: &mut Lent<F>) -> RecordVisitor<'_> {
            RecordVisitor { context: std::ptr::from_mut(lent).cast(), visit: visit_record::<F>, lent: PhantomData }
        }
        let mut lent = Lent { closure, panic: None };
        let result = call(visitor(&mut lent));
        if let Some(panic) = lent.panic {
            resume_unwind(panic);
        }
        result
    }

    /// Shows the value of the record to the closure.
    pub fn visit(&mut self, record: Option<&[u8]>) {
        (self.visit)(self.context, record.map(RSlice::from_slice).into());
    }
}

extern "C" fn visit_record<F: FnMut(Option<&[u8]>)>(context: *mut (), record: ROption<RSlice<'_, u8>>) {
    // SAFETY: as in `visit`, for the `lend` of records.
    let lent = unsafe { &mut *context.cast::<Lent<F>>() };
    if lent.panic.is_none() {
        let record = record.as_ref().map(RSlice::as_slice).into_option();
        lent.panic = catch_unwind(AssertUnwindSafe(|| (lent.closure)(record))).err();
    }
}

extern "C" fn visit<F: FnMut(&PresenceView<'_>)>(context: *mut (), presence: &PresenceView<'_>) {
    // SAFETY: `lend` made the context from a `Lent<F>` that it keeps borrowed while the visitor lives, and `visit` takes the
    // visitor by `&mut`, so that no second reference exists.
    let lent = unsafe { &mut *context.cast::<Lent<F>>() };
    if lent.panic.is_none() {
        lent.panic = catch_unwind(AssertUnwindSafe(|| (lent.closure)(presence))).err();
    }
}

//! `host.records/1`.

use abi_stable::std_types::{RSlice, RStr, RVec};
use plugin_api::abi::{
    host_records::{ChangeCode, RecordChangeView, StoredRecord},
    root::HostContext,
    visitor::RecordVisitor,
    wire::Status,
};

use super::answer;
use crate::{
    plugin::services::RecordError,
    store::{Record, RecordChange},
};

pub(super) extern "C" fn read(host: HostContext, key: RStr<'_>, mut visitor: RecordVisitor<'_>) -> Status {
    answer(host, |context| {
        context.services.read_record(&context.manifest.id, &key, &mut |record| visitor.visit(record));
        Status::OK
    })
}

pub(super) extern "C" fn list(host: HostContext, prefix: RStr<'_>, out: &mut RVec<StoredRecord>) -> Status {
    answer(host, |context| match context.services.records(&context.manifest.id, &prefix) {
        Ok(records) => {
            out.extend(records.into_iter().map(|(key, value)| StoredRecord { key: key.into(), value: value.into() }));
            Status::OK
        }
        Err(error) => status(&context.manifest.id, error),
    })
}

pub(super) extern "C" fn change(host: HostContext, changes: RSlice<'_, RecordChangeView<'_>>) -> Status {
    answer(host, |context| {
        let Some(changes) = changes.iter().map(owned).collect() else { return Status::INVALID };
        let changed = context.services.change_records(&context.manifest.id, changes);
        changed.map_or_else(|error| status(&context.manifest.id, error), |()| Status::OK)
    })
}

/// `None`: a change that this host does not know.
fn owned(change: &RecordChangeView<'_>) -> Option<RecordChange> {
    let owner = Some(change.owner.as_str()).filter(|owner| !owner.is_empty()).map(Box::from);
    let record = match change.code {
        ChangeCode::PUT => Some(Record { value: change.value.as_slice().into(), owner }),
        ChangeCode::REMOVE => None,
        _ => return None,
    };
    Some(RecordChange { key: change.key.as_str().into(), record })
}

fn status(plugin: &str, error: RecordError) -> Status {
    match error {
        RecordError::Size => Status::INVALID,
        RecordError::UnknownOwner => Status::UNKNOWN,
        RecordError::Full => {
            log::warn!("plugin {plugin}: its records take all the room that they may take: a change was refused");
            Status::FULL
        }
        RecordError::Failed(reason) => {
            log::error!("plugin {plugin}: its records: {reason}");
            Status::FAILED
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::callbacks::tests::{running, stopped};

    fn put(key: &'static str, value: &'static [u8]) -> RecordChangeView<'static> {
        let value = RSlice::from_slice(value);
        RecordChangeView { key: key.into(), value, owner: "".into(), code: ChangeCode::PUT }
    }

    fn changed(host: HostContext, view: RecordChangeView<'_>) -> Status {
        change(host, RSlice::from_slice(&[view]))
    }

    #[test]
    fn a_plugin_on_trial_has_records_of_its_own() {
        let host = HostContext::new(running());
        for (key, value) in [("b/2", &b"two"[..]), ("a/1", b"one"), ("b/1", b"")] {
            assert_eq!(changed(host, put(key, value)), Status::OK);
        }
        let mut seen = None;
        RecordVisitor::lend(|value| seen = value.map(<[u8]>::to_vec), |visitor| read(host, "b/2".into(), visitor));
        assert_eq!(seen.as_deref(), Some(&b"two"[..]));
        let mut out = RVec::new();
        assert_eq!(list(host, "b/".into(), &mut out), Status::OK);
        assert_eq!(out.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), ["b/1", "b/2"]);
        let removal = RecordChangeView { code: ChangeCode::REMOVE, ..put("b/2", b"") };
        assert_eq!((changed(host, removal), changed(host, removal)), (Status::OK, Status::OK));
        RecordVisitor::lend(|value| assert_eq!(value, None), |visitor| read(host, "b/2".into(), visitor));
        assert_eq!(changed(host, RecordChangeView { code: ChangeCode(9), ..put("b/2", b"") }), Status::INVALID);
    }

    #[test]
    fn a_stopped_generation_has_no_records() {
        let host = HostContext::new(stopped());
        let mut out = RVec::new();
        let read =
            RecordVisitor::lend(|_| panic!("shown to a stopped plugin"), |visitor| read(host, "a".into(), visitor));
        assert_eq!([read, list(host, "".into(), &mut out), changed(host, put("a", b""))], [Status::CLOSED; 3]);
    }
}

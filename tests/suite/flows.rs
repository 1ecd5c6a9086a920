//! The scripts of `tests/flows`: flows of several clients, one file a rule.

use std::sync::Mutex;

use tests::flows::{folder, perform_all, read_all};

#[test]
fn every_flow_goes_as_it_is_written() {
    let scripts = read_all(&folder()).unwrap_or_else(|faults| {
        panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    });
    let failures = Mutex::new(Vec::new());
    perform_all(&scripts, None, |_, outcome| {
        if let Err(why) = outcome {
            failures.lock().unwrap().push(why.clone());
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} flows:\n\n{}", failures.len(), scripts.len(), failures.join("\n\n"));
    assert!(!scripts.is_empty(), "there are scripts");
}

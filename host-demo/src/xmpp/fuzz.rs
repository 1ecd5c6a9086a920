//! The fuzz targets of `fuzz/`: each takes bytes as a client may send them and panics where something does not hold that must.
//!
//! `make test` gives them the corpus; `cargo fuzz run TARGET` looks for more.

pub use super::{
    hub::fuzz::{jid, presence},
    sasl::fuzz::sasl,
    xml::fuzz::stream,
};

#[cfg(test)]
mod tests {
    use std::{
        fs,
        panic::{AssertUnwindSafe, catch_unwind},
        path::Path,
    };

    use super::*;

    fn replay(target: &str, run: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
        let mut tried = 0;
        for entry in fs::read_dir(&corpus).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let result = catch_unwind(AssertUnwindSafe(|| run(&bytes)));
            assert!(result.is_ok(), "{} does not hold", path.display());
            tried += 1;
        }
        assert!(tried > 10, "{tried} files in {}", corpus.display());
    }

    #[test]
    fn the_corpus_of_streams_holds() {
        replay("stream", stream);
    }

    #[test]
    fn the_corpus_of_addresses_holds() {
        replay("jid", jid);
    }

    #[test]
    fn the_corpus_of_authentication_holds() {
        replay("sasl", sasl);
    }

    #[test]
    fn the_corpus_of_presence_holds() {
        replay("presence", presence);
    }
}

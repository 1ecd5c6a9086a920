//! What survives a restart: accounts, rosters, last status, settings and plugin records, in SQLite.

pub mod roster;

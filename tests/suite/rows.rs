//! The rows of the table of faults in their short form; `make soak` runs the long one.

use std::{fs, path::Path};

use tests::rows::{Extent, ROWS, row};

#[track_caller]
fn holds(number: &str) {
    let row = row(number).unwrap_or_else(|| panic!("no row {number}"));
    println!("{number} {}: {}", row.fault, row.try_out(Extent::Short));
}

macro_rules! rows {
    ($($name:ident $number:literal,)*) => {
        $(#[test] fn $name() { holds($number); })*

        #[test]
        fn every_row_is_tried() {
            let rows: Vec<_> = ROWS.iter().map(|row| row.number).collect();
            assert_eq!(rows, [$($number),*]);
        }
    };
}

rows! {
    p1_writing_copied_over "P1",
    p2_writing_storm "P2",
    p3_swaps_many_versions "P3",
    p4_writing_every_style "P4",
    p5_writing_slow_copy "P5",
    p6_writing_two_parts "P6",
    p7_damaged_truncated "P7",
    p8_damaged_never_filled "P8",
    p9_damaged_rotten "P9",
    p10_misfits_no_plugins "P10",
    p11_misfits_other_hosts "P11",
    p12_misfits_unresolved "P12",
    p13_starts_constructors "P13",
    p14_starts_fails "P14",
    p15_starts_panics "P15",
    p16_starts_hangs "P16",
    p17_requests_panics "P17",
    p18_bad_plugins_takes_down "P18",
    p19_bad_plugins_crash_loop "P19",
    p20_requests_hangs "P20",
    p21_bad_plugins_leaks "P21",
    p22_bad_plugins_misbehaves "P22",
    p23_restarts_bad_file "P23",
    p24_restarts_kills "P24",
    p25_requests_in_flight "P25",
    p26_requests_drains "P26",
    p27_folder_removed "P27",
    p28_writing_restless "P28",
    p29_settings_migrations "P29",
    p30_writing_nothing_new "P30",
    p31_writing_back_in_time "P31",
    p32_entries_odd_entries "P32",
    p33_trust_loose "P33",
    p34_trust_race "P34",
    p35_trust_signatures "P35",
    p36_entries_twins "P36",
    p37_folder_vanished "P37",
    p38_folder_disk_full "P38",
    p39_misfits_huge "P39",
    p40_starts_many "P40",
    p41_swaps_all_at_once "P41",
    p42_swaps_late_calls "P42",
    p43_swaps_budget "P43",
    d1_data_kills "D1",
    d5_data_slow_disk "D5",
    d9_data_backups "D9",
    r3_data_terminations "R3",
    x4_bombs_deep "X4",
    x5_bombs_wide "X5",
    x6_bombs_long "X6",
    x10_strangers_crowds "X10",
    x11_guessing_passwords "X11",
    x14_probes_forged "X14",
    x15_guessing_presence "X15",
    x16_floods_presence "X16",
    x17_floods_unread "X17",
    x18_commits_rosters "X18",
    h10_guessing_names "H10",
    h24_sources_without_number "H24",
    h25_queries_random "H25",
    h26_probes_mute "H26",
}

/// What a plugin that has a fault does besides would hide it.
#[test]
fn fixtures_are_tiny() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for fixture in names.filter(|path| path.extension().is_some_and(|end| end == "rs")) {
        let text = fs::read_to_string(&fixture).unwrap();
        let lines = text.lines().count();
        assert!(!text.starts_with("//! Fault: ") || lines < 35, "{} has {lines} lines", fixture.display());
    }
}

//! The rows of the table of faults in their short form; `make soak` runs the long one.

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
    p1_copied_over "P1",
    p2_storm "P2",
    p3_many_versions "P3",
    p4_every_style "P4",
    p5_slow_copy "P5",
    p6_two_parts "P6",
    p28_restless "P28",
    p30_nothing_new "P30",
    p31_back_in_time "P31",
}

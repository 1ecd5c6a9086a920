//! Tables for people: aligned columns, and nothing in them that a terminal would obey.

use super::plain;

/// Lays out rows below their headings. The last column may be of any length.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<_> = std::iter::once(headings.map(String::from))
        .chain(rows.iter().map(|row| row.each_ref().map(|cell| plain(cell))))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_harmless() {
        let rows = [["a".into(), "\x1b[2Jx\ny".into()], ["longer".into(), String::new()]];
        assert_eq!(table(["ID", "REASON"], &rows), "ID      REASON\na        [2Jx y\nlonger");
    }
}

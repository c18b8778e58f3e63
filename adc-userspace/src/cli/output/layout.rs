//! How tables and values look.

use std::time::Duration;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use crate::model::Weight;

/// A column: its title, and how its values line up.
pub(super) enum Column {
    /// Text, to the left.
    Text(&'static str),
    /// Numbers, to the right.
    Number(&'static str),
}

/// A table without lines, as wide as its values need.
pub(super) fn table(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(columns.iter().map(|column| match column {
            Column::Text(title) | Column::Number(title) => *title,
        }));
    for row in rows {
        table.add_row(columns.iter().zip(row).map(|(column, value)| {
            let alignment = match column {
                Column::Text(_) => CellAlignment::Left,
                Column::Number(_) => CellAlignment::Right,
            };
            Cell::new(value).set_alignment(alignment)
        }));
    }
    for (index, column) in columns.iter().enumerate() {
        let right = matches!(column, Column::Number(_));
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if right {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    lines(table.lines())
}

/// `name  value` lines, aligned; values may have several lines.
pub(super) fn fields(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let row = |(name, value): &(&str, String)| {
        let mut name = *name;
        let lines = value.lines().map(move |line| {
            let text = format!("{name:width$}  {line}");
            name = "";
            text
        });
        lines.collect::<Vec<_>>()
    };
    lines(rows.iter().flat_map(row))
}

/// Each on a line, without blanks at its end.
pub(super) fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

/// `1.5 GiB`; exact below 1 KiB.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut unit = 0;
    let mut scale = 1024_u64;
    // Tenths are rounded down, so that 1023.99 never shows as 1024.0.
    while unit + 1 < UNITS.len() && count / scale >= 1024 {
        scale = scale.saturating_mul(1024);
        unit += 1;
    }
    let tenths = u128::from(count) * 10 / u128::from(scale);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// `1h 30m`, the two largest units.
pub(super) fn span(seconds: u64) -> String {
    let text = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    let parts: Vec<_> = text.split(' ').take(2).collect();
    parts.join(" ")
}

/// `50`, or `50 (file: 100)` if people changed it.
pub(super) fn weight(configured: Weight, runtime: Option<Weight>) -> String {
    match runtime {
        Some(set) => format!("{} (file: {})", set.0, configured.0),
        None => configured.0.to_string(),
    }
}

/// `-` for nothing.
pub(super) fn or_dash(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| "-".into(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_readable_and_never_rounded_up() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes((1 << 20) - 1), "1023.9 KiB");
        assert_eq!(bytes(u64::MAX), "15.9 EiB");
    }

    #[test]
    fn spans_show_two_units() {
        assert_eq!(span(0), "0s");
        assert_eq!(span(90), "1m 30s");
        assert_eq!(span(90_061), "1day 1h");
    }

    #[test]
    fn long_values_are_never_cut() {
        let long = "x".repeat(500);
        let text = table(&[Column::Text("NAME")], [vec![long.clone()]]);
        assert!(text.contains(&long));
    }

    #[test]
    fn numbers_line_up_right_and_lines_have_no_blanks_at_the_end() {
        let columns = [Column::Number("N"), Column::Text("T")];
        let rows = [vec!["1".into(), "a".into()], vec!["100".into(), "b".into()]];
        assert_eq!(table(&columns, rows), "  N  T\n  1  a\n100  b\n");
    }
}

//! What is rewritten: one frame's headers against another's.

use crate::api::proto::{FieldView, HeaderChange, HeaderView};

/// Fields that differ, outer header first. A header that only one of the two has is a change of its whole.
///
/// Headers are paired from the inside as far as their names agree, so that a new outer header (a VLAN tag, a tunnel) is
/// seen as new, and not as everything else having moved.
pub fn changes(before: &[HeaderView], after: &[HeaderView]) -> Vec<HeaderChange> {
    let same = |(a, b): &(&HeaderView, &HeaderView)| a.header == b.header;
    let inner = before
        .iter()
        .rev()
        .zip(after.iter().rev())
        .take_while(same)
        .count();
    let (before_outer, before_inner) = before.split_at(before.len() - inner);
    let (after_outer, after_inner) = after.split_at(after.len() - inner);
    let outer = before_outer
        .iter()
        .zip(after_outer)
        .take_while(same)
        .count();
    let mut found = Vec::new();
    for (a, b) in before_outer.iter().zip(after_outer).take(outer) {
        compare(a, b, &mut found);
    }
    for gone in before_outer.iter().skip(outer) {
        found.push(whole(gone, Some(text(gone)), None));
    }
    for new in after_outer.iter().skip(outer) {
        found.push(whole(new, None, Some(text(new))));
    }
    for (a, b) in before_inner.iter().zip(after_inner) {
        compare(a, b, &mut found);
    }
    found
}

fn compare(before: &HeaderView, after: &HeaderView, found: &mut Vec<HeaderChange>) {
    for (a, b) in before.fields.iter().zip(&after.fields) {
        if a.value != b.value {
            found.push(HeaderChange {
                header: before.header.clone(),
                field: Some(a.name.clone()),
                before: Some(a.value.clone()),
                after: Some(b.value.clone()),
            });
        }
    }
}

fn whole(header: &HeaderView, before: Option<String>, after: Option<String>) -> HeaderChange {
    HeaderChange {
        header: header.header.clone(),
        field: None,
        before,
        after,
    }
}

/// `source 10.0.0.1, destination 10.0.0.2`.
fn text(header: &HeaderView) -> String {
    let field = |field: &FieldView| format!("{} {}", field.name, field.value);
    let fields: Vec<String> = header.fields.iter().map(field).collect();
    fields.join(", ")
}

//! A flow of the other node in this node's table.

use super::{
    super::{
        place::{Placed, fits, place},
        refusal::Skip,
    },
    *,
};

#[test]
fn a_new_flow_has_both_its_entries_and_says_what_the_other_node_said() {
    let mut table = Table::default();
    let told = flow(1000, 2000, 30);
    assert_eq!(place(&told, NOW, &mut table), Ok(Placed::New));
    assert_eq!(table.entries.len(), 2);
    table.assert_whole();
    for (key, entry) in &table.entries {
        assert_eq!(FlowRecord::of(key, entry, NOW), told);
    }
}

#[test]
fn a_flow_told_again_is_as_last_told() {
    let mut table = Table::default();
    place(&flow(1000, 2000, 30), NOW, &mut table).unwrap();
    let mut told = flow(1000, 2000, 1);
    told.phase = Phase::HALF_CLOSED;
    told.reply_fin = true;
    assert_eq!(place(&told, NOW, &mut table), Ok(Placed::Known));
    table.assert_whole();
    for (key, entry) in &table.entries {
        assert_eq!(FlowRecord::of(key, entry, NOW), told);
    }
}

#[test]
fn what_this_node_forwarded_later_stays_as_it_is_by_either_direction() {
    for newer in [false, true] {
        let mut table = Table::default();
        place(&flow(1000, 2000, 30), NOW, &mut table).unwrap();
        for entry in table.entries.values_mut() {
            if entry.flags.contains(FlowFlags::REPLY) == newer {
                entry.last_seen = NOW;
            }
        }
        let before = table.entries.clone();
        let told = place(&flow(1000, 2000, 10), NOW, &mut table);
        assert_eq!(told, Err(Skip::NewerHere));
        assert_eq!(table.entries, before);
    }
}

#[test]
fn a_port_that_the_other_node_gave_away_again_changes_hands_here_too() {
    let mut table = Table::default();
    place(&flow(1000, 2000, 100), NOW, &mut table).unwrap();
    assert_eq!(
        place(&flow(1001, 2000, 0), NOW, &mut table),
        Ok(Placed::New)
    );
    assert_eq!(table.entries.len(), 2, "the first flow left half of it");
    table.assert_whole();
}

#[test]
fn a_port_that_a_flow_of_this_node_uses_is_not_taken_from_it() {
    let mut table = Table::default();
    place(&flow(1000, 2000, 0), NOW, &mut table).unwrap();
    let before = table.entries.clone();
    let told = place(&flow(1001, 2000, 60), NOW, &mut table);
    assert_eq!(told, Err(Skip::Conflict));
    assert_eq!(table.entries, before);
}

#[test]
fn a_client_that_was_sent_elsewhere_meanwhile_leaves_nothing_behind() {
    let mut table = Table::default();
    place(&flow(1000, 2000, 100), NOW, &mut table).unwrap();
    assert_eq!(
        place(&flow(1000, 2001, 0), NOW, &mut table),
        Ok(Placed::New)
    );
    assert_eq!(table.entries.len(), 2);
    table.assert_whole();
}

#[test]
fn a_table_with_room_for_half_a_flow_takes_none_of_it() {
    let mut table = Table {
        room: Some(1),
        ..Table::default()
    };
    let told = place(&flow(1000, 2000, 0), NOW, &mut table);
    assert_eq!(told, Err(Skip::Full));
    assert!(table.entries.is_empty());
}

#[test]
fn only_flows_that_a_backend_of_this_node_could_have_fit() {
    type Change = fn(&mut FlowRecord<Addr4>);
    let full_nat = facts(ForwardingMode::FULL_NAT, true);
    let good = flow(1000, 2000, 0);
    assert!(fits(&good, &full_nat));
    assert!(!fits(&good, &facts(ForwardingMode::NAT, true)), "mode");
    assert!(!fits(&good, &facts(ForwardingMode::DSR_L2, true)), "mode");
    let wrong: [(&str, Change); 7] = [
        ("VIP", |flow| flow.client.dst = SERVER),
        ("port", |flow| flow.client.dport = Port::new(81)),
        ("protocol", |flow| flow.protocol = Protocol::UDP),
        ("backend", |flow| flow.server.src = LOCAL),
        ("backend's port", |flow| flow.server.sport = Port::new(80)),
        ("local address", |flow| flow.server.dst = CLIENT),
        ("family", |flow| flow.flags = FlowFlags::CROSSES),
    ];
    for (what, change) in wrong {
        let mut flow = good;
        change(&mut flow);
        assert!(!fits(&flow, &full_nat), "{what}");
    }
    let mut nat = good;
    nat.server.dst = CLIENT;
    assert!(fits(&nat, &facts(ForwardingMode::NAT, true)));
    let mut direct = good;
    direct.flags = ForwardingMode::DSR_L2.flow_flags();
    direct.server = direct.client.reversed();
    assert!(fits(&direct, &facts(ForwardingMode::DSR_L2, true)));
    assert!(!fits(&direct, &facts(ForwardingMode::DSR_GUE, true)));
}

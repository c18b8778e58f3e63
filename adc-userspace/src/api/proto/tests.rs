//! The JSON that scripts rely on: a change here is a change of `/api/v1`.

use serde_json::{Value, json};

use super::*;
use crate::{
    api::testing::{backend_view, flow_view, service_view},
    model::{AdminState, BackendAddress, Weight},
};

fn traffic() -> Value {
    json!({
        "forward_packets": 10,
        "forward_bytes": 1000,
        "reply_packets": 20,
        "reply_bytes": 20000,
        "flows_scheduled": 4,
        "flows_established": 3,
        "forward_zero_windows": 0,
        "reply_zero_windows": 2,
    })
}

fn health() -> Value {
    json!({"state": "up", "detail": "http: status 200", "since": "2026-11-21T10:00:00Z"})
}

fn backend() -> Value {
    json!({
        "pool": "web",
        "name": "web1",
        "address": "[2001:db8::11]:8080",
        "origin": "file",
        "weight": {"configured": 100, "effective": 100, "reason": "up"},
        "admin": "enabled",
        "health": health(),
        "monitors": [{
            "monitor": "http",
            "kind": "http",
            "health": health(),
            "succeeded": 41,
            "failed": 1,
            "last_micros": 1500,
        }],
        "flows": 3,
        "traffic": traffic(),
    })
}

#[test]
fn a_backend_in_json() {
    let mut view = backend_view("web", "web1", 100, "up");
    let mut expected = backend();
    assert_eq!(serde_json::to_value(&view).unwrap(), expected);
    view.weight.runtime = Some(Weight(50));
    view.admin = AdminState::Draining;
    view.admin_in_file = Some(AdminState::Enabled);
    expected["weight"]["override"] = json!(50);
    expected["admin"] = json!("draining");
    expected["admin_in_file"] = json!("enabled");
    assert_eq!(serde_json::to_value(&view).unwrap(), expected);
    assert_eq!(
        serde_json::from_value::<BackendView>(expected).unwrap(),
        view
    );
}

#[test]
fn a_service_in_json() {
    let view = service_view("www", "web");
    let expected = json!({
        "name": "www",
        "vip": "192.0.2.1",
        "port": 80,
        "protocol": "tcp",
        "mode": "nat",
        "scheduler": "maglev",
        "hash": "five-tuple",
        "ping": true,
        "timeouts": {
            "handshake": 30,
            "established": 7440,
            "half-closed": 7440,
            "closed": 60,
            "reset": 10,
            "udp-unreplied": 30,
            "udp-replied": 120,
        },
        "pool": "web",
        "origin": "file",
        "flows": 3,
        "traffic": traffic(),
        "backends": [backend()],
    });
    assert_eq!(serde_json::to_value(&view).unwrap(), expected);
    assert_eq!(
        serde_json::from_value::<ServiceView>(expected).unwrap(),
        view
    );
}

#[test]
fn a_flow_in_json() {
    let expected = json!({
        "protocol": "tcp",
        "client": "192.0.2.7:40000",
        "vip": "192.0.2.1:80",
        "backend": "10.1.0.11:8080",
        "service": "www",
        "pool": "web",
        "backend_name": "web1",
        "phase": "established",
        "idle_seconds": 2,
    });
    let view = flow_view("192.0.2.7:40000");
    assert_eq!(serde_json::to_value(view).unwrap(), expected);
}

#[test]
fn a_warning_and_a_summary_in_json() {
    let warning = Warning {
        severity: Severity::Critical,
        subject: "service www".into(),
        what: "no backend".into(),
        remedy: String::new(),
    };
    assert_eq!(
        serde_json::to_value(warning).unwrap(),
        json!({"severity": "critical", "subject": "service www", "what": "no backend"})
    );
    assert_eq!(
        serde_json::to_value(ServiceSummary::from(&service_view("www", "web"))).unwrap(),
        json!({
            "name": "www",
            "vip": "192.0.2.1",
            "port": 80,
            "protocol": "tcp",
            "pool": "web",
            "backends_available": 1,
            "backends_total": 1,
            "flows": 3,
            "traffic": traffic(),
        })
    );
}

#[test]
fn edits_in_json() {
    let edit =
        BackendPatch::Weight(Weight(50)).into_edit("web".parse().unwrap(), "web1".parse().unwrap());
    assert_eq!(
        serde_json::to_value(&edit).unwrap(),
        json!({"edit": "backend-weight", "pool": "web", "name": "web1", "weight": 50})
    );
}

#[test]
fn what_a_request_leaves_out_has_defaults() {
    let body =
        json!({"name": "www", "vip": "192.0.2.1", "port": 80, "protocol": "tcp", "pool": "web"});
    let new: NewService = serde_json::from_value(body).unwrap();
    let Edit::ServiceAdd { service, .. } = new.into() else {
        panic!("not an addition");
    };
    assert_eq!(service.timeouts.established, 7440);

    let new: NewBackend = serde_json::from_value(json!({"address": "10.0.0.5:80"})).unwrap();
    assert_eq!((new.weight, new.admin), (Weight(100), AdminState::Enabled));
    assert_eq!(new.address, BackendAddress("10.0.0.5:80".parse().unwrap()));
    let edit = new.into_edit("web".parse().unwrap()).unwrap();
    assert_eq!(edit.to_string(), "add pool web backend 10.0.0.5:80");
}

#[test]
fn a_misspelt_field_of_a_change_is_refused() {
    let body = json!({"address": "10.0.0.5:80", "wieght": 5});
    let error = serde_json::from_value::<NewBackend>(body).unwrap_err();
    assert!(error.to_string().contains("wieght"));
}

#[test]
fn times_are_rfc_3339_and_before_1970_is_no_panic() {
    let time = Timestamp(std::time::UNIX_EPOCH - std::time::Duration::from_secs(5));
    assert_eq!(time.to_string(), "1970-01-01T00:00:00Z");
    let text = json!("2026-11-21T10:00:00Z");
    let time: Timestamp = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(time).unwrap(), text);
}

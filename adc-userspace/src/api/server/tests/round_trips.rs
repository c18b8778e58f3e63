//! What the client asks arrives, and what the agent answers comes back.

use super::*;
use crate::model::{AdminState, BackendAddress, Weight};

#[tokio::test]
async fn views_arrive_as_they_were_sent() {
    let agent = Agent::start();
    let client = &agent.client;
    let service = client.service(&"www".parse().unwrap()).await.unwrap();
    assert_eq!(
        client.services().await.unwrap(),
        std::slice::from_ref(&service)
    );
    let filter = BackendFilter {
        pool: Some("web".parse().unwrap()),
        ..BackendFilter::default()
    };
    let backends = client.backends(&filter).await.unwrap();
    assert_eq!(backends, service.backends);
    let one = client.backend(&backends[0].pool, &backends[0].name).await;
    assert_eq!(one.unwrap(), backends[0]);
    assert_eq!(client.flow_count().await.unwrap().total, 3);
    let rows = client.drops().await.unwrap();
    assert_eq!(rows.len(), adc_common::abi::Reason::COUNT);
    assert_eq!(client.config_diff().await.unwrap().edits, []);
}

#[tokio::test]
async fn edits_reach_the_agent_with_odd_names_and_dry_runs_intact() {
    let agent = Agent::start();
    let (client, pool) = (&agent.client, "web".parse().unwrap());
    let name = "[2001:db8::1]:80".parse().unwrap();
    let new = NewBackend {
        name: None,
        address: BackendAddress("[2001:db8::1]:80".parse().unwrap()),
        weight: Weight(50),
        admin: AdminState::Enabled,
    };
    let dry = client.add_backend(&pool, &new, true).await.unwrap();
    assert!(!dry.applied);
    assert!(
        client
            .add_backend(&pool, &new, false)
            .await
            .unwrap()
            .applied
    );
    let drain = BackendPatch::Admin(AdminState::Draining);
    client
        .change_backend(&pool, &name, drain, false)
        .await
        .unwrap();
    client.remove_backend(&pool, &name, false).await.unwrap();
    let edits = agent.control.edits.lock().unwrap();
    let said: Vec<_> = edits
        .iter()
        .map(|(edit, dry)| (edit.to_string(), *dry))
        .collect();
    let add = "add pool web backend [2001:db8::1]:80".to_owned();
    assert_eq!(
        said,
        [
            (add.clone(), true),
            (add, false),
            (
                "set admin state of pool web backend [2001:db8::1]:80 to draining".into(),
                false
            ),
            ("remove pool web backend [2001:db8::1]:80".into(), false),
        ]
    );
}

#[tokio::test]
async fn errors_keep_their_code_and_their_problems() {
    let agent = Agent::start();
    let taken = "taken".parse().unwrap();
    let error = agent
        .client
        .remove_service(&taken, false)
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    let empty = ConfigCheck {
        text: String::new(),
    };
    let error = agent.client.check_config(&empty).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidConfig);
    assert_eq!(error.problems[0].problem, "no services");
    let error = agent.client.service(&taken).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_large_configuration_arrives_whole() {
    let agent = Agent::start();
    let text = "# a comment\n".repeat(500_000);
    let request = ConfigApply {
        source: Some(ConfigSource {
            text,
            path: "adc.toml".into(),
        }),
        reset_edits: true,
    };
    agent.client.apply_config(&request, true).await.unwrap();
    assert_eq!(*agent.control.applied.lock().unwrap(), [(request, true)]);
}

#[tokio::test]
async fn the_flow_limit_is_bounded() {
    let agent = Agent::start();
    let filter = FlowFilter {
        client: Some("192.0.2.8".parse().unwrap()),
        limit: u32::MAX,
        ..FlowFilter::default()
    };
    let page = agent.client.flows(&filter).await.unwrap();
    assert_eq!((page.flows.len(), page.matched), (1, 1));
    assert_eq!(
        agent.control.filters.lock().unwrap()[0].limit,
        FlowFilter::MAX_LIMIT
    );
}

#[tokio::test]
async fn an_agent_that_hangs_is_reported_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_path(directory.path());
    let _mute = tokio::net::UnixListener::bind(&path).unwrap();
    let client = Client::new(&path).with_timeout(Duration::from_millis(20));
    let error = client.status().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unreachable);
    assert!(error.what.contains("did not answer"), "{error}");
}

//! Monitors made ready to run, and what is wrong with those that can not be.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{adopt, state::Agent};
use crate::{
    api::proto::{ApiError, Problem, sentence},
    config,
    health::{self, CompiledMonitor, InvalidMonitor, TargetKey},
    model::{Config, Health, Monitor, MonitorName},
};

/// Monitors ready to run, by name.
pub(super) type Monitors = BTreeMap<MonitorName, Arc<CompiledMonitor>>;

/// Checks the file at `path` as an agent on this machine would at its start, and changes nothing.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(path: &Path) -> Result<Config, ApiError> {
    let config = config::load(path).map_err(|errors| ApiError::from(&errors))?;
    ready(&config.monitors, path)?;
    Ok(config)
}

/// Makes monitors ready: reads their CA certificates. `path` is the file they stand in, for the errors.
pub(super) fn ready(
    monitors: &BTreeMap<MonitorName, Monitor>,
    path: &Path,
) -> Result<Monitors, ApiError> {
    health::compile_monitors(monitors).map_err(|invalid| refusal(&invalid, path))
}

fn refusal(invalid: &BTreeMap<MonitorName, InvalidMonitor>, path: &Path) -> ApiError {
    let problems = invalid.iter().map(|(name, error)| Problem {
        file: Some(path.to_owned()),
        key: Some(format!("monitor.{name}")),
        problem: sentence(error),
        ..Problem::default()
    });
    let what = format!(
        "the configuration {} is not valid, nothing was changed",
        path.display()
    );
    ApiError::invalid_config(what, problems.collect())
}

/// Health as the rings of an earlier agent tell it.
pub(super) fn seeds(agent: &Agent) -> BTreeMap<TargetKey, Health> {
    let tables = &agent.dataplane.tables;
    let observed = tables.observed();
    let mut rings = BTreeMap::new();
    for service in observed.services.keys() {
        rings.insert(*service, tables.ring_backends(*service));
    }
    adopt::seeds(&agent.config, observed, &rings)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::api::proto::ErrorCode;

    const CONFIG: &str = r#"
[dataplane]
interfaces = ["eth0"]
[monitor.app]
type = "https"
ca_file = "CA"
[pool.web]
monitors = ["app"]
backends = [{ address = "192.0.2.1:443" }]
"#;

    #[test]
    fn a_certificate_that_no_monitor_could_use_is_found_by_the_check() {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        let file = directory.path().join("adc.toml");
        fs::write(&file, CONFIG.replace("CA", &ca.display().to_string())).unwrap();
        // PEM in form, no certificate in content.
        let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        fs::write(&ca, text).unwrap();
        let error = check(&file).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidConfig);
        assert_eq!(error.problems.len(), 1, "{error}");
        let problem = &error.problems[0];
        assert_eq!(problem.key.as_deref(), Some("monitor.app"));
        assert_eq!(problem.file.as_deref(), Some(file.as_path()));
        let said = &problem.problem;
        assert!(said.contains(&ca.display().to_string()), "{said}");
    }
}

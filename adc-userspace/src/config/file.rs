//! The file itself.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::{
    bounds,
    error::{ConfigErrors, Fault},
    read,
};
use crate::model::Config;

/// Node name if nothing better is known.
const NAMELESS: &str = "adc";

/// Reads and validates the configuration file at `path`, and the files it names.
///
/// A node without a name in the file gets the host name.
///
/// # Errors
/// Everything that is wrong with it; see [`ConfigErrors`].
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    let text = read_to_string(path).map_err(|error| {
        let problem = format!("can not be read: {error}; check the path given with `-c`");
        ConfigErrors::whole_file(path, Fault::new(problem))
    })?;
    parse_here(&text, path)
}

/// Validates the text of a configuration file for this machine, as [`load`] does: its host name, the files that the
/// text names. `path` is only for the errors.
///
/// # Errors
/// Everything that is wrong with it; see [`ConfigErrors`].
pub fn parse_here(text: &str, path: &Path) -> Result<Config, ConfigErrors> {
    read::document(text, path, &host_name(), ca_file_fault).map_err(ConfigErrors::of)
}

/// Validates the text of a configuration file; `path` is only for the errors.
///
/// Touches nothing outside its arguments: a node without a name is called `adc`, and files that the
/// text names are not looked at.
///
/// # Errors
/// Everything that is wrong with it; see [`ConfigErrors`].
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigErrors> {
    read::document(text, path, NAMELESS, |_| None).map_err(ConfigErrors::of)
}

fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(bounds::MAX_FILE + 1)
        .read_to_string(&mut text)?;
    if read as u64 > bounds::MAX_FILE {
        let problem = format!("larger than {} MiB", bounds::MAX_FILE >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(text)
}

fn host_name() -> String {
    // The file of the UTS namespace we are in; a host without one still gets a configuration.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" | "(none)" => NAMELESS.to_owned(),
        name => name.to_owned(),
    }
}

fn ca_file_fault(path: &Path) -> Option<Fault> {
    let allowed = "a readable PEM file with at least one certificate";
    let problem = match read_to_string(path) {
        Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => return None,
        Ok(_) => "holds no certificate".to_owned(),
        Err(error) => format!("can not be read: {error}"),
    };
    let fault = Fault::new(problem).value(path.display().to_string());
    Some(fault.allowed(allowed))
}

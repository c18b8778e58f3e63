//! Finding and removing what a killed run left behind.

use std::{fs, path::Path};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{DEMO_LABEL, prefix_of, run_unchecked};

/// A namespace whose maker is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Its name.
    pub name: String,
    /// The process that made it.
    pub maker: u32,
    /// Made by `adc-demo` (perhaps kept on purpose), not by a test.
    pub demo: bool,
}

/// Namespaces of ours whose maker no longer runs.
pub fn leftovers() -> Vec<Leftover> {
    let Ok(entries) = fs::read_dir("/run/netns") else {
        return Vec::new(); // no namespace was ever made on this machine
    };
    entries
        .filter_map(|entry| parse(entry.ok()?.file_name().to_str()?))
        .filter(|leftover| !Path::new(&format!("/proc/{}", leftover.maker)).exists())
        .collect()
}

/// Kills what runs in them and removes them, with the pins and files of their makers.
pub fn remove(leftovers: &[Leftover]) {
    for leftover in leftovers {
        let pids = run_unchecked("ip", &["netns", "pids", &leftover.name]);
        for pid in String::from_utf8_lossy(&pids.stdout).split_whitespace() {
            if let Ok(pid) = pid.parse() {
                // It may have ended by itself meanwhile.
                kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
            }
        }
        run_unchecked("ip", &["netns", "del", &leftover.name]);
        remove_directories("/sys/fs/bpf", &format!("adc-test-{}-", leftover.maker));
        remove_directories(std::env::temp_dir(), &prefix_of(leftover.maker));
    }
}

fn remove_directories(parent: impl AsRef<Path>, prefix: &str) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with(prefix)
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            eprintln!("cannot remove {}: {error}", entry.path().display());
        }
    }
}

fn parse(name: &str) -> Option<Leftover> {
    let (maker, rest) = name.strip_prefix("adc")?.split_once('-')?;
    let (counter, label) = rest.split_once('-')?;
    counter.parse::<u32>().ok()?;
    Some(Leftover {
        name: name.to_owned(),
        maker: maker.parse().ok()?,
        demo: label.starts_with(DEMO_LABEL),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours_are_recognised() {
        assert_eq!(
            parse("adc41-0-demo-client"),
            Some(Leftover {
                name: "adc41-0-demo-client".into(),
                maker: 41,
                demo: true
            })
        );
        assert_eq!(parse("adc41-2-web").map(|found| found.demo), Some(false));
        for foreign in ["blue", "adc", "adc-1-x", "adcx-1-x", "adc41-x-y", "adc41-1"] {
            assert_eq!(parse(foreign), None, "{foreign}");
        }
    }
}

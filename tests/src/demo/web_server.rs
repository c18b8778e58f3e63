//! The web servers of the demonstration: nginx, or our own where it is not installed.

use std::{path::Path, process::Command};

use crate::{process::Process, require::find_program, serve::Nginx, topology::BackendHost};

/// A server that is a process of its own, so that it can be killed with -9.
#[derive(Debug)]
pub(super) enum WebServer {
    Nginx(Nginx),
    Own(Process),
}

/// Which server this machine has.
pub(super) fn nginx_is_installed() -> bool {
    find_program("nginx").is_some()
}

impl WebServer {
    pub(super) fn start(host: &BackendHost, port: u16, directory: &Path) -> Self {
        if nginx_is_installed() {
            return Self::Nginx(Nginx::start(host, port, directory));
        }
        let this = std::env::current_exe()
            .unwrap_or_else(|error| panic!("cannot find this program: {error}"));
        Self::Own(Process::spawn(
            &host.namespace,
            &format!("http-{}", host.name),
            Command::new(this).args(["serve", &host.name, &port.to_string()]),
            directory,
        ))
    }

    pub(super) fn kill9(&mut self) {
        match self {
            Self::Nginx(nginx) => nginx.kill9(),
            Self::Own(process) => process.kill9(),
        }
    }

    pub(super) fn keep(&mut self) {
        match self {
            Self::Nginx(nginx) => nginx.keep(),
            Self::Own(process) => process.keep(),
        }
    }
}

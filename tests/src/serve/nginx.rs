//! Real nginx on a backend's machine.

use std::{
    fs,
    net::{IpAddr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{process::Process, require::find_program, topology::BackendHost, wait::eventually};

/// One nginx: `/` and any unknown path answer `<name>\n`, `/healthz` answers 200, `/files/` serves
/// its document root, and takes files that are PUT there.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    host: BackendHost,
    port: u16,
    wants: Wants,
    directory: PathBuf,
}

/// How connections must begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Requests,
    ProxyHeaders,
}

impl Nginx {
    /// Starts it on IPv4 and IPv6 and waits until it accepts; its files go below `parent`.
    #[track_caller]
    pub fn start(host: &BackendHost, port: u16, parent: &Path) -> Self {
        Self::start_as(host, port, Wants::Requests, parent)
    }

    /// The same for connections that begin with a PROXY protocol header, and no others; `/` answers with address and port
    /// of the client, then of the server, that the header names.
    #[track_caller]
    pub fn start_proxied(host: &BackendHost, port: u16, parent: &Path) -> Self {
        Self::start_as(host, port, Wants::ProxyHeaders, parent)
    }

    #[track_caller]
    fn start_as(host: &BackendHost, port: u16, wants: Wants, parent: &Path) -> Self {
        let directory = parent.join(format!("nginx-{}", host.name));
        fs::create_dir_all(directory.join("files"))
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", directory.display()));
        let process = spawn(host, port, wants, &directory);
        let server = Self {
            process,
            host: host.clone(),
            port,
            wants,
            directory,
        };
        server.wait_until_listening();
        server
    }

    /// Where a file must lie to be served as `/files/<name>`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join("files").join(name)
    }

    /// SIGKILL to the whole process group: its connections are reset, new ones refused.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts it again after [`Self::kill9`].
    #[track_caller]
    pub fn restart(&mut self) {
        self.process.kill9();
        self.process = spawn(&self.host, self.port, self.wants, &self.directory);
        self.wait_until_listening();
    }

    /// Leaves it running when dropped.
    pub fn keep(&mut self) {
        self.process.keep();
    }

    fn wait_until_listening(&self) {
        let address = SocketAddr::new(IpAddr::V4(self.host.v4), self.port);
        let what = format!("nginx of {} listens on {address}", self.host.name);
        eventually(Duration::from_secs(10), &what, || {
            self.host
                .namespace
                .enter(|| TcpStream::connect_timeout(&address, Duration::from_secs(1)))
                .is_ok()
        });
    }
}

fn spawn(host: &BackendHost, port: u16, wants: Wants, directory: &Path) -> Process {
    let program = find_program("nginx")
        .unwrap_or_else(|| panic!("nginx is not installed: apt-get install nginx-light"));
    let configuration = directory.join("nginx.conf");
    fs::write(
        &configuration,
        configuration_text(&host.name, port, wants, directory),
    )
    .unwrap_or_else(|error| panic!("cannot write {}: {error}", configuration.display()));
    Process::spawn(
        &host.namespace,
        &format!("nginx-{}", host.name),
        Command::new(program)
            .arg("-p")
            .arg(directory)
            .arg("-c")
            .arg(&configuration)
            .arg("-e")
            .arg("error.log"),
        directory,
    )
}

/// `master_process off`: one process, so that SIGKILL leaves no worker that goes on serving.
fn configuration_text(name: &str, port: u16, wants: Wants, directory: &Path) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {kind};"))
        .join("\n");
    let root = directory.display();
    let (proxied, answer) = match wants {
        Wants::Requests => ("", name),
        Wants::ProxyHeaders => (
            " proxy_protocol",
            "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port",
        ),
    };
    format!(
        r#"daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type text/plain;
    sendfile on;
{temporary}
    server {{
        listen {port} backlog=4096{proxied};
        listen [::]:{port} backlog=4096{proxied};
        client_max_body_size 0;
        location / {{ return 200 "{answer}\n"; }}
        location /healthz {{ return 200 "ok\n"; }}
        location /files/ {{ root {root}; dav_methods PUT; }}
    }}
}}
"#
    )
}

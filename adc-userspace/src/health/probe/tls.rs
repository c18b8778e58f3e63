//! TLS for HTTPS monitors: trust, server name, and errors in plain words.

use std::{io, net::IpAddr, path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::model::TlsVerify;

use super::{
    InvalidMonitor,
    failure::{Deadline, Failure, short},
};

const HANDSHAKE: &str = "tls handshake";

/// TLS settings of one monitor, made once.
pub(super) struct TlsClient {
    connector: TlsConnector,
    /// `None`: each backend's own address, which is verified but not sent (RFC 6066 section 3).
    name: Option<ServerName<'static>>,
}

impl TlsClient {
    /// `host` is the name in the `Host` header, the default server name.
    pub(super) fn new(verify: &TlsVerify, host: Option<&str>) -> Result<Self, InvalidMonitor> {
        let name = verify
            .sni
            .as_deref()
            .or(host)
            .map(|name| {
                ServerName::try_from(name.to_owned())
                    .ok()
                    .ok_or_else(|| InvalidMonitor::ServerName(name.to_owned()))
            })
            .transpose()?;
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(InvalidMonitor::Tls)?;
        let mut config = if verify.verify {
            let roots = match &verify.ca_file {
                Some(path) => roots_of_file(path)?,
                None => roots_of_system()?,
            };
            builder.with_root_certificates(roots).with_no_client_auth()
        } else {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAny { provider }))
                .with_no_client_auth()
        };
        // A resumed handshake shows no certificate, so an expiry would stay unseen; and tickets are kept
        // by name, while the backends of a pool share one.
        config.resumption = Resumption::disabled();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name,
        })
    }

    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        ip: IpAddr,
        deadline: Deadline,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let name = self.name.clone().unwrap_or_else(|| ip.into());
        let shown = name.to_str().into_owned();
        deadline
            .bound(HANDSHAKE, async {
                let connected = self.connector.connect(name, stream).await;
                connected.map_err(|error| failure(&error, &shown))
            })
            .await
    }
}

impl std::fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsClient")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn roots_of_file(path: &Path) -> Result<RootCertStore, InvalidMonitor> {
    let unreadable = |source| InvalidMonitor::CaFile {
        path: path.to_owned(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        roots
            .add(certificate.map_err(unreadable)?)
            .map_err(|source| InvalidMonitor::CaCertificate {
                path: path.to_owned(),
                source,
            })?;
    }
    if roots.is_empty() {
        return Err(InvalidMonitor::EmptyCaFile {
            path: path.to_owned(),
        });
    }
    Ok(roots)
}

fn roots_of_system() -> Result<RootCertStore, InvalidMonitor> {
    let mut roots = RootCertStore::empty();
    // One odd certificate in the system's store must not make the rest unusable.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(InvalidMonitor::NoSystemRoots);
    }
    Ok(roots)
}

fn failure(error: &io::Error, name: &str) -> Failure {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    let text = match tls {
        Some(Error::InvalidCertificate(problem)) => certificate_problem(problem, name),
        Some(Error::InvalidMessage(_)) => "answer is not TLS".to_owned(),
        Some(Error::AlertReceived(alert)) => format!("backend sent alert {alert:?}"),
        Some(other) => other.to_string(),
        None => short(error),
    };
    Failure::Answer(format!("tls: {text}"))
}

fn certificate_problem(problem: &CertificateError, name: &str) -> String {
    use CertificateError as E;
    if matches!(problem, E::Expired | E::ExpiredContext { .. }) {
        "certificate expired".to_owned()
    } else if matches!(problem, E::NotValidYet | E::NotValidYetContext { .. }) {
        "certificate not valid yet".to_owned()
    } else if matches!(problem, E::UnknownIssuer) {
        "certificate not signed by a trusted CA".to_owned()
    } else if matches!(problem, E::BadSignature) {
        // Seen when a CA was made anew under its old name.
        "certificate signature does not fit the trusted CA of that name".to_owned()
    } else if matches!(
        problem,
        E::NotValidForName | E::NotValidForNameContext { .. }
    ) {
        format!("certificate not valid for {name}")
    } else {
        format!("certificate refused: {problem}")
    }
}

/// `verify = false`: any certificate and any proof of its key will do.
///
/// Not even the signature is checked: that would refuse X.509 v1 certificates and others that the TLS
/// library cannot parse, and who turns verification off asks only whether the backend speaks TLS.
#[derive(Debug)]
struct AcceptAny {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

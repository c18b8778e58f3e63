//! What an HTTPS probe makes of certificates.

use std::{io::Write, path::Path, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{HandshakeKind, ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::model::{HttpCheck, Monitor, MonitorKind, TlsVerify};

use super::{
    Finding, Probe, failed, http_check, monitor, passed, run,
    server::{Reply, Server, response},
};

/// A CA on disk, and its key to sign with.
struct Authority {
    file: NamedTempFile,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(certificate.pem().as_bytes()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { file, issuer }
    }

    /// A server with a certificate of this CA.
    fn acceptor(&self, params: &CertificateParams) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        acceptor(&certificate, &key)
    }
}

fn acceptor(certificate: &rcgen::Certificate, key: &KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

fn https(change: impl FnOnce(&mut HttpCheck), tls: TlsVerify) -> Monitor {
    let mut check = http_check();
    check.tls = Some(tls);
    change(&mut check);
    monitor(MonitorKind::Http(check))
}

fn trusting(ca_file: &Path, sni: Option<&str>) -> TlsVerify {
    TlsVerify {
        sni: sni.map(str::to_owned),
        verify: true,
        ca_file: Some(ca_file.to_owned()),
    }
}

const NO_VERIFY: TlsVerify = TlsVerify {
    sni: None,
    verify: false,
    ca_file: None,
};

/// Probes a server whose certificate has `params`, verifying with its CA under the name `sni`.
async fn verified(params: &CertificateParams, sni: Option<&str>) -> Finding {
    let ca = Authority::new("our CA");
    let server = Server::start_tls(ca.acceptor(params), response("200 OK", "")).await;
    let monitor = https(|_| {}, trusting(ca.file.path(), sni));
    run(&monitor, server.address).await
}

#[tokio::test]
async fn a_certificate_of_the_ca_file_passes() {
    let finding = verified(&params("shop.example"), Some("shop.example")).await;
    assert_eq!(finding, passed("http: status 200"));
}

#[tokio::test]
async fn the_server_name_is_the_host_without_its_port_by_default() {
    let ca = Authority::new("our CA");
    let server =
        Server::start_tls(ca.acceptor(&params("shop.example")), response("200 OK", "")).await;
    let monitor = https(
        |check| check.host = Some("shop.example:8443".into()),
        trusting(ca.file.path(), None),
    );
    assert_eq!(
        run(&monitor, server.address).await,
        passed("http: status 200")
    );
}

#[tokio::test]
async fn without_any_name_the_certificate_must_be_for_the_address() {
    let finding = verified(&params("127.0.0.1"), None).await;
    assert_eq!(finding, passed("http: status 200"));
    let finding = verified(&params("127.0.0.2"), None).await;
    assert_eq!(finding, failed("tls: certificate not valid for 127.0.0.1"));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let finding = verified(&params("shop.example"), Some("bank.example")).await;
    let refused = failed("tls: certificate not valid for bank.example");
    assert_eq!(finding, refused);
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let mut expired = params("shop.example");
    expired.not_after = date_time_ymd(2020, 1, 1);
    let finding = verified(&expired, Some("shop.example")).await;
    assert_eq!(finding, failed("tls: certificate expired"));
}

#[tokio::test]
async fn a_certificate_from_the_future_is_refused() {
    let mut early = params("shop.example");
    early.not_before = date_time_ymd(4_000, 1, 1);
    let finding = verified(&early, Some("shop.example")).await;
    assert_eq!(finding, failed("tls: certificate not valid yet"));
}

#[tokio::test]
async fn a_self_signed_certificate_passes_only_without_verification() {
    let key = KeyPair::generate().unwrap();
    let certificate = params("shop.example").self_signed(&key).unwrap();
    let server = Server::start_tls(acceptor(&certificate, &key), response("200 OK", "")).await;

    let other_ca = Authority::new("our CA");
    let verifying = https(|_| {}, trusting(other_ca.file.path(), Some("shop.example")));
    assert_eq!(
        run(&verifying, server.address).await,
        failed("tls: certificate not signed by a trusted CA")
    );
    let finding = run(&https(|_| {}, NO_VERIFY), server.address).await;
    assert_eq!(finding, passed("http: status 200"));
}

#[tokio::test]
async fn without_verification_even_an_expired_certificate_for_another_name_passes() {
    let mut expired = params("bank.example");
    expired.not_after = date_time_ymd(2020, 1, 1);
    let server = Server::start_tls(
        Authority::new("our CA").acceptor(&expired),
        response("200 OK", ""),
    )
    .await;
    let finding = run(&https(|_| {}, NO_VERIFY), server.address).await;
    assert_eq!(finding, passed("http: status 200"));
}

#[tokio::test]
async fn every_probe_sees_the_certificate_anew() {
    // A resumed session would show none, and an expiry would stay unseen.
    let ca = Authority::new("our CA");
    let monitor = https(|_| {}, trusting(ca.file.path(), Some("shop.example")));
    let probe = Probe::new(&monitor).unwrap();
    let server =
        Server::start_tls(ca.acceptor(&params("shop.example")), response("200 OK", "")).await;
    for _ in 0..2 {
        assert_eq!(
            probe.run(server.address).await.finding,
            passed("http: status 200")
        );
    }
    assert_eq!(server.handshakes(), [HandshakeKind::Full; 2]);
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused() {
    let ca = Authority::new("our CA");
    let monitor = https(|_| {}, trusting(ca.file.path(), Some("shop.example")));
    for (ca, problem) in [
        ("another CA", "certificate not signed by a trusted CA"),
        (
            "our CA",
            "certificate signature does not fit the trusted CA of that name",
        ),
    ] {
        let strange = Authority::new(ca).acceptor(&params("shop.example"));
        let server = Server::start_tls(strange, response("200 OK", "")).await;
        assert_eq!(
            run(&monitor, server.address).await,
            failed(&format!("tls: {problem}"))
        );
    }
}

#[tokio::test]
async fn a_plain_http_server_is_not_tls() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let speaks_plain = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = server.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        // Held open until the client has read and gone.
        drop(stream.read_to_end(&mut Vec::new()).await);
    });
    let finding = run(&https(|_| {}, NO_VERIFY), address).await;
    assert_eq!(finding, failed("tls: answer is not TLS"));
    speaks_plain.await.unwrap();
}

#[tokio::test]
async fn a_handshake_that_never_ends_times_out_and_the_text_says_so() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut monitor = https(|_| {}, NO_VERIFY);
    monitor.timeout = Duration::from_millis(50);
    let finding = run(&monitor, silent.local_addr().unwrap()).await;
    assert_eq!(finding, failed("timeout after 50ms in tls handshake"));
}

#[tokio::test]
async fn body_patterns_work_over_tls() {
    let ca = Authority::new("our CA");
    let reply = Reply::Say(b"HTTP/1.1 200 OK\r\n\r\nall ready".to_vec());
    let server = Server::start_tls(ca.acceptor(&params("shop.example")), reply).await;
    let monitor = https(
        |check| check.body = Some(crate::model::BodyMatch::Text("ready".into())),
        trusting(ca.file.path(), Some("shop.example")),
    );
    assert_eq!(
        run(&monitor, server.address).await,
        passed("http: status 200, body as expected")
    );
}

#[test]
fn a_ca_file_that_will_not_do_is_told_when_the_monitor_is_made() {
    let error = |ca_file: &Path| {
        let monitor = https(|_| {}, trusting(ca_file, None));
        Probe::new(&monitor).unwrap_err().to_string()
    };
    let missing = error(Path::new("/no/such/ca.pem"));
    assert!(missing.contains("cannot read CA certificates from /no/such/ca.pem"));

    let file = NamedTempFile::new().unwrap();
    assert!(error(file.path()).contains("holds no certificate"));

    std::fs::write(
        file.path(),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    assert!(error(file.path()).contains("cannot be used as a CA"));

    std::fs::write(file.path(), "-----BEGIN CERTIFICATE-----\n*\n").unwrap();
    assert!(error(file.path()).contains("cannot read CA certificates"));
}

#[test]
fn a_server_name_that_is_no_name_is_told_when_the_monitor_is_made() {
    let bad_name = TlsVerify {
        sni: Some("not a name".into()),
        ..NO_VERIFY
    };
    let error = Probe::new(&https(|_| {}, bad_name)).unwrap_err();
    assert!(error.to_string().contains("`not a name`"), "{error}");
}

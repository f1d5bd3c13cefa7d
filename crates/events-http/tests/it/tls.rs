//! Endpoints whose certificates are not what they should be, and one that asks for ours.

use std::{
    error::Error,
    fmt::Write as _,
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use events_core::{Close, ErrorKind, Sink, SinkError, sink_fn};
use events_http::{Client, HttpSink, Json};
use events_queue::Queue;
use events_retry::Retry;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, Stream,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};

use crate::{
    formats::soon,
    receiver::{Receiver, answer},
    worlds,
};

/// Who vouches for certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate with its key.
struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        /// So that a certificate's issuer is told by its name, as usual.
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("authority {}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate, key }
    }

    fn pem(&self) -> String {
        self.certificate.pem()
    }
}

impl Identity {
    fn pem(&self) -> String {
        self.certificate.pem() + &self.key.serialize_pem()
    }

    fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        (vec![self.certificate.der().clone()], key)
    }
}

/// An endpoint with this certificate, which asks for one by `clients` if there are any. It takes
/// one request a connection.
fn endpoint(
    identity: &Identity,
    clients: Option<&Authority>,
) -> (Receiver, Arc<Mutex<Vec<Vec<u8>>>>) {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.certificate.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let (chain, key) = identity.der();
    let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
    let taken = Arc::<Mutex<Vec<_>>>::default();
    let journal = Arc::clone(&taken);
    let receiver = Receiver::raw(move |mut stream: TcpStream, _| {
        let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut tls = Stream::new(&mut connection, &mut stream);
        let mut request = Vec::new();
        while !request.ends_with(b"\"event\"") {
            let mut byte = [0];
            tls.read_exact(&mut byte)?;
            request.push(byte[0]);
        }
        journal.lock().unwrap().push(request);
        tls.write_all(&answer(200, "Connection: close\r\n", b""))?;
        tls.conn.send_close_notify();
        tls.flush()
    });
    (receiver, taken)
}

fn sink(receiver: &Receiver, client: &Client) -> HttpSink {
    let url = format!("https://localhost:{}/secret", receiver.address().port());
    HttpSink::builder(url).client(client).bearer_auth("secret").build().unwrap()
}

fn trusting(authority: &Authority) -> Client {
    Client::builder().only_root_certificates(authority.pem()).build().unwrap()
}

/// What an operator would read.
fn told(error: &SinkError) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(told, ": {error}").unwrap();
        cause = error.source();
    }
    assert!(!told.contains("secret") && !format!("{error:?}").contains("secret"), "{told}");
    told
}

#[test]
fn an_endpoint_whose_certificate_is_in_order_is_sent_to() {
    let authority = Authority::new();
    let (receiver, taken) = endpoint(&authority.issue("localhost", |_| {}), None);
    let client = trusting(&authority);
    for (number, write) in worlds::all::<Json>().into_iter().enumerate() {
        write(&sink(&receiver, &client), "event").unwrap();
        assert_eq!(taken.lock().unwrap().len(), number + 1);
    }
}

#[test]
fn trust_and_identity_change_with_their_files() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let (receiver, _taken) = endpoint(&authority.issue("localhost", |_| {}), Some(&clients));
    let dir = tempfile::tempdir().unwrap();
    let (roots, own) = (dir.path().join("roots.pem"), dir.path().join("own.pem"));
    std::fs::write(&roots, Authority::new().pem()).unwrap();
    std::fs::write(&own, Authority::new().issue("us", |_| {}).pem()).unwrap();
    let client = Client::builder()
        .only_root_certificates_file(&roots)
        .client_certificate_file(&own)
        .build()
        .unwrap();
    let sink = sink(&receiver, &client);
    let error = worlds::on_a_thread(&sink, "event").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    // Half of it is not enough, and what cannot be read changes nothing.
    std::fs::write(&own, "no certificate").unwrap();
    std::fs::write(&roots, authority.pem()).unwrap();
    std::fs::write(&own, clients.issue("us", |_| {}).pem()).unwrap();
    // The files are looked at once a second.
    while let Err(error) = worlds::on_a_thread(&sink, "event") {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
}

#[test]
fn a_file_that_is_not_there_is_refused() {
    let builder = Client::builder().root_certificates_file("/nowhere/roots.pem");
    let error = builder.build().unwrap_err().to_string();
    assert!(error.starts_with("root_certificates could not be read from /nowhere/roots.pem"));
}

#[test]
fn an_endpoint_whose_certificate_is_not_in_order_gets_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(4000, 1, 1);
    let cases = [
        (authority.issue("elsewhere.example", |_| {}), "not valid for name"),
        (authority.issue("localhost", expired), "certificate expired"),
        (authority.issue("localhost", early), "certificate not valid yet"),
        (other.issue("localhost", |_| {}), "UnknownIssuer"),
    ];
    for (identity, expected) in cases {
        let (receiver, taken) = endpoint(&identity, None);
        for write in worlds::all::<Json>() {
            let sink = sink(&receiver, &trusting(&authority));
            let error = write(&sink, "event").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            let told = told(&error);
            assert!(told.contains("invalid peer certificate") && told.contains(expected), "{told}");
            assert_eq!(sink.stats().unanswered, 1);
        }
        assert!(taken.lock().unwrap().is_empty());
    }
}

#[test]
fn the_systems_authorities_do_not_vouch_for_ours() {
    let authority = Authority::new();
    let (receiver, taken) = endpoint(&authority.issue("localhost", |_| {}), None);
    let client = Client::new().unwrap();
    let error = Sink::write(&sink(&receiver, &client), "event").unwrap_err();
    assert!(told(&error).contains("invalid peer certificate"));
    assert!(taken.lock().unwrap().is_empty());
    let client = Client::builder().root_certificates(authority.pem()).build().unwrap();
    Sink::write(&sink(&receiver, &client), "event").unwrap();
}

#[test]
fn an_endpoint_that_asks_who_we_are_takes_nothing_from_others() {
    let (servers, clients, other) = (Authority::new(), Authority::new(), Authority::new());
    let (receiver, taken) = endpoint(&servers.issue("localhost", |_| {}), Some(&clients));
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    let roots = || Client::builder().only_root_certificates(servers.pem());
    let showing = |identity: Identity| roots().client_certificate(identity.pem()).build().unwrap();
    let wrong = [
        roots().build().unwrap(),
        showing(other.issue("us", |_| {})),
        showing(clients.issue("us", expired)),
    ];
    for client in wrong {
        for write in worlds::all::<Json>() {
            let error = write(&sink(&receiver, &client), "event").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            told(&error);
        }
        assert!(taken.lock().unwrap().is_empty());
    }
    let client = showing(clients.issue("us", |_| {}));
    Sink::write(&sink(&receiver, &client), "event").unwrap();
    assert_eq!(taken.lock().unwrap().len(), 1);
}

#[test]
fn what_is_not_tls_is_no_endpoint() {
    let authority = Authority::new();
    let client = trusting(&authority);
    let plain = Receiver::raw(|mut stream, _| stream.write_all(&answer(200, "", b"secret")));
    let error = Sink::write(&sink(&plain, &client), "event").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    told(&error);
}

#[test]
fn a_queue_delivers_once_the_certificate_is_in_order() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (bad, taken_by_bad) = endpoint(&other.issue("localhost", |_| {}), None);
    let (receiver, taken) = endpoint(&authority.issue("localhost", |_| {}), None);
    let client = trusting(&authority);
    let [bad, good] = [&bad, &receiver].map(|receiver| sink(receiver, &client));
    // The first three attempts meet the wrong one.
    let attempts = AtomicUsize::new(0);
    let moving = sink_fn(move |event: &String| match attempts.fetch_add(1, Ordering::Relaxed) {
        0..3 => Sink::write(&bad, event),
        _ => Sink::write(&good, event),
    });
    let queue = Queue::spawn(Retry::new(moving, soon()));
    for _ in 0..3 {
        Sink::write(&queue, &"event".to_owned()).unwrap();
    }
    queue.close().wait().unwrap();
    assert_eq!(queue.stats().delivered, 3);
    assert_eq!((taken.lock().unwrap().len(), taken_by_bad.lock().unwrap().len()), (3, 0));
}

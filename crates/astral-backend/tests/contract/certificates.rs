//! A certificate for `127.0.0.1` that no machine trusts, made by openssl for one test.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

pub struct Certificates {
    directory: PathBuf,
}

impl Certificates {
    /// Of an authority (`TRUE`) or of a server (`FALSE`).
    pub fn made(is_authority: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("astral-tls-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let made = Self { directory };
        let key = made.key();
        let certificate = made.certificate();
        let constraints = format!("basicConstraints=critical,CA:{is_authority}");
        let arguments = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            &constraints,
            "-keyout",
            &key,
            "-out",
            &certificate,
        ];
        let ran = Command::new("openssl")
            .args(arguments)
            .output()
            .expect("openssl is there");
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        made
    }

    /// Flags of a Redis that takes TLS where it would else take plain text.
    pub fn of_redis(&self) -> Vec<String> {
        let files = [
            "--tls-cert-file".to_owned(),
            self.certificate(),
            "--tls-key-file".to_owned(),
            self.key(),
        ];
        let ports = [
            "--port",
            "0",
            "--tls-port",
            "{port}",
            "--tls-auth-clients",
            "no",
        ]
        .map(str::to_owned);
        [ports.to_vec(), files.to_vec()].concat()
    }

    /// Flags of a NATS server that takes TLS only.
    pub fn of_nats(&self) -> Vec<String> {
        [
            "--tls",
            "--tlscert",
            &self.certificate(),
            "--tlskey",
            &self.key(),
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn key(&self) -> String {
        self.directory.join("key.pem").display().to_string()
    }

    fn certificate(&self) -> String {
        self.directory.join("certificate.pem").display().to_string()
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

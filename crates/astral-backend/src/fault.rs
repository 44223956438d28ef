//! Why the bus or the state cannot be used: where it is, what is wrong there, and what to do about it.

use crate::observe::Outside;
use astral_proto::{Code, Problem};
use std::fmt::{self, Display, Formatter};

/// Longest text of somebody else that is repeated, in characters.
const FOREIGN_TEXT_MAX: usize = 200;

/// What is wrong with the bus or the state. It names the host and never a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {} at {place}: {cause}: {}", system.name(), Advice(*system, cause))]
pub(crate) struct Fault {
    pub(crate) system: Outside,
    /// Host and port, or several of them.
    pub(crate) place: String,
    pub(crate) cause: Cause,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Cause {
    #[error("its name is not found")]
    NameNotFound,
    #[error("it refuses the connection, nothing listens there")]
    Refused,
    #[error("there is no way to that address")]
    Unreachable,
    #[error("it does not answer")]
    Silent,
    #[error("it closed the connection")]
    Closed,
    #[error("what listens there speaks another protocol")]
    OtherProtocol,
    #[error("it does not speak TLS")]
    NotTls,
    #[error("its certificate is signed by an authority that is not known here")]
    UnknownAuthority,
    #[error("its certificate is one of an authority, not of a server")]
    IsAuthority,
    #[error("its certificate is for another name")]
    OtherName,
    #[error("its certificate is not valid at this time")]
    NotValidNow,
    #[error("the TLS handshake failed: {0}")]
    Tls(String),
    #[error("it refuses the user or the password")]
    Credentials,
    #[error("it wants a user or a password")]
    NoCredentials,
    #[error("it does not permit what this process needs: {0}")]
    NotPermitted(String),
    #[error("it takes no further connections")]
    TooManyConnections,
    #[error("it has no such database: {0}")]
    NoSuchDatabase(String),
    #[error("the sentinels know no such master")]
    NoSuchMaster,
    #[error("it is full and refuses writes: {0}")]
    Full(String),
    #[error("it is a replica and refuses writes")]
    ReadOnly,
    #[error("it cannot save to its disk and refuses writes")]
    CannotSave,
    #[error("it has too few replicas and refuses writes")]
    TooFewReplicas,
    #[error("it is loading its data")]
    Loading,
    #[error("its master is away")]
    MasterAway,
    #[error("the cluster is not complete: {0}")]
    ClusterDown(String),
    #[error("it is a member of a cluster")]
    IsCluster,
    #[error("a script runs there and lets nothing else run")]
    Busy,
    #[error("{0}")]
    Other(String),
}

impl Fault {
    /// As callers get it.
    pub(crate) fn problem(&self) -> Problem {
        let code = if self.cause == Cause::Silent {
            Code::Timeout
        } else {
            Code::ControlPlaneAway
        };
        Problem::new(code, self.to_string())
    }
}

impl Cause {
    /// Whether the server itself said so: it was reached, and turned this process away.
    pub(crate) fn is_answer(&self) -> bool {
        let is_of_network = matches!(
            self,
            Self::NameNotFound
                | Self::Refused
                | Self::Unreachable
                | Self::Silent
                | Self::Closed
                | Self::Loading
                | Self::Other(_)
        );
        !is_of_network
    }

    /// What the text of a failed connection means. The client of NATS keeps nothing but the text, and that of Redis wraps
    /// the same errors of the system and of rustls.
    pub(crate) fn of_connection(text: &str) -> Self {
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if says(&["Connection refused"]) {
            Self::Refused
        } else if says(&["failed to lookup", "DNS error", "no addresses resolved"]) {
            Self::NameNotFound
        } else if says(&["No route to host", "unreachable"]) {
            Self::Unreachable
        } else if says(&["timed out", "Timeout"]) {
            Self::Silent
        } else if let Some(cause) = Self::of_tls(text) {
            cause
        } else if says(&[
            "authorization violation",
            "authentication failed",
            "authentication expired",
        ]) {
            Self::Credentials
        } else if says(&[
            "maximum connections exceeded",
            "max number of clients reached",
        ]) {
            Self::TooManyConnections
        } else if says(&[
            "invalid server operation",
            "expected INFO, got Some",
            "expected INFO, got Error",
        ]) {
            Self::OtherProtocol
        } else if says(&[
            "got nothing",
            "broken pipe",
            "Broken pipe",
            "reset by peer",
            "unexpected end of file",
        ]) {
            Self::Closed
        } else {
            Self::Other(bounded(text))
        }
    }

    fn of_tls(text: &str) -> Option<Self> {
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if says(&["UnknownIssuer"]) {
            Some(Self::UnknownAuthority)
        } else if says(&["CaUsedAsEndEntity"]) {
            Some(Self::IsAuthority)
        } else if says(&["NotValidForName", "not valid for name"]) {
            Some(Self::OtherName)
        } else if says(&[
            "Expired",
            "NotValidYet",
            "certificate expired",
            "not valid yet",
        ]) {
            Some(Self::NotValidNow)
        } else if says(&["InvalidContentType", "corrupt message"]) {
            Some(Self::NotTls)
        } else if says(&[
            "invalid peer certificate",
            "fatal alert",
            "TLS error",
            "tls",
        ]) {
            Some(Self::Tls(bounded(text)))
        } else {
            None
        }
    }
}

/// `text` up to a limit, on one line.
pub(crate) fn bounded(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .take(FOREIGN_TEXT_MAX)
        .collect()
}

/// What to do about a cause.
struct Advice<'a>(Outside, &'a Cause);

impl Advice<'_> {
    /// The advice that is the same for every system and every setting.
    fn fixed(&self) -> Option<&'static str> {
        Some(match self.1 {
            Cause::UnknownAuthority => {
                "add its authority to those of this machine, or name a file of it in SSL_CERT_FILE"
            }
            Cause::IsAuthority => {
                "give it a certificate that is not one of an authority (CA:FALSE)"
            }
            Cause::NotValidNow => "renew the certificate, or set the clock of this machine",
            Cause::Tls(_) => "check the certificates at both ends",
            Cause::TooManyConnections => "raise its limit of connections",
            Cause::Full(_) => "raise maxmemory, or free memory there",
            Cause::CannotSave => "free its disk, or turn saving off: it need not keep anything",
            Cause::TooFewReplicas => "bring its replicas back, or lower min-replicas-to-write",
            Cause::Loading | Cause::Busy => "wait until it is done",
            Cause::ClusterDown(_) => "bring its missing members back",
            _ => return None,
        })
    }

    /// The advice that names the setting, or the kind of system.
    fn named(&self) -> String {
        let Self(system, cause) = self;
        let flag = system.flag();
        let kind = system.kind();
        match cause {
            Cause::NameNotFound => format!("check the host in {flag}, and the DNS of this machine"),
            Cause::Refused => format!("start {kind}, or check host and port in {flag}"),
            Cause::Unreachable => format!("check the host in {flag}, and the network"),
            Cause::Silent => format!(
                "check that it is {kind}, that it is not overloaded, and that no firewall stands between"
            ),
            Cause::Closed => format!(
                "check that it is {kind}, whether it wants TLS ({}), and whether its limit of connections is reached",
                system.tls()
            ),
            Cause::OtherProtocol => format!("check that {flag} names {kind}"),
            Cause::NotTls => format!(
                "leave TLS out of {flag} ({}), or turn it on there",
                system.plain()
            ),
            Cause::OtherName => format!("use a name in {flag} that the certificate has"),
            Cause::Credentials => format!("check the user and the password in {flag}"),
            Cause::NoCredentials => format!("put them into {flag}: USER:PASSWORD@HOST"),
            Cause::NotPermitted(_) => format!("grant it to the user in {flag}"),
            Cause::NoSuchDatabase(_) => format!("correct the number at the end of {flag}"),
            Cause::NoSuchMaster => format!("correct the name of the master in {flag}"),
            Cause::ReadOnly => format!("name the master in {flag}"),
            Cause::MasterAway => format!("name the master in {flag}, or bring it back"),
            Cause::IsCluster => format!("use redis+cluster:// in {flag}"),
            _ => format!("see what {kind} has logged"),
        }
    }
}

impl Display for Advice<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.fixed() {
            Some(advice) => formatter.write_str(advice),
            None => formatter.write_str(&self.named()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_where_what_and_what_to_do() {
        let fault = Fault {
            system: Outside::State,
            place: "redis:6379".into(),
            cause: Cause::Credentials,
        };
        assert_eq!(
            fault.to_string(),
            "the state at redis:6379: it refuses the user or the password: check the user and the password in --state-url"
        );
        assert_eq!(fault.problem().code, Code::ControlPlaneAway);
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_read_from_the_words_of_rustls() {
        use rustls::{CertificateError, Error};
        for (wrong, cause) in [
            (CertificateError::UnknownIssuer, Cause::UnknownAuthority),
            (CertificateError::NotValidForName, Cause::OtherName),
            (CertificateError::Expired, Cause::NotValidNow),
            (CertificateError::NotValidYet, Cause::NotValidNow),
        ] {
            let text = format!("IO error: {}", Error::InvalidCertificate(wrong));
            assert_eq!(Cause::of_connection(&text), cause, "{text}");
        }
        let revoked = Error::InvalidCertificate(CertificateError::Revoked).to_string();
        assert!(
            matches!(Cause::of_connection(&revoked), Cause::Tls(_)),
            "{revoked}"
        );
    }

    #[test]
    fn text_of_others_is_bounded_and_one_line() {
        let Cause::Other(text) = Cause::of_connection(&"x\n".repeat(1_000)) else {
            panic!("known")
        };
        assert_eq!(text.chars().count(), FOREIGN_TEXT_MAX);
        assert!(!text.contains('\n'));
    }
}

//! A provider checks the tickets that open its links by itself, so that links open while the
//! control plane is away.

use astral_proto::message::ServedTicket;
use astral_proto::ticket::{self, Claims};
use astral_proto::{Code, NodeId, Problem, Slug, TicketId, UnixMillis};
use astral_runtime::lock;
use ed25519_dalek::VerifyingKey;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;

/// Most revoked tickets that are remembered; the oldest is forgotten first. A ticket expires after
/// ten minutes at most.
const REVOKED_MAX: usize = 4096;

/// The tickets that a provider serves.
pub struct TicketCheck {
    node: NodeId,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    keys: Vec<VerifyingKey>,
    open: BTreeMap<TicketId, (Claims, CancellationToken)>,
    revoked: VecDeque<TicketId>,
}

/// An open link. Its ticket is free again when this is dropped.
pub struct OpenLink {
    check: Arc<TicketCheck>,
    /// The claims of its ticket.
    pub claims: Claims,
    /// Cancelled when the ticket is revoked.
    pub revoked: CancellationToken,
}

impl TicketCheck {
    /// The check of the provider `node`, which trusts no key yet.
    pub fn new(node: NodeId) -> Arc<Self> {
        Arc::new(Self {
            node,
            inner: Mutex::default(),
        })
    }

    /// Replaces the trusted keys. An empty list changes nothing.
    pub fn trust(&self, keys: &[String]) {
        let keys: Vec<_> = keys
            .iter()
            .filter_map(|key| ticket::decode_key(key))
            .collect();
        if !keys.is_empty() {
            self.lock().keys = keys;
        }
    }

    /// Opens a link to `slug` with `token` at `now`.
    ///
    /// # Errors
    /// `unauthenticated` for a bad or expired token, `forbidden` if it names another provider or stream or is
    /// revoked, `conflict` if its link is open already.
    pub fn open(
        self: &Arc<Self>,
        token: &str,
        slug: &Slug,
        now: UnixMillis,
    ) -> Result<OpenLink, Problem> {
        let mut inner = self.lock();
        let claims = ticket::verify(token, &inner.keys, now)?;
        if claims.provider != self.node || claims.slug != *slug {
            let named = format!(
                "the ticket is for stream {} from node {}",
                claims.slug, claims.provider
            );
            return Err(Problem::new(Code::Forbidden, named));
        }
        if inner.revoked.contains(&claims.id) {
            return Err(Problem::new(
                Code::Forbidden,
                format!("ticket {} is revoked", claims.id),
            ));
        }
        if inner.open.contains_key(&claims.id) {
            return Err(Problem::new(
                Code::Conflict,
                format!("ticket {} has an open link", claims.id),
            ));
        }
        let revoked = CancellationToken::new();
        inner
            .open
            .insert(claims.id, (claims.clone(), revoked.clone()));
        Ok(OpenLink {
            check: self.clone(),
            claims,
            revoked,
        })
    }

    /// Revokes a ticket: its open link is notified, and it opens no other.
    pub fn revoke(&self, id: TicketId) {
        let mut inner = self.lock();
        if !inner.revoked.contains(&id) {
            if inner.revoked.len() >= REVOKED_MAX {
                inner.revoked.pop_front();
            }
            inner.revoked.push_back(id);
        }
        if let Some((_, link)) = inner.open.get(&id) {
            link.cancel();
        }
    }

    /// The tickets whose links are open.
    pub fn serving(&self) -> Vec<ServedTicket> {
        self.lock()
            .open
            .values()
            .map(|(claims, _)| served(claims))
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

fn served(claims: &Claims) -> ServedTicket {
    let Claims {
        id,
        slug,
        subscriber,
        kbps,
        ..
    } = claims;
    ServedTicket {
        id: *id,
        slug: slug.clone(),
        subscriber: *subscriber,
        kbps: *kbps,
    }
}

impl Drop for OpenLink {
    fn drop(&mut self) {
        self.check.lock().open.remove(&self.claims.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use astral_proto::Kbps;
    use ed25519_dalek::SigningKey;

    /// Before the tickets of these tests expire.
    const IN_TIME: UnixMillis = UnixMillis::from_secs(50);

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[5; 32])
    }

    fn provider() -> Arc<TicketCheck> {
        let check = TicketCheck::new(NodeId::random());
        check.trust(&[ticket::encode_key(&key().verifying_key())]);
        check
    }

    fn token(provider: NodeId, slug: &str) -> (TicketId, String) {
        let id = TicketId::random();
        let subscriber = NodeId::random();
        let slug = slug.parse().unwrap();
        let claims = Claims {
            id,
            slug,
            provider,
            subscriber,
            standby: false,
            kbps: Kbps::new(1),
            expires_at: UnixMillis::from_secs(100),
        };
        (id, ticket::sign(&claims, &key()))
    }

    fn code(result: Result<OpenLink, Problem>) -> Option<Code> {
        result.err().map(|problem| problem.code)
    }

    #[test]
    fn a_ticket_opens_one_link_at_a_time_at_the_provider_it_names() {
        let check = provider();
        let demo = "demo".parse().unwrap();
        let (id, token) = token(check.node, "demo");
        let link = check.open(&token, &demo, IN_TIME).unwrap();
        assert_eq!(check.serving(), [served(&link.claims)]);
        assert_eq!(link.claims.id, id);
        assert_eq!(
            code(check.open(&token, &demo, IN_TIME)),
            Some(Code::Conflict)
        );
        drop(link);
        assert!(check.serving().is_empty());
        assert_eq!(code(check.open(&token, &demo, IN_TIME)), None);
    }

    #[test]
    fn foreign_expired_and_unsigned_tickets_open_nothing() {
        let check = provider();
        let demo = "demo".parse().unwrap();
        let foreign = token(NodeId::random(), "demo").1;
        let other_stream = token(check.node, "other").1;
        let good = token(check.node, "demo").1;
        assert_eq!(
            code(check.open(&foreign, &demo, IN_TIME)),
            Some(Code::Forbidden)
        );
        assert_eq!(
            code(check.open(&other_stream, &demo, IN_TIME)),
            Some(Code::Forbidden)
        );
        assert_eq!(
            code(check.open(&good, &demo, UnixMillis::from_secs(161))),
            Some(Code::Unauthenticated)
        );
        assert_eq!(
            code(check.open("x.y.z", &demo, IN_TIME)),
            Some(Code::Unauthenticated)
        );
        check.trust(&[]);
        assert_eq!(
            code(check.open(&good, &demo, IN_TIME)),
            None,
            "an empty list keeps the last keys"
        );
    }

    #[test]
    fn a_revoked_ticket_notifies_its_link_and_opens_no_other() {
        let check = provider();
        let demo = "demo".parse().unwrap();
        let (id, token) = token(check.node, "demo");
        let link = check.open(&token, &demo, IN_TIME).unwrap();
        check.revoke(id);
        assert!(link.revoked.is_cancelled());
        drop(link);
        assert_eq!(
            code(check.open(&token, &demo, IN_TIME)),
            Some(Code::Forbidden)
        );
    }
}

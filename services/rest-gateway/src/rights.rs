//! Authorization: the roles that an operation is open to, and who the caller is.

mod tokens;

use crate::error::Error;
use astral_proto::{NodeId, Secret};
use http::{HeaderMap, header};
pub(crate) use tokens::Tokens;
pub use tokens::TokensError;
use tokens::{Entry, Holder, TokenRole};
use tokio_util::sync::CancellationToken;

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Anyone,
    /// Callers with a token of one of these roles.
    Roles(&'static [TokenRole]),
}

pub(crate) const ANYONE: Who = Who::Anyone;
/// Callers who look at the network.
pub(crate) const READERS: Who = Who::Roles(&[TokenRole::Admin, TokenRole::Read]);
/// Callers who look at the network, and nodes, which look up their place in it.
pub(crate) const MEMBERS: Who = Who::Roles(&[TokenRole::Admin, TokenRole::Read, TokenRole::Node]);
/// Nodes, each of which acts for itself.
pub(crate) const NODES: Who = Who::Roles(&[TokenRole::Admin, TokenRole::Node]);
/// Operators of the network.
pub(crate) const ADMINS: Who = Who::Roles(&[TokenRole::Admin]);

impl Who {
    /// The names of the roles, empty if no token is needed.
    pub(crate) fn roles(self) -> Vec<&'static str> {
        match self {
            Who::Anyone => Vec::new(),
            Who::Roles(roles) => roles.iter().map(|role| role.as_str()).collect(),
        }
    }
}

/// Who makes a request.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Unknown, because the operation or the whole gateway is open.
    Anyone,
    /// The holder of a token.
    Holder(Holder),
}

impl Caller {
    /// Refuses a node that acts for another node.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn may_act_for(&self, node: Option<NodeId>) -> Result<(), Error> {
        match (self, node) {
            (
                Caller::Holder(Holder {
                    entry:
                        Entry {
                            name,
                            node: Some(own),
                            ..
                        },
                    ..
                }),
                Some(node),
            ) if *own != node => Err(Error::OtherNode {
                token: name.clone(),
                own: *own,
                node,
            }),
            _ => Ok(()),
        }
    }
}

impl Caller {
    /// The name of the caller's token, for the log. None if the caller is unknown.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Caller::Anyone => None,
            Caller::Holder(holder) => Some(&holder.entry.name),
        }
    }

    /// Cancelled when the caller loses the right to do what it was allowed to do.
    pub(crate) fn revoked(&self) -> CancellationToken {
        match self {
            Caller::Anyone => CancellationToken::new(),
            Caller::Holder(holder) => holder.revoked.clone(),
        }
    }
}

/// Returns who the caller is. Without `tokens`, everybody may do everything.
pub(crate) fn caller(
    tokens: Option<&Tokens>,
    who: Who,
    headers: &HeaderMap,
) -> Result<Caller, Error> {
    let (Some(tokens), Who::Roles(roles)) = (tokens, who) else {
        return Ok(Caller::Anyone);
    };
    let token = bearer(headers).ok_or(Error::NoToken)?;
    let holder = tokens.find(&token).ok_or(Error::UnknownToken)?;
    let entry = &holder.entry;
    if !roles.contains(&entry.role) {
        return Err(Error::WrongRole {
            token: entry.name.clone(),
            role: entry.role.as_str(),
            wanted: who.roles().join(" or "),
        });
    }
    Ok(Caller::Holder(holder))
}

/// Refuses a request that a browser sends for a page of another origin.
///
/// # Errors
/// `forbidden`.
pub(crate) fn check_origin(headers: &HeaderMap) -> Result<(), Error> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text("host").unwrap_or_default();
    match text("origin").map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host)) {
        Some(origin) if origin != host => Err(Error::OtherOrigin {
            origin: origin.to_owned(),
            host: host.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| Secret::from(token.trim()))
}

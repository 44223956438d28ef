//! Who may do what: the roles an operation is open to, and who a caller is.

mod tokens;

use crate::problem::Refusal;
use astral_proto::{Code, NodeId, Problem, Secret};
use http::{HeaderMap, header};
pub(crate) use tokens::Tokens;
pub use tokens::TokensError;
use tokens::{Entry, Holder, TokenRole};
use tokio_util::sync::CancellationToken;

/// To whom an operation is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Anyone,
    /// Whoever has a token of one of these roles.
    Roles(&'static [TokenRole]),
}

pub(crate) const ANYONE: Who = Who::Anyone;
/// Whoever looks at the network.
pub(crate) const READERS: Who = Who::Roles(&[TokenRole::Admin, TokenRole::Read]);
/// Whoever looks at the network, and nodes, which find their place in it.
pub(crate) const MEMBERS: Who = Who::Roles(&[TokenRole::Admin, TokenRole::Read, TokenRole::Node]);
/// Nodes, each for itself.
pub(crate) const NODES: Who = Who::Roles(&[TokenRole::Admin, TokenRole::Node]);
/// Whoever runs the network.
pub(crate) const ADMINS: Who = Who::Roles(&[TokenRole::Admin]);

impl Who {
    /// The names of the roles; none where no token is asked for.
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
    /// Not asked: the operation or the whole gateway is open.
    Anyone,
    /// The holder of a token.
    Holder(Holder),
}

impl Caller {
    /// Refuses a node that speaks for another.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn may_act_for(&self, node: Option<NodeId>) -> Result<(), Problem> {
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
            ) if *own != node => {
                let detail = format!("token {name:?} acts for node {own} alone, not for {node}");
                Err(Problem::new(Code::Forbidden, detail))
            }
            _ => Ok(()),
        }
    }
}

impl Caller {
    /// The name of the caller's token, for the log; none where nobody is asked.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Caller::Anyone => None,
            Caller::Holder(holder) => Some(&holder.entry.name),
        }
    }

    /// Cancelled once the caller may no longer do what it was let do.
    pub(crate) fn revoked(&self) -> CancellationToken {
        match self {
            Caller::Anyone => CancellationToken::new(),
            Caller::Holder(holder) => holder.revoked.clone(),
        }
    }
}

/// Says who a caller is; without `tokens` nobody is asked.
pub(crate) fn caller(
    tokens: Option<&Tokens>,
    who: Who,
    headers: &HeaderMap,
) -> Result<Caller, Refusal> {
    let (Some(tokens), Who::Roles(roles)) = (tokens, who) else {
        return Ok(Caller::Anyone);
    };
    let token = bearer(headers).ok_or_else(|| {
        Problem::new(
            Code::Unauthenticated,
            "this takes a token: send Authorization: Bearer TOKEN",
        )
    })?;
    let holder = tokens.find(&token).ok_or_else(|| {
        Problem::new(Code::Unauthenticated, "the bearer token is not a known one")
    })?;
    let entry = &holder.entry;
    if !roles.contains(&entry.role) {
        let name = &entry.name;
        let role = entry.role.as_str();
        let wanted = who.roles().join(" or ");
        let detail = format!("token {name:?} has the role {role}, this takes {wanted}");
        return Err(Problem::new(Code::Forbidden, detail).into());
    }
    Ok(Caller::Holder(holder))
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

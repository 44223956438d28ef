//! How a relay stands with the control plane.

use astral_proto::model::Role;
use astral_proto::{NodeId, Problem};

/// How a relay stands with the control plane, by its last answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembershipStatus {
    /// Whether the relay has ever registered.
    pub registered: bool,
    /// The role that it was given; None before it has registered.
    pub role: Option<Role>,
    /// The supernode that it is attached to.
    pub primary_supernode: Option<NodeId>,
    /// Why the last message to the control plane failed; None if it did not.
    pub problem: Option<Problem>,
}

impl MembershipStatus {
    /// Whether the control plane answers, even if it refuses.
    pub fn control_plane_up(&self) -> bool {
        self.problem
            .as_ref()
            .is_none_or(|problem| !problem.code.may_retry())
    }

    /// The status in words, for a line of `/readyz`: `up`, `up` and why the node is refused, or
    /// `away` and why.
    pub fn in_words(&self) -> String {
        let is = if self.control_plane_up() {
            "up"
        } else {
            "away"
        };
        match &self.problem {
            None => is.to_owned(),
            Some(problem) => format!("{is}: {problem}"),
        }
    }
}

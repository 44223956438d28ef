//! Text that must not appear in logs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Deref;

/// A publish key, a signed ticket, a token, or a URL with a password. It cannot be printed by accident: it has no
/// `Display`, and its `Debug` hides the text. In JSON it is an ordinary string.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

impl Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;
    use crate::TicketId;
    use crate::message::{CreateStream, GoLive, Offer};

    #[test]
    fn a_secret_is_a_string_on_the_wire_and_nothing_in_a_log() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(&*secret, "hunter2");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"hunter2\"");
        assert_eq!(format!("{secret:?}"), "[secret]");
    }

    #[test]
    fn messages_that_carry_secrets_do_not_show_them() {
        let slug: crate::Slug = "demo".parse().unwrap();
        let text = r#"{"slug":"demo","key":"hunter2","node":"00000000-0000-0000-0000-000000000007","newest":null,"newest_dts":null}"#;
        let go_live: GoLive = serde_json::from_str(text).unwrap();
        let create = CreateStream {
            slug,
            key: Some("hunter2".into()),
        };
        let token = "hunter2".into();
        let offer = Offer {
            id: TicketId::random(),
            provider: NodeId::random(),
            advertise: "a:1".into(),
            token,
        };
        let shown = format!("{go_live:?} {create:?} {offer:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

//! Why a subscriber leaves its provider.

/// Declares the enum together with the list of its values, so that no value can be missing from the
/// list.
macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// Why a subscriber leaves its provider. The labels are those of the metrics in
        /// `docs/metrics.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FailoverCause {
            $($(#[$doc])* $name,)*
        }

        impl FailoverCause {
            /// Every cause there is.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The cause as it stands in metrics, logs and traces.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }
    };
}

causes! {
    /// The link closed without an `ended` record.
    Closed = "closed",
    /// No record of any kind arrived for 500 ms.
    Silent = "silent",
    /// No connection could be made.
    Unreachable = "unreachable",
    /// The provider has reported for 1 s that its own upstream is lost.
    UpstreamLost = "upstream_lost",
    /// The provider sent bytes that are no record.
    Malformed = "malformed",
    /// The provider left frames out.
    MissingFrames = "missing_frames",
    /// The provider's path leads through this relay.
    Loop = "loop",
    /// The provider's path has more hops than are allowed.
    TooFar = "too_far",
    /// The broker no longer knows the ticket.
    TicketLost = "ticket_lost",
    /// The provider has no room.
    Full = "full",
    /// The provider refused the link.
    Refused = "refused",
    /// The provider no longer holds the frame that is due.
    Gone = "gone",
    /// The provider did not catch up in the time that a move may take.
    Behind = "behind",
    /// A drill has cut this relay off.
    Drill = "drill",
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_cause_has_a_label_of_its_own() {
        let labels: HashSet<_> = FailoverCause::ALL
            .iter()
            .map(|cause| cause.as_str())
            .collect();
        assert_eq!(labels.len(), FailoverCause::ALL.len());
    }

    /// The first cells of the table under `| cause |` on a page of the documentation.
    fn documented(page: &str) -> Vec<String> {
        let path = format!("{}/../../docs/{page}", env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(path).unwrap();
        let table = page
            .lines()
            .skip_while(|line| !line.starts_with("| cause |"));
        let rows = table.skip(2).take_while(|line| line.starts_with('|'));
        let cells = rows.filter_map(|row| row.split('|').nth(1));
        let labels = cells.flat_map(|cell| cell.split(','));
        labels
            .map(|label| label.trim_matches([' ', '`']).to_owned())
            .collect()
    }

    #[test]
    fn the_page_on_metrics_lists_every_cause_in_order_and_the_page_on_links_knows_no_other() {
        let all: Vec<_> = FailoverCause::ALL
            .iter()
            .map(|cause| cause.as_str())
            .collect();
        assert_eq!(documented("metrics.md"), all);
        let of_links = documented("relay-link.md");
        assert!(of_links.len() > 5, "{of_links:?}");
        assert!(
            of_links.iter().all(|label| all.contains(&label.as_str())),
            "{of_links:?}"
        );
    }
}

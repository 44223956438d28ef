//! Whether the asker's primary supernode should fetch the stream before the asker receives a
//! ticket.

use super::{Asker, SPARE_SHARE_MAX, ticket_kbps, why_unfit};
use crate::carrier::{Carrier, Carriers, receives_through};
use astral_proto::NodeId;
use astral_proto::model::Role;

/// Returns the supernode that should fetch the stream before `asker` receives a ticket: its primary
/// supernode. None in these cases:
///
/// - The asker has no primary supernode, rejects it, or is a supernode.
/// - The primary supernode already carries the stream.
/// - It could fetch the stream only from the asker or from relays below the asker.
/// - The best relay to fetch from is another supernode with room to spare. The asker is then nearer
///   to the origin if it pulls from that supernode itself.
pub fn supernode_to_fetch(asker: &Asker, carriers: &Carriers) -> Option<NodeId> {
    let primary = asker
        .primary
        .filter(|primary| *primary != asker.node && !asker.exclude.contains(primary))?;
    let carries = carriers
        .get(&primary)
        .is_some_and(|carrier| carrier.carried.is_some());
    let has_source = carriers.values().any(|carrier| {
        carrier.carried.is_some()
            && carrier.node.uuid != asker.node
            && !receives_through(carriers, carrier, asker.node)
    });
    let is_wanted = asker.role != Role::Supernode && !carries && has_source;
    (is_wanted && !another_is_as_near(asker, carriers)).then_some(primary)
}

/// Whether a supernode with room to spare is as near to the origin as the nearest relay from which
/// the primary supernode could fetch. The origin itself does not count as such a supernode.
fn another_is_as_near(asker: &Asker, carriers: &Carriers) -> bool {
    let with_spare_room = sources_with_room(asker, carriers)
        .filter(|carrier| !carrier.is_origin() && carrier.load_permille() <= SPARE_SHARE_MAX)
        .map(Carrier::hops)
        .min();
    // After a fetch, the primary supernode would be one hop below the nearest source, and the asker
    // two hops. If that source is a supernode with spare room, the asker can be one hop below it.
    with_spare_room
        .zip(nearest_source_hops(asker, carriers))
        .is_some_and(|(spare, source)| spare <= source)
}

/// Returns the hops from the origin to the nearest relay from which a supernode could fetch the
/// stream. None if there is no such relay.
pub fn nearest_source_hops(asker: &Asker, carriers: &Carriers) -> Option<u32> {
    sources_with_room(asker, carriers).map(Carrier::hops).min()
}

/// The origin and the supernodes that carry the stream and have room.
fn sources_with_room<'a>(
    asker: &Asker,
    carriers: &'a Carriers,
) -> impl Iterator<Item = &'a Carrier> {
    let may_feed = |carrier: &&Carrier| {
        let is_source = carrier.is_origin() || carrier.node.role == Role::Supernode;
        let has_room = !carrier.is_full_with(ticket_kbps(carriers, carrier));
        is_source && has_room && why_unfit(asker, carriers, carrier).is_none()
    };
    carriers
        .values()
        .map(AsRef::as_ref)
        .filter(|carrier: &&Carrier| carrier.carried.is_some())
        .filter(may_feed)
}

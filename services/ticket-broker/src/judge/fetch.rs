//! Whether the asker's primary supernode should fetch the stream before the asker receives a
//! ticket.

use super::{Asker, SPARE_SHARE_MAX, ticket_kbps, why_unfit};
use crate::carrier::{Carrier, Carriers, receives_through};
use astral_proto::NodeId;
use astral_proto::model::Role;

/// The supernode that should fetch the stream for `asker` first. None if it has the stream already,
/// if there is nobody to fetch it from but the asker and the relays below it, or if another
/// supernode with room to spare is at least as close to the origin as this one would be.
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

/// Whether a supernode with room to spare carries the stream already, as close to the origin as a
/// supernode that fetches it now would be, or closer.
fn another_is_as_near(asker: &Asker, carriers: &Carriers) -> bool {
    let with_spare_room = sources_with_room(asker, carriers)
        .filter(|carrier| !carrier.is_origin() && carrier.load_permille() <= SPARE_SHARE_MAX)
        .map(Carrier::hops)
        .min();
    // A supernode that fetches from the nearest source is one hop below it, so the source itself is
    // nearer or as near.
    with_spare_room
        .zip(nearest_source_hops(asker, carriers))
        .is_some_and(|(spare, source)| spare <= source)
}

/// How many hops from the origin the nearest relay is that a supernode could fetch the stream from.
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

//! A supernode fetches a stream, so that its children can pull it there.

use crate::broker::Broker;
use crate::carrier::Carrier;
use crate::error::Error;
use astral_proto::message::Fetch;
use astral_proto::{NodeId, Slug};
use std::time::Duration;

/// How long the broker waits for a supernode that fetches a stream.
const FETCHED_WITHIN: Duration = Duration::from_secs(4);

/// Makes a supernode fetch a stream, and returns how the supernode carries it afterwards.
///
/// # Errors
/// [`Error::UnknownSupernode`], [`Error::TooManyFetches`], [`Error::FetchedOther`]; those of the
/// supernode and the state.
pub async fn fetch(broker: &Broker, supernode: NodeId, slug: &Slug) -> Result<Carrier, Error> {
    let relay = broker.store.relays.get(supernode).await?;
    let relay = relay.ok_or(Error::UnknownSupernode(supernode))?;
    let _permit = broker
        .fetches
        .try_acquire()
        .map_err(|_| Error::TooManyFetches)?;
    let fetch = Fetch { slug: slug.clone() };
    let fetched = broker
        .bus
        .request_node(supernode, &fetch, FETCHED_WITHIN)
        .await?;
    if fetched.carried.slug != *slug {
        return Err(Error::FetchedOther(fetched.carried.slug));
    }
    let carriers = &broker.store.carriers;
    carriers.put_answer(relay.node, fetched.carried).await
}

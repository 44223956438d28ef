//! Which messages of the bus become events.

use super::Events;
use super::places::Places;
use astral_backend::Bus;
use astral_chassis::Context;
use astral_proto::Problem;
use astral_proto::message::{Heartbeat, NodeChanged, NodeGone, StreamChanged, event};
use astral_proto::model::Stream;
use astral_proto::rest::Happening;
use astral_runtime::lock;
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Time between two checks whether the bus is connected.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Turns messages of `bus` into events until `context` stops. A new subject is one more line here.
///
/// # Errors
/// Those of the bus.
pub(crate) async fn follow(
    events: &Arc<Events>,
    bus: &Bus,
    context: &Context,
) -> Result<(), Problem> {
    let tell = Telling {
        events,
        bus,
        context,
    };
    tell.on(event::STREAM_CREATED, |told| {
        stream(told, |stream| Happening::StreamCreated { stream })
    })
    .await?;
    tell.on(event::STREAM_CHANGED, |told| {
        stream(told, |stream| Happening::StreamChanged { stream })
    })
    .await?;
    tell.on(event::STREAM_GONE, |told: StreamChanged| {
        Some(Happening::StreamGone { slug: told.slug })
    })
    .await?;
    tell.on(event::NODE_CREATED, |told: NodeChanged| {
        Some(Happening::NodeCreated { node: told.node })
    })
    .await?;
    tell.on(event::NODE_CHANGED, |told: NodeChanged| {
        Some(Happening::NodeChanged { node: told.node })
    })
    .await?;
    tell.on(event::TICKET_CREATED, |ticket| {
        Some(Happening::TicketCreated { ticket })
    })
    .await?;
    tell.on(event::TICKET_CHANGED, |ticket| {
        Some(Happening::TicketChanged { ticket })
    })
    .await?;
    tell.on(event::TICKET_GONE, |ticket| {
        Some(Happening::TicketGone { ticket })
    })
    .await?;
    let places = Arc::new(Mutex::new(Places::default()));
    let here = places.clone();
    tell.on(event::NODE_HEARTBEAT, move |said: Heartbeat| {
        lock(&here).hear(&said)
    })
    .await?;
    tell.on(event::NODE_GONE, move |gone: NodeGone| {
        lock(&places).forget(gone.node);
        Some(Happening::NodeGone { uuid: gone.node })
    })
    .await?;
    context.spawn(
        "bus watch",
        watch(events.clone(), bus.clone(), context.clone()),
    );
    Ok(())
}

fn stream(told: StreamChanged, what: impl Fn(Stream) -> Happening) -> Option<Happening> {
    told.stream.map(what)
}

struct Telling<'a> {
    events: &'a Arc<Events>,
    bus: &'a Bus,
    context: &'a Context,
}

impl Telling<'_> {
    /// Publishes what `read` makes of the messages on `subject`, and reports gaps in their
    /// sequence.
    async fn on<T, F>(&self, subject: &'static str, mut read: F) -> Result<(), Problem>
    where
        T: DeserializeOwned + Send + 'static,
        F: FnMut(T) -> Option<Happening> + Send + 'static,
    {
        let mut subscription = self.bus.subscribe::<T>(subject, None).await?;
        let events = self.events.clone();
        let stopping = self.context.scope.stopping.clone();
        self.context.spawn(subject, async move {
            let mut lost = 0;
            while let Some(Some(told)) = stopping.run_until_cancelled(subscription.next()).await {
                if subscription.lost() != lost {
                    lost = subscription.lost();
                    events.tell(Happening::Missed);
                }
                if let Some(what) = read(told) {
                    events.tell(what);
                }
            }
        });
        Ok(())
    }
}

/// Reports missed events after the bus was away: its messages in that time are lost.
async fn watch(events: Arc<Events>, bus: Bus, context: Context) {
    let mut was_there = true;
    let pause = || tokio::time::sleep(LOOK_INTERVAL);
    while context
        .scope
        .stopping
        .run_until_cancelled(pause())
        .await
        .is_some()
    {
        let is_there = bus.is_connected();
        if is_there && !was_there {
            events.tell(Happening::Missed);
        }
        was_there = is_there;
    }
}

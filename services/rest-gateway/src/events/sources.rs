//! Which events of the bus are told on, and as what.

use super::Events;
use super::places::Places;
use astral_backend::Bus;
use astral_chassis::Context;
use astral_proto::Problem;
use astral_proto::message::{Heartbeat, NodeGone, StreamChanged, event};
use astral_proto::rest::Happening;
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Between two looks at whether the bus is there.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Tells on what `bus` tells, until `context` stops. A further subject is one line.
///
/// # Errors
/// Those of the bus.
pub(crate) async fn follow(events: &Arc<Events>, bus: &Bus, context: &Context) -> Result<(), Problem> {
    let tell = Telling { events, bus, context };
    let places = Arc::new(Mutex::new(Places::default()));
    let here = places.clone();
    tell.on(event::STREAM_CREATED, |told| stream(told, |stream| Happening::StreamCreated { stream })).await?;
    tell.on(event::STREAM_CHANGED, |told| stream(told, |stream| Happening::StreamChanged { stream })).await?;
    tell.on(event::STREAM_GONE, |told: StreamChanged| vec![Happening::StreamGone { slug: told.slug }])
        .await?;
    tell.on(event::NODE_HEARTBEAT, move |said: Heartbeat| with(&here, |places| places.hear(&said))).await?;
    tell.on(event::NODE_GONE, move |gone: NodeGone| with(&places, |places| places.gone(gone.node))).await?;
    context.spawn("bus watch", watch(events.clone(), bus.clone(), context.clone()));
    Ok(())
}

fn stream(told: StreamChanged, what: impl Fn(astral_proto::model::Stream) -> Happening) -> Vec<Happening> {
    told.stream.into_iter().map(what).collect()
}

fn with(places: &Mutex<Places>, hear: impl FnOnce(&mut Places) -> Vec<Happening>) -> Vec<Happening> {
    hear(&mut places.lock().unwrap_or_else(PoisonError::into_inner))
}

struct Telling<'a> {
    events: &'a Arc<Events>,
    bus: &'a Bus,
    context: &'a Context,
}

impl Telling<'_> {
    /// Tells what `read` makes of the events on `subject`; and that some were missed, where they were.
    async fn on<T, F>(&self, subject: &'static str, mut read: F) -> Result<(), Problem>
    where
        T: DeserializeOwned + Send + 'static,
        F: FnMut(T) -> Vec<Happening> + Send + 'static,
    {
        let mut subscription = self.bus.subscribe::<T>(subject, None).await?;
        let (events, stopping) = (self.events.clone(), self.context.stopping.clone());
        self.context.spawn(subject, async move {
            let mut lost = 0;
            while let Some(Some(told)) = stopping.run_until_cancelled(subscription.next()).await {
                if subscription.lost() != lost {
                    lost = subscription.lost();
                    events.tell(Happening::Missed);
                }
                read(told).into_iter().for_each(|what| events.tell(what));
            }
        });
        Ok(())
    }
}

/// Tells that events were missed once the bus is back: what it told meanwhile is gone.
async fn watch(events: Arc<Events>, bus: Bus, context: Context) {
    let mut was_there = true;
    let pause = || tokio::time::sleep(LOOK_INTERVAL);
    while context.stopping.run_until_cancelled(pause()).await.is_some() {
        let is_there = bus.is_connected();
        if is_there && !was_there {
            events.tell(Happening::Missed);
        }
        was_there = is_there;
    }
}

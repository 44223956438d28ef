//! What the control services ask of a relay of the model.

use crate::relay::ModelRelay;
use astral_proto::message::{Fetch, Fetched, Move, NodeRequest, Probe, Probed, Revoke};
use astral_proto::{Code, Problem};
use astral_runtime::TaskScope;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

/// How long a relay waits for a stream that it is to fetch.
const FETCHED_WITHIN: Duration = Duration::from_secs(4);
/// Between two looks at whether it is there.
const LOOK: Duration = Duration::from_millis(50);

impl ModelRelay {
    pub(crate) async fn answer_requests(&self) {
        self.answer(|relay, _: Probe| async move { Ok(relay.probed()) })
            .await;
        self.answer(|relay, _: Fetch| async move { relay.fetched().await })
            .await;
        self.answer(|relay, told: Move| async move {
            relay.replace(&told.replaced);
            Ok(())
        })
        .await;
        self.answer(|relay, told: Revoke| async move {
            relay.network.links.revoke(relay.profile.node, told.id);
            Ok(())
        })
        .await;
    }

    async fn answer<R, F, Fut>(&self, handler: F)
    where
        R: NodeRequest,
        F: Fn(Self, R) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R::Reply, Problem>> + Send + 'static,
    {
        let serving = TaskScope {
            stopping: self.state.stopping.clone(),
            tasks: TaskTracker::new(),
        };
        let relay = self.clone();
        self.network
            .bus
            .serve_node(self.profile.node, &serving, move |request| {
                handler(relay.clone(), request)
            })
            .await
            .expect("the bus within the process takes all");
    }

    fn probed(&self) -> Probed {
        let carried = self.carried();
        let origin = carried.as_ref().and_then(|carried| carried.origin);
        Probed {
            publisher_silent_ms: origin.map(|origin| origin.silent_ms),
            carried,
            process: self.process,
        }
    }

    async fn fetched(&self) -> Result<Fetched, Problem> {
        self.want();
        let waiting = async {
            loop {
                if let Some(carried) = self.carried() {
                    return Fetched { carried };
                }
                sleep(LOOK).await;
            }
        };
        let absent = |_| Problem::new(Code::Unavailable, "the stream did not come");
        tokio::time::timeout(FETCHED_WITHIN, waiting)
            .await
            .map_err(absent)
    }
}

//! How a service answers requests from the bus.

use astral_backend::{Asked, Bus};
use astral_proto::Problem;
use astral_proto::message::Request;
use astral_runtime::TaskScope;

/// Answers requests as one replica of a service, until its scope stops.
pub struct RequestServer<'a, S> {
    /// What the handlers are called on.
    pub service: &'a S,
    /// The name of the service on the bus. Each request goes to one of its replicas.
    pub name: &'static str,
    /// Where requests arrive.
    pub bus: &'a Bus,
    /// How long to answer, and where the tasks are tracked.
    pub scope: &'a TaskScope,
    /// Called with each problem that a handler answers with.
    pub on_problem: fn(&S, &Problem),
}

impl<S: Clone + Send + Sync + 'static> RequestServer<'_, S> {
    /// Answers requests of type `R` with `handle`.
    ///
    /// # Errors
    /// The bus does not accept the subscription.
    pub async fn answer<R, E, Fut>(&self, handle: fn(S, R) -> Fut) -> Result<(), Problem>
    where
        R: Request,
        E: Into<Problem> + Send + 'static,
        Fut: Future<Output = Result<R::Reply, E>> + Send + 'static,
    {
        let service = self.service.clone();
        let on_problem = self.on_problem;
        let handle = move |request| {
            let handled = handle(service.clone(), request);
            report(handled, service.clone(), on_problem)
        };
        self.bus.serve(self.name, self.scope, handle).await
    }

    /// As [`Self::answer`], for requests that another replica may have handled before. `handle` is
    /// told so.
    ///
    /// # Errors
    /// The bus does not accept the subscription.
    pub async fn answer_repeatable<R, E, Fut>(
        &self,
        handle: fn(S, R, Asked) -> Fut,
    ) -> Result<(), Problem>
    where
        R: Request,
        E: Into<Problem> + Send + 'static,
        Fut: Future<Output = Result<R::Reply, E>> + Send + 'static,
    {
        let service = self.service.clone();
        let on_problem = self.on_problem;
        let handle = move |request, asked| {
            let handled = handle(service.clone(), request, asked);
            report(handled, service.clone(), on_problem)
        };
        self.bus
            .serve_repeatable(self.name, self.scope, handle)
            .await
    }
}

async fn report<S, T, E: Into<Problem>>(
    handled: impl Future<Output = Result<T, E>>,
    service: S,
    on_problem: fn(&S, &Problem),
) -> Result<T, Problem> {
    handled
        .await
        .map_err(Into::into)
        .inspect_err(|problem| on_problem(&service, problem))
}

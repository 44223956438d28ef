//! NATS's own service discovery (ADR-32), by which `nats micro ls`, `info` and `stats` show what is served.

use super::{Link, ReplyTo};
use crate::bus::meter::Meter;
use astral_proto::Problem;
use astral_runtime::{TaskScope, lock};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The services of one process, by their group.
#[derive(Default)]
pub(super) struct Services(Mutex<HashMap<String, Arc<Service>>>);

/// One group, as this process serves it.
struct Service {
    name: String,
    id: String,
    started: String,
    endpoints: Mutex<Vec<(&'static str, Arc<Meter>)>>,
}

impl Link {
    /// Shows that this process serves `subject` as a member of `group`, until `context` stops.
    pub(in crate::bus) async fn announce(
        &self,
        group: &str,
        subject: &'static str,
        meter: Arc<Meter>,
        context: &TaskScope,
    ) -> Result<(), Problem> {
        if let Some(new) = self.services.add(group, subject, meter) {
            let name = format!("$SRV.*.{group}");
            for pattern in ["$SRV.*", &name, &format!("{name}.{}", new.id)] {
                let asked = self.subscriber(pattern, None).await?;
                let answering = answer(asked, self.client.clone(), Arc::clone(&new));
                let stopping = context.stopping.clone();
                context
                    .tasks
                    .spawn(async move { stopping.run_until_cancelled(answering).await });
            }
        }
        Ok(())
    }
}

impl Services {
    /// Adds an endpoint; gives the service if it is its first.
    fn add(&self, group: &str, subject: &'static str, meter: Arc<Meter>) -> Option<Arc<Service>> {
        let mut services = lock(&self.0);
        let known = services.get(group).cloned();
        let service = known
            .clone()
            .unwrap_or_else(|| Arc::new(Service::new(group)));
        lock(&service.endpoints).push((subject, meter));
        services.insert(group.to_owned(), Arc::clone(&service));
        known.is_none().then_some(service)
    }
}

async fn answer(
    mut asked: async_nats::Subscriber,
    client: async_nats::Client,
    service: Arc<Service>,
) {
    while let Some(message) = asked.next().await {
        let answer = message
            .subject
            .split('.')
            .nth(1)
            .and_then(|verb| service.answer(verb));
        if let (Some(answer), Some(reply_to)) = (answer, message.reply) {
            ReplyTo::new(&client, reply_to).send_json(&answer).await;
        }
    }
}

impl Service {
    fn new(group: &str) -> Self {
        Self {
            name: group.to_owned(),
            id: format!("{:032x}", rand::random::<u128>()),
            started: rfc3339(SystemTime::now()),
            endpoints: Mutex::default(),
        }
    }

    /// The answer to `verb`, if it is one that is known.
    fn answer(&self, verb: &str) -> Option<Value> {
        match verb {
            "PING" => Some(self.document("ping", json!({}))),
            "INFO" => {
                let endpoints = self.endpoints(|subject, _| endpoint(&self.name, subject));
                Some(self.document(
                    "info",
                    json!({ "description": "Astral", "endpoints": endpoints }),
                ))
            }
            "STATS" => {
                let endpoints = self.endpoints(|subject, meter| stats(&self.name, subject, meter));
                Some(self.document(
                    "stats",
                    json!({ "started": self.started, "endpoints": endpoints }),
                ))
            }
            _ => None,
        }
    }

    fn document(&self, kind: &str, mut document: Value) -> Value {
        document["type"] = format!("io.nats.micro.v1.{kind}_response").into();
        document["name"] = self.name.as_str().into();
        document["id"] = self.id.as_str().into();
        document["version"] = VERSION.into();
        document["metadata"] = json!({});
        document
    }

    fn endpoints(&self, show: impl Fn(&str, &Meter) -> Value) -> Vec<Value> {
        let endpoints = lock(&self.endpoints);
        endpoints
            .iter()
            .map(|(subject, meter)| show(subject, meter))
            .collect()
    }
}

fn endpoint(group: &str, subject: &str) -> Value {
    let name = subject.rsplit('.').next();
    json!({ "name": name, "subject": subject, "queue_group": group, "metadata": {} })
}

fn stats(group: &str, subject: &str, meter: &Meter) -> Value {
    let reading = meter.read();
    let mut document = endpoint(group, subject);
    document["num_requests"] = reading.requests.into();
    document["num_errors"] = reading.errors.into();
    document["last_error"] = reading.last_error.into();
    document["processing_time"] = reading.nanoseconds.into();
    document["average_processing_time"] = (reading.nanoseconds / reading.requests.max(1)).into();
    document
}

/// A time as RFC 3339 writes it, to the second, by the calendar that counts from March (Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms").
fn rfc3339(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let hour = seconds / 3600 % 24;
    let minute = seconds / 60 % 60;
    let second = seconds % 60;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_written_as_rfc_3339_does() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_504_772, "2026-11-24T07:19:32Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }
}

//! What the host of a relay may tell it: how much to lend, and which streams to carry, let go or keep out.

use super::Relay;
use crate::stream::{SeatKind, Stream};
use astral_proto::{Code, Problem, Slug};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Relay {
    /// What it may spend upstream, kbit/s.
    pub fn limit_kbps(&self) -> u32 {
        self.shared.limit_kbps.load(Ordering::Relaxed)
    }

    /// Changes what it may spend upstream from now on, kbit/s. What is promised already is served on; the next
    /// heartbeat tells the broker.
    pub fn set_limit_kbps(&self, limit_kbps: u32) {
        self.shared.limit_kbps.store(limit_kbps, Ordering::Relaxed);
    }

    /// Carries `slug` until it ends or is let go, whether anybody watches or not.
    ///
    /// # Errors
    /// As [`Relay::want`].
    pub fn keep(&self, slug: &Slug) -> Result<Arc<Stream>, Problem> {
        let stream = self.want(slug)?;
        stream.set_kept(true);
        Ok(stream)
    }

    /// Stops carrying `slug`: viewers' connections end, subscribers go to their next provider. It is pulled again when
    /// somebody wants it.
    ///
    /// # Errors
    /// `not_found` if it is not here, `conflict` at its origin.
    pub fn let_go(&self, slug: &Slug) -> Result<(), Problem> {
        let stream = self
            .find(slug)
            .ok_or_else(|| Problem::new(Code::NotFound, format!("stream {slug} is not on this node")))?;
        refuse_at_origin(&stream)?;
        stream.set_kept(false);
        drop_supply(&stream);
        Ok(())
    }

    /// Keeps `slug` out: it is let go and not pulled for anybody until it is taken back in.
    ///
    /// # Errors
    /// `conflict` at its origin, `unavailable` when the relay carries as many streams as it may.
    pub fn keep_out(&self, slug: &Slug) -> Result<(), Problem> {
        let stream = self.find_or_add(slug)?;
        refuse_at_origin(&stream)?;
        stream.set_kept(false);
        stream.set_kept_out(true);
        drop_supply(&stream);
        Ok(())
    }

    /// Takes `slug` back in: it is pulled when somebody wants it.
    pub fn take_back_in(&self, slug: &Slug) {
        if let Some(stream) = self.find(slug) {
            stream.set_kept_out(false);
        }
    }
}

fn refuse_at_origin(stream: &Stream) -> Result<(), Problem> {
    if stream.fed_by() == Some(SeatKind::Origin) {
        let detail = format!("stream {} is published here: stop its publisher instead", stream.slug);
        return Err(Problem::new(Code::Conflict, detail));
    }
    Ok(())
}

fn drop_supply(stream: &Stream) {
    stream.unseat();
    stream.dismiss_readers();
    tracing::info!(stream.slug = %stream.slug, "let go by the host");
}

//! What a relay is told at its start.

use astral_proto::NodeId;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::DuplexStream;

/// What a relay is told at its start.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// Its id.
    pub node: NodeId,
    /// Where it is reached.
    pub reach: Reach,
    /// What it may spend upstream until told otherwise, kbit/s.
    pub limit_kbps: u32,
    /// Most bytes a stream may hold in its log.
    pub cache_bytes_max: usize,
    /// Base URL of the gateway, without a trailing slash: where viewers are sent when this relay is full, until told
    /// otherwise.
    pub gateway_url: Option<String>,
    /// Whether faults may be put on it.
    pub allow_drills: bool,
    /// How it reaches its providers.
    pub connect: Connect,
}

impl RelayConfig {
    /// What the gateway knows this relay by among all where viewers are sent: its host:port, or its id where viewers
    /// come by a URL that other relays may share.
    pub fn called_by_viewers(&self) -> String {
        let authority = self.reach.media_url.split("://").last().unwrap_or_default();
        if authority == self.reach.advertise {
            authority.to_owned()
        } else {
            self.node.to_string()
        }
    }
}

/// Gives a wire to whoever is at an address.
pub type Wires = Arc<dyn Fn(&str) -> Option<DuplexStream> + Send + Sync>;

/// How a relay reaches its providers.
#[derive(Clone, Default)]
pub enum Connect {
    /// Over TCP.
    #[default]
    Tcp,
    /// Within this process, by the advertised address; none where nobody is. Relays so joined have no sockets, and so
    /// may run on paused time.
    Within(Wires),
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Connect::Tcp => "Tcp",
            Connect::Within(_) => "Within",
        })
    }
}

/// Where a relay is reached, by relays and by viewers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// host:port that other relays pull from.
    pub advertise: String,
    /// Base URL for viewers, without a trailing slash.
    pub media_url: String,
    /// `rtmp://host:port/live` of its RTMP listener.
    pub rtmp_url: String,
    /// What people call it: the address that it advertises unless told.
    pub name: String,
}

impl Reach {
    /// The same under another name, if one is given.
    pub fn called(self, name: Option<String>) -> Self {
        Self {
            name: name.unwrap_or(self.name),
            ..self
        }
    }

    /// Of a relay whose doors are `rtmp` and `media`: where it says it is, or else where it listens. RTMP is on the
    /// host that is advertised.
    pub fn new(
        rtmp: SocketAddr,
        media: SocketAddr,
        advertise: Option<String>,
        public_url: Option<String>,
    ) -> Self {
        let advertise = advertise.unwrap_or_else(|| media.to_string());
        let media_url = public_url.unwrap_or_else(|| format!("http://{advertise}"));
        let host = advertise
            .rsplit_once(':')
            .map_or(&*advertise, |(host, _)| host);
        let rtmp_url = format!("rtmp://{host}:{}/live", rtmp.port());
        let media_url = media_url.trim_end_matches('/').to_owned();
        Self {
            media_url,
            rtmp_url,
            name: advertise.clone(),
            advertise,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_where_it_says_or_else_where_it_listens() {
        let rtmp = "0.0.0.0:1935".parse().unwrap();
        let media = "0.0.0.0:8081".parse().unwrap();
        let plain = Reach::new(rtmp, "127.0.0.1:8081".parse().unwrap(), None, None);
        assert_eq!(plain.media_url, "http://127.0.0.1:8081");
        assert_eq!(plain.rtmp_url, "rtmp://127.0.0.1:1935/live");
        let advertise = Some("venue.example:81".into());
        let public = Some("https://watch.example/".into());
        let told = Reach::new(rtmp, media, advertise, public);
        assert_eq!(told.advertise, "venue.example:81");
        assert_eq!(told.media_url, "https://watch.example");
        assert_eq!(told.rtmp_url, "rtmp://venue.example:1935/live");
        let six = Reach::new(rtmp, "[::1]:8081".parse().unwrap(), None, None);
        assert_eq!(six.rtmp_url, "rtmp://[::1]:1935/live");
    }
}

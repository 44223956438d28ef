//! The settings of a relay.

use astral_env::Env;
use astral_proto::NodeId;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::DuplexStream;

/// The settings of a relay.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// Its node id.
    pub node: NodeId,
    /// Its addresses.
    pub reach: Reach,
    /// What it may send, kbit/s, until it is changed.
    pub limit_kbps: u32,
    /// Most bytes in the log of one stream.
    pub cache_bytes_max: usize,
    /// Base URL of the gateway that viewers are sent to while this relay is full, without a
    /// trailing slash, until it is changed.
    pub gateway_url: Option<String>,
    /// Whether drills may inject faults.
    pub allow_drills: bool,
    /// How it connects to its providers.
    pub connect: Connect,
    /// Its clock and its random source.
    pub env: Env,
}

impl RelayConfig {
    /// The name that tells the gateway which relay is full: host:port, or the node id if viewers
    /// come by a URL that several relays may share.
    pub fn called_by_viewers(&self) -> String {
        let authority = self.reach.media_url.split("://").last().unwrap_or_default();
        if authority == self.reach.advertise {
            authority.to_owned()
        } else {
            self.node.to_string()
        }
    }
}

/// Returns a connection to whoever is at an address; None if nobody is.
pub type Wires = Arc<dyn Fn(&str) -> Option<DuplexStream> + Send + Sync>;

/// How a relay connects to its providers.
#[derive(Clone, Default)]
pub enum Connect {
    /// Over TCP.
    #[default]
    Tcp,
    /// Within this process, by the advertised address. Such relays have no sockets, so they can run
    /// on paused time.
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

/// The addresses of a relay, for relays and for viewers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// host:port that other relays pull from.
    pub advertise: String,
    /// Base URL for viewers, without a trailing slash.
    pub media_url: String,
    /// `rtmp://host:port/live` of its RTMP listener.
    pub rtmp_url: String,
    /// Its name for people; the advertised address by default.
    pub name: String,
}

impl Reach {
    /// The same addresses under another name, if one is given.
    pub fn called(self, name: Option<String>) -> Self {
        Self {
            name: name.unwrap_or(self.name),
            ..self
        }
    }

    /// The addresses of a relay that listens on `rtmp` and `media`: what it advertises, or else
    /// where it listens. RTMP is on the advertised host.
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
    fn a_relay_is_reached_where_it_advertises_or_else_where_it_listens() {
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

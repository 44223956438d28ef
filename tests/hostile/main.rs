//! Bad input ends its own connection and nothing else: the publisher and the viewers of a house go on untouched.

mod data;
mod doors;
mod hls;
mod house;
mod http;
mod links;
mod load;
mod rtmp;
mod wire;

//! Refuses to build without the web application, which goes into the binary.

use std::{path::Path, process};

fn main() {
    println!("cargo::rerun-if-changed=web/dist");
    if !Path::new("web/dist/index.html").exists() {
        println!("cargo::error=web/dist is missing: run `make web`");
        process::exit(1);
    }
}

//! The pages of the web application.

use crate::answer::Page;
use crate::assets;
use crate::call::{AnyQuery, Call};
use crate::error::Error;
use astral_proto::Slug;

/// The page in `file`.
pub(crate) async fn serve(file: &'static str, call: Call<(), AnyQuery>) -> Result<Page, Error> {
    assets::serve(file, &call.headers).map(Page)
}

/// The player of one stream.
pub(crate) async fn watch(call: Call<Slug, AnyQuery>) -> Result<Page, Error> {
    assets::serve("watch.html", &call.headers).map(Page)
}

/// What pages are made of.
pub(crate) async fn asset(call: Call<String, AnyQuery>) -> Result<Page, Error> {
    assets::serve(&format!("assets/{}", call.at), &call.headers).map(Page)
}

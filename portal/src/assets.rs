//! The style sheet and the icon, part of the program, under addresses that change with their content.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use api::Problem;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};

const FILES: [(&str, &str, &str); 2] = [
    ("optare.css", "text/css; charset=utf-8", include_str!("../assets/optare.css")),
    ("icon.svg", "image/svg+xml", include_str!("../assets/icon.svg")),
];

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    FILES.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
});

/// Where a page finds one of the files.
pub(crate) fn url(file: &str) -> String {
    format!("/assets/{}/{file}", *VERSION)
}

/// Serves a file. During a roll-out a page of one release may ask a node of another: it gets what there is, uncached.
pub(crate) async fn serve(Path((version, file)): Path<(String, String)>) -> Result<Response, Problem> {
    let (_, kind, content) =
        FILES.into_iter().find(|(name, ..)| *name == file).ok_or_else(|| Problem::not_found("file"))?;
    let caching = if version == *VERSION { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, caching), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((headers, content).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_sheet_is_small() {
        assert!(FILES[0].2.len() <= 12 * 1024, "{} bytes", FILES[0].2.len());
    }
}

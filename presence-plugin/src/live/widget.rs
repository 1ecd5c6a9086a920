//! `/widget.js`: the element `<presence-icon>` for pages of any origin. It is a file of the library, and no page needs anything else.

use std::sync::LazyLock;

use plugin_api::{Request, Response, Result};

use crate::{
    Presence,
    cache::{self, Audience, ETag},
};

/// The script as it is sent: pages load it on every visit, and need neither comments of their own lines nor what lines begin with.
static SCRIPT: LazyLock<String> = LazyLock::new(|| without_comments(include_str!("widget.js")));
/// For how many seconds it may be used again without asking.
const MAX_AGE: u32 = 3_600;

impl Presence {
    /// The script, or the news that the client holds it already.
    pub(super) fn widget(&self, request: &Request<'_>) -> Result<Response> {
        let etag = ETag::new(b'w', SCRIPT.as_bytes());
        let is_held = cache::held(request).is_some_and(|held| cache::is_held(etag.as_str(), &held));
        let response = Response::new(if is_held { 304 } else { 200 })
            .header("ETag", etag.as_str().to_owned())
            .header("Cache-Control", Audience::Everyone { max_age: MAX_AGE }.cache_control())
            .header("Access-Control-Allow-Origin", "*")
            .header("Cross-Origin-Resource-Policy", "cross-origin")
            .header("X-Content-Type-Options", "nosniff");
        let script =
            || response.clone().header("Content-Type", "text/javascript; charset=utf-8").body(SCRIPT.as_bytes());
        Ok(if is_held { response } else { script() })
    }
}

fn without_comments(script: &str) -> String {
    let lines = script.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with("//"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{icons::themes::Theme, live::MOST_USERS};

    /// Pages load it on every visit; and what a strict policy forbids is not in it.
    #[test]
    fn it_is_small_and_has_nothing_that_a_strict_policy_forbids() {
        assert!(SCRIPT.len() < 6_000, "{} bytes", SCRIPT.len());
        let script = &*SCRIPT;
        for forbidden in ["eval(", "Function(", "innerHTML", "'style'", "javascript:", "import "] {
            assert!(!script.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn it_knows_the_themes_and_how_many_users_a_stream_tells_of() {
        let script = &*SCRIPT;
        let others = Theme::NAMES.replace("default, ", "").replace(", ", "|");
        assert!(script.contains(&format!("({others})")), "{others}");
        assert!(script.contains(&format!("SHARE = {MOST_USERS};")));
    }
}

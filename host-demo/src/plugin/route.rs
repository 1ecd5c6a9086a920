//! The routes of all active plugins: one immutable table, replaced whole by one pointer swap.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use plugin_api::abi::plugin_http::{ExecutionCode, RouteView};

use super::{
    generation::{Doors, Generation},
    pattern::{CutPath, Pattern, Values},
};

/// The path below which plugins are mounted.
pub const MOUNT: &str = "/plugins/";
/// What stands for whatever method there is.
const ANY_METHOD: &str = "*";
/// The longest request body that a route may ask for: 16 MiB.
const MAX_BODY_LIMIT: u32 = 16 << 20;
/// How long a handler may run where its route asks for nothing else.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(5);
/// The longest that a route may ask for.
const MAX_PATIENCE: Duration = Duration::from_secs(300);

/// The table that requests are looked up in now.
pub type Routes = ArcSwap<RouteTable>;

/// One route of a plugin.
pub struct Route {
    methods: Vec<String>,
    pattern: String,
    below: Pattern,
    body_limit: usize,
    takes_any_length: bool,
    patience: Duration,
    inline: bool,
}

/// Why a route can't be mounted.
#[derive(Debug, PartialEq, Eq)]
pub enum RouteError {
    /// The pattern is not of actix's syntax.
    Pattern(String),
    /// The pattern has a line break or another control character in it.
    Control(String),
    /// The methods are not words separated by spaces.
    Methods(String),
    /// Two routes of the plugin have the same pattern and method.
    Duplicate(String),
}

impl fmt::Display for RouteError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteError::Pattern(pattern) => {
                write!(
                    out,
                    "the route {pattern:?} is no pattern: it begins with '/' and names its parts like /users/{{jid}}"
                )
            }
            RouteError::Control(pattern) => {
                write!(out, "the route {pattern:?} has a control character in it, which no path has: take it out")
            }
            RouteError::Methods(methods) => write!(out, "{methods:?} are no HTTP methods separated by spaces"),
            RouteError::Duplicate(route) => write!(out, "the route {route} is registered twice"),
        }
    }
}

impl std::error::Error for RouteError {}

impl Route {
    /// Checks a plugin's routes.
    ///
    /// # Errors
    /// Names the first route that can't be mounted.
    pub fn read_all(id: &str, views: &[RouteView<'_>]) -> Result<Vec<Route>, RouteError> {
        let routes = views.iter().map(|view| Route::read(id, view)).collect::<Result<Vec<_>, _>>()?;
        for (index, route) in routes.iter().enumerate() {
            let earlier = routes[..index].iter().filter(|earlier| earlier.pattern == route.pattern);
            let twice = earlier.flat_map(|earlier| &earlier.methods).find(|method| route.methods.contains(method));
            if let Some(method) = twice {
                return Err(RouteError::Duplicate(format!("{method} {}", route.pattern)));
            }
        }
        Ok(routes)
    }

    fn read(id: &str, view: &RouteView<'_>) -> Result<Route, RouteError> {
        let (below, methods) = (view.pattern.as_str(), view.methods.as_str());
        if !below.starts_with('/') || below.len() > 1024 {
            return Err(RouteError::Pattern(below.chars().take(80).collect()));
        }
        // It is written where a line break begins another line: into the breadcrumb, the log and lists.
        if below.contains(char::is_control) {
            return Err(RouteError::Control(below.chars().take(80).collect()));
        }
        let words: Vec<String> = methods.split(' ').map(Into::into).collect();
        let is_method = |word: &String| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
        if methods != ANY_METHOD && !words.iter().all(is_method) {
            return Err(RouteError::Methods(methods.chars().take(80).collect()));
        }
        Ok(Route {
            methods: words,
            pattern: format!("{MOUNT}{id}{below}"),
            below: Pattern::parse(below).ok_or_else(|| RouteError::Pattern(below.into()))?,
            body_limit: (view.body_limit & !RouteView::ANY_LENGTH).min(MAX_BODY_LIMIT) as usize,
            takes_any_length: view.body_limit & RouteView::ANY_LENGTH != 0,
            patience: match view.patience {
                0 => DEFAULT_PATIENCE,
                asked => Duration::from_millis(asked.into()).min(MAX_PATIENCE),
            },
            inline: view.execution == ExecutionCode::INLINE,
        })
    }

    /// The pattern of the whole path: `/plugins/hello/{user}`.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The methods that it answers; `*` for whatever method there is.
    pub fn methods(&self) -> &[String] {
        &self.methods
    }

    /// The longest request body in bytes.
    pub fn body_limit(&self) -> usize {
        self.body_limit
    }

    /// Whether it is given longer bodies, too, as far as they were read.
    pub fn takes_any_length(&self) -> bool {
        self.takes_any_length
    }

    /// How long its handler may keep a thread before its client is answered without it.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Whether it runs on the HTTP worker itself.
    pub fn is_inline(&self) -> bool {
        self.inline
    }

    /// The names of the named parts of its paths.
    pub fn names(&self) -> &[String] {
        self.below.names()
    }
}

/// What stands at a path.
pub enum Found<'a, 'p> {
    /// A route of this plugin.
    Route {
        /// Who answers it.
        doors: &'a Doors,
        /// Its index among the generation's routes.
        index: usize,
        /// What the path has for the route's [`names`](Route::names), percent-decoded.
        values: Values<'p>,
    },
    /// A plugin that is out of service until somebody brings it back.
    Disabled,
    /// Routes, but none for this method; these would do.
    OtherMethods(Vec<&'a str>),
    /// Nothing.
    Nothing,
}

/// The active generation of each plugin by its id.
#[derive(Default)]
pub struct RouteTable {
    plugins: HashMap<String, Doors, RandomState>,
    draining: Vec<Arc<Generation>>,
    disabled: BTreeSet<String>,
}

impl RouteTable {
    /// The table of these generations, one a plugin, and of plugins that are known and out of service.
    pub fn new(generations: impl IntoIterator<Item = Arc<Generation>>, disabled: BTreeSet<String>) -> RouteTable {
        let by_id = |generation: Arc<Generation>| (generation.manifest().id.clone(), Doors::new(&generation));
        RouteTable { plugins: generations.into_iter().map(by_id).collect(), draining: Vec::new(), disabled }
    }

    /// The same with those who are on their way out and may wait for answers.
    pub fn with_draining(self, generations: impl IntoIterator<Item = Arc<Generation>>) -> RouteTable {
        let draining = generations.into_iter().filter(|generation| generation.is_component()).collect();
        RouteTable { draining, ..self }
    }

    /// The plugins that are known and out of service.
    pub fn disabled(&self) -> &BTreeSet<String> {
        &self.disabled
    }

    /// The active generations.
    pub fn generations(&self) -> impl Iterator<Item = &Arc<Generation>> {
        self.plugins.values().map(Doors::generation)
    }

    /// The ways into the active generation that answers for the XMPP address of the plugin with this id.
    pub fn component(&self, id: &str) -> Option<&Doors> {
        self.plugins.get(id).filter(|doors| doors.generation().is_component())
    }

    /// The generations that answered for that address before, and are not at their end.
    pub fn former_components(&self, id: &str) -> impl Iterator<Item = &Arc<Generation>> {
        self.draining.iter().filter(move |generation| generation.manifest().id == id)
    }

    /// Looks up a path as it was sent. An earlier route of a plugin goes before a later one.
    pub fn find<'p>(&self, method: &str, path: &'p str) -> Found<'_, 'p> {
        let Some((id, _)) = path.strip_prefix(MOUNT).and_then(|rest| rest.split_once('/')) else {
            return Found::Nothing;
        };
        let Some(doors) = self.plugins.get(id) else {
            return if self.disabled.contains(id) { Found::Disabled } else { Found::Nothing };
        };
        let below = CutPath::new(&path[MOUNT.len() + id.len()..]);
        let mut others = Vec::new();
        for (index, route) in doors.generation().routes().iter().enumerate() {
            let Some(values) = route.below.values(&below) else { continue };
            if route.methods.iter().any(|known| known == method || known == ANY_METHOD) {
                return Found::Route { doors, index, values };
            }
            others.extend(
                route.methods.iter().map(String::as_str).filter(|known| !others.contains(known)).collect::<Vec<_>>(),
            );
        }
        if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(methods: &'static str, pattern: &'static str) -> RouteView<'static> {
        RouteView {
            methods: methods.into(),
            pattern: pattern.into(),
            body_limit: 1,
            patience: 0,
            execution: ExecutionCode::THREAD,
        }
    }

    fn refused(views: &[RouteView<'_>]) -> String {
        Route::read_all("hello", views).err().expect("refused").to_string()
    }

    #[test]
    fn a_route_that_can_not_be_mounted_is_named() {
        assert!(refused(&[view("GET", "users")]).contains("\"users\""));
        assert!(refused(&[view("GET", "/{a")]).contains("\"/{a\""));
        let forged = refused(&[view("GET", "/a\ncopy=b")]);
        assert!(forged.contains(r#""/a\ncopy=b" has a control character"#), "{forged}");
        assert!(refused(&[view("GET,HEAD", "/")]).contains("\"GET,HEAD\""));
        assert!(refused(&[view("GET *", "/")]).contains("\"GET *\""));
        assert!(Route::read_all("hello", &[view("*", "/")]).is_ok());
        assert!(refused(&[view("GET HEAD", "/a"), view("POST GET", "/a")]).contains("GET /plugins/hello/a"));
        assert!(Route::read_all("hello", &[view("GET", "/a"), view("POST", "/a")]).is_ok());
    }

    #[test]
    fn what_is_out_of_service_is_not_what_never_was() {
        let table = RouteTable::new([], BTreeSet::from(["hello".to_owned()]));
        assert!(matches!(table.find("GET", "/plugins/hello/version"), Found::Disabled));
        assert!(matches!(table.find("GET", "/plugins/other/version"), Found::Nothing));
    }
}

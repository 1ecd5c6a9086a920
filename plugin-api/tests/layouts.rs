//! The layouts of all interfaces, as text in `abi/`: what a change of the code changes there is a change of the binary interface.
//!
//! A test fails when the two differ, and says what to do. `RENEW_ABI=1 cargo test -p plugin-api --test layouts` writes the texts of
//! drafts anew; those of released interfaces never change (rule 2 of the policy in `plugin_api::abi`).

use std::{
    collections::HashSet,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use abi_stable::{
    StableAbi,
    type_layout::{TLData, TLField, TLFunction, TypeLayout},
};
use plugin_api::abi::{
    host_component::HostComponentRef,
    host_data::HostDataRef,
    host_http::HostHttpRef,
    host_log::HostLogRef,
    host_presence::HostPresenceRef,
    host_records::HostRecordsRef,
    host_roster::HostRosterRef,
    host_settings::HostSettingsRef,
    host_stamps::HostStampsRef,
    host_timers::HostTimersRef,
    plugin_component::PluginComponentRef,
    plugin_http::PluginHttpRef,
    plugin_life::PluginLifeRef,
    plugin_presence::PluginPresenceRef,
    plugin_timers::PluginTimersRef,
    root::{HostQuery, RootRef, Table},
};

/// The interfaces that were released: their layouts are frozen. `root` is among them from 1.0 on.
const RELEASED: [&str; 0] = [];

/// Every interface by its id, with the types that its table is reached by.
fn interfaces() -> Vec<(&'static str, Vec<&'static TypeLayout>)> {
    fn table<T: Table>() -> (&'static str, Vec<&'static TypeLayout>) {
        (T::ID, vec![T::LAYOUT])
    }
    vec![
        ("root", vec![RootRef::LAYOUT, HostQuery::LAYOUT]),
        table::<HostComponentRef>(),
        table::<HostDataRef>(),
        table::<HostHttpRef>(),
        table::<HostLogRef>(),
        table::<HostPresenceRef>(),
        table::<HostRecordsRef>(),
        table::<HostRosterRef>(),
        table::<HostSettingsRef>(),
        table::<HostStampsRef>(),
        table::<HostTimersRef>(),
        table::<PluginComponentRef>(),
        table::<PluginHttpRef>(),
        table::<PluginLifeRef>(),
        table::<PluginPresenceRef>(),
        table::<PluginTimersRef>(),
    ]
}

/// Where the text of an interface is, below `plugin-api`.
fn place(id: &str) -> String {
    format!("abi/{}.txt", id.replace('/', "-"))
}

fn file(id: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(place(id))
}

/// The types of ours that an interface reaches, once each, in the order in which they are met. Those of the language and of
/// abi_stable are named only: the pinned version of abi_stable is part of the ABI.
struct Text {
    text: String,
    met: HashSet<String>,
}

impl Text {
    fn of(id: &str, layouts: &[&'static TypeLayout]) -> String {
        let mut text = Text { text: format!("{id}\n"), met: HashSet::new() };
        layouts.iter().for_each(|layout| text.add(layout));
        text.text
    }

    fn add(&mut self, layout: &'static TypeLayout) {
        if !self.met.insert(name(layout)) {
            return;
        }
        let fields = fields(layout);
        if layout.package() == env!("CARGO_PKG_NAME") {
            self.write(layout, &fields);
        }
        for field in &fields {
            self.add(field.layout());
            for function in field.function_range().iter() {
                function.param_type_layouts.iter().for_each(|parameter| self.add(parameter()));
                function.return_type_layout().into_iter().for_each(|returned| self.add(returned()));
            }
        }
    }

    fn write(&mut self, layout: &TypeLayout, fields: &[TLField]) {
        let (name, size, alignment) = (name(layout), layout.size(), layout.alignment());
        let kind = match layout.data() {
            TLData::PrefixType(table) => format!("table, its first {} fields required", table.first_suffix_field),
            _ => format!("{:?}", layout.repr_attr()),
        };
        self.line(&format!("\n{name}: {size} bytes, aligned to {alignment}, {kind}"));
        // By the rules of repr(C).
        let mut offset: usize = 0;
        for field in fields {
            offset = offset.next_multiple_of(field.layout().alignment());
            self.line(&format!("  {offset:>3} {}: {}", field.name(), field_type(field)));
            offset += field.layout().size();
        }
    }

    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("a string takes everything");
    }
}

fn fields(layout: &TypeLayout) -> Vec<TLField> {
    let fields = layout.get_fields().into_iter().flat_map(|fields| fields.to_vec());
    fields.chain(layout.phantom_fields().to_vec()).collect()
}

fn field_type(field: &TLField) -> String {
    let functions: Vec<_> = field.function_range().iter().map(|function| signature(&function)).collect();
    if functions.is_empty() { name(field.layout()) } else { functions.join(", ") }
}

fn signature(function: &TLFunction) -> String {
    let parameters: Vec<_> = function.param_type_layouts.iter().map(|parameter| name(parameter())).collect();
    let returned = function.return_type_layout().map(|returned| format!(" -> {}", name(returned())));
    let lifetimes = function.paramret_lifetime_indices.as_slice();
    let lifetimes = if lifetimes.is_empty() { String::new() } else { format!(" {lifetimes:?}") };
    format!("fn({}){}{lifetimes}", parameters.join(", "), returned.unwrap_or_default())
}

/// A type with its parameters, which abi_stable leaves out where they are not lifetimes.
fn name(layout: &TypeLayout) -> String {
    let own = layout.full_type().to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let inner: Vec<_> = match layout.package().as_str() {
        env!("CARGO_PKG_NAME") => Vec::new(),
        _ => fields(layout).iter().map(|field| name(field.layout())).collect(),
    };
    let base = own.split('<').next().unwrap_or(&own);
    match (base, inner.first()) {
        ("RSlice" | "RVec", Some(element)) => {
            format!("{base}<{}>", element.trim_start_matches("*const ").trim_start_matches("NonNull "))
        }
        ("RResult" | "ROption", _) => format!("{base}<{}>", inner.join(", ")),
        (_, Some(target)) if matches!(layout.data(), TLData::Primitive(_)) => {
            let pointer: Vec<_> =
                own.split(' ').filter(|word| ["&'a", "mut", "*const", "*mut"].contains(word)).collect();
            format!("{} {target}", pointer.join(" "))
        }
        ("NonNull", Some(target)) => format!("NonNull {}", target.trim_start_matches("*const ")),
        _ => own,
    }
}

/// What became of an interface: the first line that differs, and what to do.
fn difference(id: &str, recorded: &str, now: &str) -> Option<String> {
    let (mut recorded, mut now) = (recorded.lines(), now.lines());
    for number in 1.. {
        let (before, after) = (recorded.next(), now.next());
        if before == after {
            before?;
            continue;
        }
        let advice = if RELEASED.contains(&id) {
            "it was released and never changes: take the change back, and add what is new as a new interface (/2) beside it"
        } else {
            "it is a draft: if the change is meant, run RENEW_ABI=1 cargo test -p plugin-api --test layouts, and note it in CHANGELOG.md"
        };
        let (before, after) = (before.unwrap_or("(nothing)").trim(), after.unwrap_or("(nothing)").trim());
        return Some(format!("{id}: line {number} of {} was\n  {before}\nand is\n  {after}\n{advice}", place(id)));
    }
    None
}

#[test]
fn the_layouts_are_those_on_record() {
    let renew = std::env::var_os("RENEW_ABI").is_some();
    let mut differences = Vec::new();
    for (id, layouts) in interfaces() {
        let now = Text::of(id, &layouts);
        let recorded = fs::read_to_string(file(id)).unwrap_or_default();
        match difference(id, &recorded, &now) {
            Some(_) if renew && !RELEASED.contains(&id) => fs::write(file(id), now).expect("abi/ can be written to"),
            found => differences.extend(found),
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

#[test]
fn every_text_on_record_is_of_an_interface() {
    let known: Vec<_> = interfaces().into_iter().map(|(id, _)| file(id)).collect();
    let recorded = fs::read_dir(file("root").parent().expect("it is in a folder")).expect("abi/ is there");
    for entry in recorded.map(|entry| entry.expect("abi/ can be read").path()) {
        assert!(
            known.contains(&entry),
            "{} is of no interface: it was released or a draft, and is gone",
            entry.display()
        );
    }
    assert!(RELEASED.iter().all(|id| known.contains(&file(id))), "a released interface is gone");
}

#[test]
fn a_difference_is_told_by_its_line() {
    let told = difference("host.log/1", "a\nb\n", "a\nc\n").expect("they differ");
    assert!(told.starts_with("host.log/1: line 2 of ") && told.contains("was\n  b\nand is\n  c\n"), "{told}");
    assert!(difference("host.log/1", "a\n", "a\nb\n").is_some());
    assert_eq!(difference("host.log/1", "a\n", "a\n"), None);
}

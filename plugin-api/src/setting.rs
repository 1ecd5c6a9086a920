//! Settings: declared by the plugin, kept, checked and shown by the host.

use abi_stable::std_types::{RSlice, RStr};

use crate::abi::host_settings::{KindCode, SettingView};

/// The declaration of one setting. The administrator knows it as `<plugin id>.<name>`.
#[derive(Clone, Debug)]
pub struct Setting {
    name: &'static str,
    default: String,
    label: &'static str,
    help: &'static str,
    choices: Vec<RStr<'static>>,
    minimum: i64,
    maximum: i64,
    kind: KindCode,
}

impl Setting {
    /// One line of text, at most 1,024 bytes.
    pub fn text(name: &'static str, default: &str) -> Setting {
        Setting::new(name, default.into(), KindCode::TEXT)
    }

    /// One of the given values.
    pub fn choice(name: &'static str, choices: &'static [&'static str], default: &str) -> Setting {
        let choices = choices.iter().map(|choice| RStr::from_str(choice)).collect();
        Setting { choices, ..Setting::new(name, default.into(), KindCode::CHOICE) }
    }

    /// A whole number within bounds.
    pub fn integer(name: &'static str, bounds: std::ops::RangeInclusive<i64>, default: i64) -> Setting {
        let (minimum, maximum) = bounds.into_inner();
        Setting { minimum, maximum, ..Setting::new(name, default.to_string(), KindCode::INTEGER) }
    }

    /// Yes or no.
    pub fn boolean(name: &'static str, default: bool) -> Setting {
        Setting::new(name, default.to_string(), KindCode::BOOLEAN)
    }

    /// Host names separated by commas, or nothing.
    pub fn hosts(name: &'static str, default: &str) -> Setting {
        Setting::new(name, default.into(), KindCode::HOSTS)
    }

    /// IP addresses separated by commas, or nothing.
    pub fn addresses(name: &'static str, default: &str) -> Setting {
        Setting::new(name, default.into(), KindCode::ADDRESSES)
    }

    fn new(name: &'static str, default: String, kind: KindCode) -> Setting {
        Setting { name, default, label: name, help: "", choices: Vec::new(), minimum: 0, maximum: 0, kind }
    }

    /// What a form calls it.
    pub fn label(self, label: &'static str) -> Setting {
        Setting { label, ..self }
    }

    /// One or two sentences for the administrator, shown by its console and by `setting show`.
    pub fn help(self, help: &'static str) -> Setting {
        Setting { help, ..self }
    }

    pub(crate) fn view(&self) -> SettingView<'_> {
        SettingView {
            name: self.name.into(),
            default: self.default.as_str().into(),
            label: self.label.into(),
            help: self.help.into(),
            choices: RSlice::from_slice(&self.choices),
            minimum: self.minimum,
            maximum: self.maximum,
            kind: self.kind,
        }
    }
}

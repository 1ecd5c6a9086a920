//! The values that were set, as a migration gets them.

use std::collections::BTreeMap;

/// The values that the administrator set, by their names within the plugin, for
/// [`Plugin::migrate_settings`](crate::Plugin::migrate_settings). A setting that has its default is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsMap(BTreeMap<String, String>);

impl SettingsMap {
    /// The value of a setting, if one was set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets a value; an empty one is as good as none.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match value.is_empty() {
            true => self.0.remove(&name),
            false => self.0.insert(name, value),
        };
    }

    /// Takes a value out: the setting has its default again.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Gives the value of a setting, if one was set, to another name.
    pub fn rename(&mut self, old: &str, new: impl Into<String>) {
        if let Some(value) = self.0.remove(old) {
            self.0.insert(new.into(), value);
        }
    }

    /// All names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for SettingsMap {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(values: I) -> SettingsMap {
        let mut map = SettingsMap::default();
        values.into_iter().for_each(|(name, value)| map.set(name, value));
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_moves_with_its_name_and_an_empty_one_is_none() {
        let mut settings = SettingsMap::from_iter([("color", "red"), ("size", "")]);
        settings.rename("color", "colour");
        settings.rename("weight", "mass");
        assert_eq!(settings.iter().collect::<Vec<_>>(), [("colour", "red")]);
        settings.set("colour", "");
        assert_eq!(settings, SettingsMap::default());
    }
}

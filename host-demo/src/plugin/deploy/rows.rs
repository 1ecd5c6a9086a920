//! The books as rows of `plugin list`: for each plugin the version in service first, then what is refused, on its way,
//! and on its way out.

use jiff::Timestamp;

use super::{
    books::{Books, File, Leaving, Plugin, Serving},
    folder::FileName,
    last_good::Kept,
    status::{PluginStatus, State},
    travel::{Refused, Travel},
};

impl Books {
    /// The rows, sorted by plugin; files that no plugin is known for come last.
    pub fn rows(&self) -> Vec<PluginStatus> {
        let mut rows: Vec<_> = self.plugins.iter().flat_map(|(id, plugin)| self.rows_of_plugin(id, plugin)).collect();
        rows.extend(self.files.iter().filter_map(|(name, file)| self.row_of_file(name, file)));
        rows.extend(self.travels.values().map(|travel| self.row_of_travel(travel)));
        rows.sort_by(|one, other| {
            let place = |row: &PluginStatus| (row.id.is_none(), row.id.clone(), row.state, row.file.clone());
            place(one).cmp(&place(other))
        });
        rows
    }

    fn rows_of_plugin(&self, id: &str, plugin: &Plugin) -> Vec<PluginStatus> {
        let first = match (&plugin.serving, &plugin.good.last) {
            (Some(serving), _) => Some(self.row_of_serving(serving)),
            (None, _) if plugin.disabled => Some(self.row_of_disabled(id, plugin)),
            // Told with its file, where there is one.
            (None, Some(Kept { file, refused: Some(refused), .. })) if !self.has_refused_file(id) => {
                Some(row_of_refused(Some(id), file, refused))
            }
            _ => None,
        };
        let leaving = plugin.leaving.iter().map(|leaving| row_of_leaving(id, leaving));
        let rows = first.into_iter().chain(leaving);
        rows.map(|row| PluginStatus { retired: plugin.retired, ..row }).collect()
    }

    fn has_refused_file(&self, id: &str) -> bool {
        self.files_of(id).iter().any(|name| self.files.get(name).is_some_and(|file| file.refused.is_some()))
    }

    fn row_of_disabled(&self, id: &str, plugin: &Plugin) -> PluginStatus {
        let row = blank(Some(id), State::Disabled);
        let reason = Some("switched off by the administrator".into());
        match &plugin.good.last {
            Some(Kept { record, file, staged, .. }) => PluginStatus {
                version: Some(record.version.clone()),
                file: Some(file.to_string()),
                sha256: Some(staged.digest().to_string()),
                since: Timestamp::from_millisecond(record.since).unwrap_or_default(),
                reason,
                ..row
            },
            None => PluginStatus { file: self.files_of(id).first().map(ToString::to_string), reason, ..row },
        }
    }

    fn row_of_serving(&self, serving: &Serving) -> PluginStatus {
        let manifest = serving.generation.manifest();
        PluginStatus {
            version: Some(manifest.version.clone()),
            file: Some(serving.file.to_string()),
            sha256: Some(serving.staged.digest().to_string()),
            routes: serving.routes(),
            reason: self.trouble_with_serving(serving).or_else(|| self.trouble_with_file(serving)),
            generation: Some(serving.generation.number()),
            since: serving.since,
            ..blank(Some(&manifest.id), State::Active)
        }
    }

    /// What was wrong with a version in its first seconds, and why it is in service still.
    fn trouble_with_serving(&self, serving: &Serving) -> Option<String> {
        let misconduct = serving.misconduct.as_ref()?;
        let id = &serving.generation.manifest().id;
        let kept =
            self.plugins.get(id)?.good.last.as_ref().filter(|kept| kept.staged.digest() != serving.staged.digest());
        Some(match kept {
            Some(Kept { refused: Some(refused), record, .. }) => {
                format!("{misconduct}; serves on, {} can't be brought back: {}", record.version, refused.refusal)
            }
            Some(kept) if self.is_returning(id) => format!("{misconduct}; going back to {}", kept.record.version),
            _ => format!("{misconduct}; serves on, there is no earlier version to go back to"),
        })
    }

    /// What is wrong with the file of a plugin that serves nevertheless.
    pub fn trouble_with_file(&self, serving: &Serving) -> Option<String> {
        let file = self.files.get(&serving.file)?;
        let Some(refused) = &file.refused else { return file.doubt_about(serving.staged.digest()) };
        let running = &serving.generation.manifest().version;
        let waiting = refused.version.as_ref().map(|version| format!(" ({version})")).unwrap_or_default();
        Some(format!("running {running} (kept), {}{waiting} on disk was refused: {}", serving.file, refused.refusal))
    }

    /// Nothing to say of a file that serves, or whose trouble is told with its plugin.
    fn row_of_file(&self, name: &FileName, file: &File) -> Option<PluginStatus> {
        let id = file.claims.as_ref();
        if let Some(refused) = &file.refused {
            let plugin = id.and_then(|id| self.plugins.get(id));
            let told = self.served_from(name).is_some() || plugin.is_some_and(|plugin| plugin.disabled);
            return (!told).then(|| row_of_refused(id.map(String::as_str), name, refused));
        }
        let since = file.settling.filter(|_| file.journey.is_none())?;
        let row = blank(id.map(String::as_str), State::Seen);
        Some(PluginStatus { file: Some(name.to_string()), since, ..row })
    }

    fn row_of_travel(&self, travel: &Travel) -> PluginStatus {
        let id = travel.id().or_else(|| self.claimed_by(&travel.file));
        PluginStatus {
            version: travel.candidate.as_ref().map(|candidate| candidate.manifest.version.clone()),
            file: Some(travel.file.to_string()),
            sha256: travel.digest.map(|digest| digest.to_string()),
            since: travel.since,
            ..blank(id.map(String::as_str), travel.state)
        }
    }
}

fn row_of_refused(id: Option<&str>, file: &FileName, refused: &Refused) -> PluginStatus {
    PluginStatus {
        version: refused.version.clone(),
        file: Some(file.to_string()),
        sha256: refused.digest.map(|digest| digest.to_string()),
        reason: Some(refused.refusal.to_string()),
        since: refused.since,
        ..blank(id, State::Refused)
    }
}

fn row_of_leaving(id: &str, leaving: &Leaving) -> PluginStatus {
    PluginStatus {
        version: Some(leaving.generation.manifest().version.clone()),
        file: Some(leaving.file.to_string()),
        sha256: Some(leaving.staged.digest().to_string()),
        generation: Some(leaving.generation.number()),
        since: leaving.since,
        ..blank(Some(id), leaving.state)
    }
}

fn blank(id: Option<&str>, state: State) -> PluginStatus {
    PluginStatus {
        id: id.map(str::to_owned),
        version: None,
        state,
        file: None,
        sha256: None,
        routes: Vec::new(),
        reason: None,
        generation: None,
        retired: 0,
        since: Timestamp::now(),
    }
}

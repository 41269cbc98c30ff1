//! A file of JSON lines.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use idem_runtime::broker::JsonLines;
use idem_runtime::{Message, cloud_events};
use idem_testing::conformance::{BrokerFault, PublishTarget, Unsupported};

/// A file in a folder that can be taken away.
pub(crate) struct Lines {
    folder: PathBuf,
    aside: PathBuf,
    /// Up to where it was read.
    read: Mutex<u64>,
}

impl Lines {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let target = Self {
            folder: folder.join("here"),
            aside: folder.join("away"),
            read: Mutex::new(0),
        };
        fs::create_dir(&target.folder).unwrap();
        target
    }

    fn file(&self) -> PathBuf {
        self.folder.join("events.jsonl")
    }
}

impl PublishTarget for Lines {
    type Publisher = JsonLines;

    async fn publisher(&self) -> JsonLines {
        JsonLines::file(self.file())
    }

    async fn received(&self) -> Vec<Message> {
        let Ok(mut file) = File::open(self.file()) else {
            return Vec::new();
        };
        let mut read = self.read.lock().unwrap();
        file.seek(SeekFrom::Start(*read)).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        let mut messages = Vec::new();
        for line in text.split_inclusive('\n') {
            // The rest is being written.
            let Some(json) = line.strip_suffix('\n') else {
                break;
            };
            *read += line.len() as u64;
            let event = cloud_events::from_json(json.as_bytes()).unwrap();
            messages.push(event.try_into().unwrap());
        }
        messages
    }

    async fn inject(&self, fault: BrokerFault) -> Result<(), Unsupported> {
        if fault != BrokerFault::Down {
            return Err(Unsupported("a file answers all or nothing"));
        }
        fs::rename(&self.folder, &self.aside).unwrap();
        Ok(())
    }

    async fn restore(&self) {
        if self.aside.exists() {
            fs::rename(&self.aside, &self.folder).unwrap();
        }
    }
}

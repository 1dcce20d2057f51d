//! What a path within a folder stands for: a file, a folder's index, its listing, or a redirect to its slash.

use super::entity::Entity;
use super::fields::{About, shrinks};
use super::root::check_name;
use super::variants::{Made, Siblings, Worth};
use super::{Files, Folder, Wanted};
use crate::compress::{self, Coding};
use crate::service::Failure;
use http::{HeaderMap, header};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Larger ones are read as they are sent.
const SMALL: u64 = 256 << 10;
/// How old what we know of a file may be.
const FRESH: Duration = Duration::from_secs(1);
/// Files that one thread has compressed at once; what comes then goes out as it is.
const COMPRESSING: usize = 2;

pub enum Found {
    File(Rc<Entity>),
    /// A folder that has something to show, asked for without its slash.
    Slash,
    Listing(OwnedFd),
}

/// The form of a file that a client gets.
pub struct Form {
    /// What it gets unless it asks for a part.
    pub whole: Rc<Entity>,
    /// Others get another.
    pub varies: bool,
    /// In a coding of ours: made earlier, or yet to be made on the answer's way. Its bytes are not always the same.
    pub ours: bool,
}

/// Why there is no file.
enum Miss {
    Nothing,
    Folder,
    Failed,
}

impl From<io::Error> for Miss {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::EIO | libc::ENOMEM) => {
                tracing::error!(%error, "a file could not be read");
                Self::Failed
            }
            _ if error.kind() == io::ErrorKind::IsADirectory => Self::Folder,
            // Not there, not to be read, a link, a way out: all the same to the client.
            _ => Self::Nothing,
        }
    }
}

impl Files {
    pub(super) async fn look(&self, wanted: &Wanted<'_>) -> Result<Option<Found>, Failure> {
        let name = wanted.name;
        if name.is_empty() || name.ends_with('/') {
            return self.folder(wanted, name).await;
        }
        match self.entity(wanted, name).await {
            Ok(entity) => Ok(Some(Found::File(entity))),
            Err(Miss::Nothing) => Ok(None),
            Err(Miss::Failed) => Err(Failure::DISK),
            // Of a folder with nothing to show nobody learns that it is there.
            Err(Miss::Folder) => {
                let slashed = [name, "/"].concat();
                Ok(self.folder(wanted, &slashed).await?.map(|_| Found::Slash))
            }
        }
    }

    /// `name` is empty or has its slash.
    async fn folder(&self, wanted: &Wanted<'_>, name: &str) -> Result<Option<Found>, Failure> {
        for index in &wanted.options.index {
            match self.entity(wanted, &[name, index].concat()).await {
                Ok(entity) => return Ok(Some(Found::File(entity))),
                Err(Miss::Failed) => return Err(Failure::DISK),
                Err(Miss::Nothing | Miss::Folder) => {}
            }
        }
        if !wanted.options.autoindex {
            return Ok(None);
        }
        let Some(folder) = self.folders.get(wanted.folder) else { return Ok(None) };
        let name = name.trim_end_matches('/');
        if !name.is_empty() && check_name(name).is_err() {
            return Ok(None);
        }
        Ok(folder.root.open_folder(name).ok().map(Found::Listing))
    }

    /// From memory if it was looked at lately, else from the disk, where it may be the same still.
    async fn entity(&self, wanted: &Wanted<'_>, name: &str) -> Result<Rc<Entity>, Miss> {
        let place = self.folders.get(wanted.folder).ok_or(Miss::Nothing)?;
        let about = About { folder: place, options: wanted.options, name, coding: None };
        let mut known = self.cache.borrow_mut().get(wanted.folder, name);
        // Two sites may share a folder of the flat settings.
        if let Some(other) = known.take_if(|known| !known.is_under(wanted.options)) {
            let entity = Rc::new(other.with_options(&about));
            self.cache.borrow_mut().put(wanted.folder, name, &entity);
            known = Some(entity);
        }
        if let Some(known) = &known
            && wanted.now < known.checked.get() + FRESH
        {
            return Ok(known.clone());
        }
        check_name(name)?;
        let entity = match open(place, &about, name, known.as_ref()).await {
            Ok(entity) => entity,
            Err(error) => {
                self.cache.borrow_mut().remove(wanted.folder, name);
                return Err(error.into());
            }
        };
        if !known.is_some_and(|known| Rc::ptr_eq(&known, &entity)) {
            self.cache.borrow_mut().put(wanted.folder, name, &entity);
        }
        Ok(entity)
    }

    /// The file in the coding that the client likes best of those that there are.
    pub(super) async fn variant(&self, wanted: &Wanted<'_>, entity: &Rc<Entity>) -> Form {
        let form = |whole: &Rc<Entity>, varies, ours| Form { whole: whole.clone(), varies, ours };
        let compress = wanted.compress;
        let worth = entity.variants.worth(|| worth(wanted, entity));
        if worth.siblings {
            self.look_for_siblings(wanted, entity).await;
        }
        if !worth.coding && !entity.variants.has_siblings() {
            return form(entity, false, false);
        }
        let accept = compress::accepted(&wanted.parts.headers);
        if accept.is_nothing() {
            return form(entity, true, false);
        }
        // What lies there costs nothing, whatever is preferred.
        let siblings: Siblings = entity.variants.siblings();
        let offered =
            Coding::ALL.map(|coding| siblings.get(coding as usize).is_some_and(Option::is_some).then_some(coding));
        let mut offered: Vec<Coding> = offered.into_iter().flatten().collect();
        if worth.coding && (compress.private || !is_private(&wanted.parts.headers)) {
            let others =
                compress.codings.iter().filter(|coding| !matches!(entity.variants.made(**coding), Made::Never));
            offered
                .extend(others.copied().filter(|coding| !siblings.get(*coding as usize).is_some_and(Option::is_some)));
        }
        let Some(coding) = accept.choose(&offered) else { return form(entity, true, false) };
        if let Some(sibling) = siblings.get(coding as usize).and_then(Option::as_ref) {
            return form(sibling, true, false);
        }
        match entity.variants.made(coding) {
            Made::Ready(made) => return form(&made, true, true),
            Made::No => self.make(wanted, entity, coding),
            Made::Working | Made::Never => {}
        }
        form(entity, true, true)
    }

    /// Once a second at most, like the file itself.
    async fn look_for_siblings(&self, wanted: &Wanted<'_>, entity: &Rc<Entity>) {
        let now = wanted.now;
        if entity.variants.is_fresh(now, FRESH) {
            return;
        }
        let Some(place) = self.folders.get(wanted.folder) else { return };
        let name = &*entity.name;
        let mut siblings = [None, None, None];
        for coding in Coding::ALL {
            let about = About { folder: place, options: wanted.options, name, coding: Some(coding) };
            let known = entity.variants.sibling(coding);
            let found = open(place, &about, &[name, coding.suffix()].concat(), known.as_ref()).await;
            // What was compressed before the file was changed is not the file.
            let found = found.ok().filter(|found| !found.is_older_than(entity));
            if let Some(slot) = siblings.get_mut(coding as usize) {
                *slot = found.map(|found| match known.filter(|known| Rc::ptr_eq(known, &found)) {
                    Some(known) => known,
                    None => Rc::try_unwrap(found).map_or_else(|found| found, |found| Rc::new(found.dated(entity))),
                });
            }
        }
        entity.variants.found(now, siblings);
        self.cache.borrow_mut().reweigh(wanted.folder, entity);
    }

    /// On another thread, for the next who asks.
    fn make(&self, wanted: &Wanted<'_>, entity: &Rc<Entity>, coding: Coding) {
        let Some(bytes) = entity.bytes().cloned() else { return };
        if self.compressing.get() >= COMPRESSING {
            return;
        }
        let Some(place) = self.folders.get(wanted.folder) else { return };
        self.compressing.set(self.compressing.get() + 1);
        entity.variants.set_made(coding, Made::Working);
        let about = About { folder: place, options: wanted.options, name: &entity.name, coding: Some(coding) };
        // Its fields now: the folder and the options are the view's, which may be gone by then.
        let form = entity.coded(&about);
        let (entity, compressing, cache) = (entity.clone(), self.compressing.clone(), self.cache.clone());
        let folder = wanted.folder;
        let level = wanted.compress.level(coding).max(level(coding));
        tokio::task::spawn_local(async move {
            let length = bytes.len();
            let work = move || compress::coding::compress(&bytes, coding, level);
            let made = match tokio::task::spawn_blocking(work).await {
                Ok(Ok(small)) if small.len() + small.len() / 16 < length => {
                    Made::Ready(Rc::new(form.with_bytes(small.into())))
                }
                _ => Made::Never,
            };
            compressing.set(compressing.get() - 1);
            entity.variants.set_made(coding, made);
            cache.borrow_mut().reweigh(folder, &entity);
        });
    }
}

/// Once for each version of a file it may take its time.
const fn level(coding: Coding) -> u8 {
    match coding {
        Coding::Br | Coding::Gzip => 9,
        Coding::Zstd => 15,
    }
}

/// What may become of a file, which its options and its name decide.
fn worth(wanted: &Wanted<'_>, entity: &Entity) -> Worth {
    let compress = wanted.compress;
    let media = entity.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Worth {
        siblings: wanted.options.precompressed && (shrinks(media) || media == "application/octet-stream"),
        coding: entity.length >= compress.min_length
            && !compress.codings.is_empty()
            && compress.types.has(media.as_bytes())
            && !compress::forbidden(&entity.headers),
    }
}

/// Of one client: its secrets are not to be guessed by the length.
fn is_private(headers: &HeaderMap) -> bool {
    headers.contains_key(header::COOKIE) || headers.contains_key(header::AUTHORIZATION)
}

/// Opens a file; `known` where it is still the same.
async fn open(place: &Folder, about: &About<'_>, name: &str, known: Option<&Rc<Entity>>) -> io::Result<Rc<Entity>> {
    let file = place.root.open(name)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        let kind = if metadata.is_dir() { io::ErrorKind::IsADirectory } else { io::ErrorKind::NotFound };
        return Err(kind.into());
    }
    if let Some(known) = known.filter(|known| known.is(&metadata) && known.is_under(about.options)) {
        known.checked.set(Instant::now());
        return Ok(known.clone());
    }
    Ok(Rc::new(Entity::read(about, Arc::new(file), &metadata, SMALL).await?))
}

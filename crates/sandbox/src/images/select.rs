//! From the index to the one manifest that fits.

use std::collections::HashSet;

use super::document::{Descriptor, Index, Kind, Manifest, Platform};
use super::error::ImageError;
use super::layout::Layout;

/// Indexes within indexes: a layout's own, one for several platforms, and one to spare.
const DEPTH_MAX: usize = 3;

/// An image for this machine.
pub(super) struct Selected {
    /// Descriptor of the manifest: its digest names the image.
    pub(super) descriptor: Descriptor,
    pub(super) manifest: Manifest,
}

/// Finds the image with a tag, or the only one there is.
pub(super) fn select(layout: &Layout, tag: Option<&str>) -> Result<Selected, ImageError> {
    let wanted = Platform::of_this_machine();
    let mut descriptor = by_tag(layout.index()?, tag, &wanted)?;
    for _ in 0..DEPTH_MAX {
        match descriptor.kind() {
            Kind::Index => descriptor = by_platform(layout.document(&descriptor)?, &wanted)?,
            Kind::Manifest => {
                let manifest = layout.document(&descriptor)?;
                return checked(layout, Selected { descriptor, manifest }, &wanted);
            }
            Kind::Other => {
                let digest = descriptor.digest()?.to_string();
                return Err(ImageError::MediaType { digest, media_type: descriptor.media_type });
            }
        }
    }
    Err(ImageError::Document {
        name: "index.json".into(),
        reason: "indexes lie too deep in each other".into(),
    })
}

/// The choice among the images of a layout.
fn by_tag(index: Index, tag: Option<&str>, wanted: &Platform) -> Result<Descriptor, ImageError> {
    let mut images = index.manifests;
    images.retain(|image| image.kind() != Kind::Other);
    let tags = |images: &[Descriptor]| {
        let mut tags: Vec<String> = images.iter().filter_map(Descriptor::tag).map(str::to_owned).collect();
        tags.sort();
        tags.dedup();
        tags
    };
    let known = tags(&images);
    match tag {
        Some(tag) => {
            images.retain(|image| image.tag() == Some(tag));
            if images.is_empty() {
                return Err(ImageError::UnknownTag { tag: tag.to_owned(), known });
            }
        }
        // Two names of one image leave no choice to make.
        None if known.len() > 1 => {
            let fitting = images.iter().filter(|image| fits(image, wanted));
            let digests = fitting.map(Descriptor::digest).collect::<Result<HashSet<_>, _>>()?;
            if digests.len() > 1 {
                return Err(ImageError::Ambiguous { known });
            }
        }
        None => {}
    }
    by_platform(Index { manifests: images }, wanted)
}

/// The first that fits, as the specification has it.
fn by_platform(index: Index, wanted: &Platform) -> Result<Descriptor, ImageError> {
    let images = index.manifests.into_iter().filter(|image| image.kind() != Kind::Other);
    let (fitting, others): (Vec<_>, Vec<_>) = images.partition(|image| fits(image, wanted));
    match fitting.into_iter().next() {
        Some(image) => Ok(image),
        None => {
            let mut known: Vec<String> =
                others.iter().filter_map(|image| image.platform.as_ref().map(Platform::to_string)).collect();
            known.dedup();
            Err(ImageError::WrongPlatform { wanted: wanted.to_string(), known })
        }
    }
}

/// Whether an image may be for this machine: where the index does not say, its configuration will.
fn fits(image: &Descriptor, wanted: &Platform) -> bool {
    image.platform.as_ref().is_none_or(|platform| platform == wanted)
}

fn checked(layout: &Layout, selected: Selected, wanted: &Platform) -> Result<Selected, ImageError> {
    let platform: Platform = layout.document(&selected.manifest.config)?;
    if platform != *wanted {
        let known = vec![platform.to_string()];
        return Err(ImageError::WrongPlatform { wanted: wanted.to_string(), known });
    }
    Ok(selected)
}

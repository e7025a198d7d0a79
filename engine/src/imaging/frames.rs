//! The frames of a colour series: an ultrasound clip, a secondary capture, a plain picture, a colour NIfTI.

use std::sync::Arc;

use image::RgbImage;

use super::geometry::Direction;
use super::note::Note;

/// Pictures that are shown one at a time: at least one, not necessarily of one size.
#[derive(Clone, Debug)]
pub struct Frames {
    first: Arc<RgbImage>,
    rest: Vec<Arc<RgbImage>>,
    /// Where the right and the lower edge of every frame point in the patient, where the file says so.
    pub sides: Option<[Direction; 2]>,
    /// Distance of columns and of rows in the patient, where every frame's file says the same.
    pub spacing_mm: Option<[f64; 2]>,
    /// What the reader wants the user to know.
    pub notes: Vec<Note>,
}

impl Frames {
    /// One picture.
    pub fn one(picture: RgbImage) -> Self {
        Self {
            first: Arc::new(picture),
            rest: Vec::new(),
            sides: None,
            spacing_mm: None,
            notes: Vec::new(),
        }
    }

    /// Pictures in their order. Nothing where there are none.
    pub fn new(pictures: impl IntoIterator<Item = RgbImage>) -> Option<Self> {
        let mut pictures = pictures.into_iter().map(Arc::new);
        let first = pictures.next()?;
        Some(Self {
            first,
            rest: pictures.collect(),
            sides: None,
            spacing_mm: None,
            notes: Vec::new(),
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        1 + self.rest.len()
    }

    /// A frame, from 0; past the end the last one.
    pub fn at(&self, index: usize) -> &Arc<RgbImage> {
        match index.checked_sub(1) {
            None => &self.first,
            Some(index) => {
                let frame = self.rest.get(index).or(self.rest.last());
                frame.unwrap_or(&self.first)
            }
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<RgbImage>> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_and_found_and_never_none() {
        let picture = |level| RgbImage::from_pixel(2, 1, image::Rgb([level; 3]));
        let frames = Frames::new([1, 2, 3].map(picture)).unwrap();
        let levels = |index| frames.at(index).get_pixel(0, 0).0[0];
        assert_eq!(frames.count(), 3);
        assert_eq!([0, 1, 2, 9].map(levels), [1, 2, 3, 3]);
        assert_eq!(frames.iter().count(), 3);
        assert!(Frames::new([]).is_none());
        assert_eq!(Frames::one(picture(4)).at(1).get_pixel(1, 0).0, [4; 3]);
    }
}

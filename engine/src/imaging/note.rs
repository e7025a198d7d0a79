//! What a reader wants the user to know of a series that it shows: typed, so that the window can say it in its language.

use serde::{Serialize, Serializer};

/// What keeps images from being in one volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Differs {
    /// Rows or columns.
    #[error("image size")]
    Size,
    /// Photometric Interpretation (0028,0004), or colour beside grey.
    #[error("photometric interpretation")]
    Photometric,
    /// Image Orientation (Patient) (0020,0037).
    #[error("orientation")]
    Orientation,
    /// Pixel Spacing (0028,0030).
    #[error("pixel spacing")]
    Spacing,
    /// Stack ID (0020,9056).
    #[error("stack")]
    Stack,
}

/// A note. Its `Display` is the English sentence, which the command line prints.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Note {
    /// One volume of several in its series.
    #[error("split from its series: {0} differs")]
    Split(Differs),
    /// One of several images at each position: phases, echoes.
    #[error("split from its series: {} at {}, this is number {number}", most_images(*most, *each), positions(*each))]
    Layer {
        /// Images at a position, at most.
        most: usize,
        /// As many at each.
        each: bool,
        /// Which of them, from 1.
        number: usize,
    },
    /// No spacing of the pixels.
    #[error("the files do not say how far pixels are apart: no planes across the slices")]
    NoSpacing,
    /// No positions of the slices.
    #[error(
        "the files do not say where the slices lie: order by number, no planes across the slices"
    )]
    NoPositions,
    /// The slices are shifted against each other evenly.
    #[error(
        "the gantry was tilted by {degrees:.1} degrees: planes across the slices are sheared; patient axes straighten them"
    )]
    Tilted {
        /// By how much.
        degrees: f64,
    },
    /// The slices are shifted against each other unevenly.
    #[error(
        "slices are shifted sideways by up to {mm:.2} mm: planes across the slices would be distorted and are off"
    )]
    Shifted {
        /// By how much, at most.
        mm: f64,
    },
    /// Slices are missing among others at even distances.
    #[error(
        "slices are missing at {places} places: they are {apart_mm:.2} mm apart, but up to {most_mm:.2} mm there; planes across the slices would be distorted and are off"
    )]
    Missing {
        /// Where they are missing.
        places: usize,
        /// The distance of the others.
        apart_mm: f64,
        /// The longest distance.
        most_mm: f64,
    },
    /// Slices at uneven distances.
    #[error(
        "slices are {low_mm:.2} to {high_mm:.2} mm apart: planes across the slices would be distorted and are off"
    )]
    Uneven {
        /// The shortest distance.
        low_mm: f64,
        /// The longest.
        high_mm: f64,
    },
    /// Lossy compression was used on the way (0028,2110), or the picture is a JPEG.
    #[error("Lossy source")]
    Lossy,
    /// The 128 bytes before a DICOM file are the head of a program (PS3.10 7.1 leaves them to anyone).
    #[error(
        "the file begins as a program does: do not run it, and ask where it comes from; its image is shown as usual"
    )]
    ExecutablePreamble,
    /// Some of the pictures of a series in colour cannot be read.
    #[error(
        "{count} of {of} pictures cannot be read and are black; copy them again from their source"
    )]
    Unreadable {
        /// How many.
        count: usize,
        /// Of how many.
        of: usize,
    },
    /// The file ends before its last frame.
    #[error(
        "the file is cut short: {there} of {promised} frames are there, and only these are shown"
    )]
    CutShort {
        /// Frames that are there.
        there: usize,
        /// Frames that its header names.
        promised: usize,
    },
    /// One of several volumes in a file.
    #[error("{count} volumes in one file: number {number} is shown")]
    OneOf {
        /// How many there are.
        count: usize,
        /// Which of them, from 1.
        number: usize,
    },
    /// A NIfTI sform that is none.
    #[error("its sform is no orientation and was not used")]
    BadSform,
    /// A NIfTI qform that is none.
    #[error("its qform is no orientation and was not used")]
    BadQform,
    /// A NIfTI file without an orientation.
    #[error("the file does not say where left and right are")]
    NoSides,
    /// Why a single slice has no other planes.
    #[error("the series is a single slice, so there is no other plane to cut")]
    SingleSlice,
}

fn most_images(most: usize, each: bool) -> String {
    let up_to = if each { "" } else { "up to " };
    format!("{up_to}{most} images")
}

fn positions(each: bool) -> &'static str {
    if each {
        "each position"
    } else {
        "one position"
    }
}

impl Serialize for Note {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

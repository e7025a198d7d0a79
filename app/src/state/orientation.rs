//! How a picture is turned and flipped on screen. The model's picture stays as it was acquired.

use serde::{Deserialize, Serialize};

use crate::strings::words;

/// Where one step to the right and one step down on screen lead in the picture: each along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orientation {
    right: [i8; 2],
    down: [i8; 2],
}

/// One way to change an orientation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Exchange left and right.
    FlipHorizontally,
    /// Exchange top and bottom.
    FlipVertically,
    /// A quarter clockwise.
    RotateRight,
    /// A quarter against the clock.
    RotateLeft,
}

impl Default for Orientation {
    fn default() -> Self {
        Self {
            right: [1, 0],
            down: [0, 1],
        }
    }
}

impl Orientation {
    /// The same, or the one of a picture as it was acquired where the axes of a file are none.
    #[must_use]
    pub fn sound(self) -> Self {
        let unit = |[x, y]: [i8; 2]| matches!((x, y), (0, 1 | -1) | (1 | -1, 0));
        let crossed = (self.right[0] == 0) != (self.down[0] == 0);
        if unit(self.right) && unit(self.down) && crossed {
            self
        } else {
            Self::default()
        }
    }

    /// The orientation after one more change of what is on screen.
    pub fn turned(self, turn: Turn) -> Self {
        let opposite = |axis: [i8; 2]| axis.map(|step| -step);
        let Self { right, down } = self;
        let (right, down) = match turn {
            Turn::FlipHorizontally => (opposite(right), down),
            Turn::FlipVertically => (right, opposite(down)),
            Turn::RotateRight => (opposite(down), right),
            Turn::RotateLeft => (down, opposite(right)),
        };
        Self { right, down }
    }

    /// Do the picture's columns lie across the screen?
    pub fn swaps_sides(self) -> bool {
        self.right[0] == 0
    }

    /// The place in the picture of a place on screen; both are shares of the sides, from the upper left corner.
    pub fn to_picture(self, share: [f32; 2]) -> [f32; 2] {
        let [x, y] = share.map(|share| share - 0.5);
        [0, 1].map(|axis| 0.5 + x * f32::from(self.right[axis]) + y * f32::from(self.down[axis]))
    }

    /// The place on screen of a place in the picture; the way back of [`Self::to_picture`].
    pub fn to_screen(self, share: [f32; 2]) -> [f32; 2] {
        let picture = share.map(|share| share - 0.5);
        [self.right, self.down]
            .map(|axis| 0.5 + picture[0] * f32::from(axis[0]) + picture[1] * f32::from(axis[1]))
    }

    /// What the steps `right` and `down` of the picture become on screen.
    pub fn on_screen(self, right: [f64; 3], down: [f64; 3]) -> [[f64; 3]; 2] {
        [self.right, self.down].map(|[across, along]| {
            [0, 1, 2].map(|d| f64::from(across) * right[d] + f64::from(along) * down[d])
        })
    }

    /// `rotated 90° right`; empty for a picture as it was acquired.
    pub fn words(self) -> &'static str {
        match (self.right, self.down) {
            ([0, -1], [1, 0]) => words().rotated_right,
            ([0, 1], [-1, 0]) => words().rotated_left,
            ([-1, 0], [0, -1]) => words().rotated_half,
            ([-1, 0], [0, 1]) => words().flipped_h,
            ([1, 0], [0, -1]) => words().flipped_v,
            ([0, -1], [-1, 0]) => words().flipped_right,
            ([0, 1], [1, 0]) => words().flipped_left,
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(turns: &[Turn]) -> Orientation {
        turns
            .iter()
            .fold(Orientation::default(), |o, turn| o.turned(*turn))
    }

    #[test]
    fn four_quarters_or_two_flips_are_no_change() {
        for (turn, times) in [
            (Turn::RotateRight, 4),
            (Turn::RotateLeft, 4),
            (Turn::FlipHorizontally, 2),
            (Turn::FlipVertically, 2),
        ] {
            assert_eq!(after(&vec![turn; times]), Orientation::default());
            assert_ne!(after(&[turn]), Orientation::default());
        }
    }

    #[test]
    fn a_quarter_to_the_right_brings_the_lower_left_corner_to_the_upper_left() {
        let turned = after(&[Turn::RotateRight]);
        assert_eq!(turned.to_picture([0.0, 0.0]), [0.0, 1.0]);
        assert_eq!(turned.to_picture([1.0, 0.0]), [0.0, 0.0]);
        assert!(turned.swaps_sides());
    }

    #[test]
    fn a_place_on_screen_and_in_the_picture_lead_to_each_other() {
        for turns in [
            &[][..],
            &[Turn::RotateRight],
            &[Turn::FlipVertically, Turn::RotateLeft],
        ] {
            let turned = after(turns);
            assert_eq!(
                turned.to_screen(turned.to_picture([0.25, 0.75])),
                [0.25, 0.75]
            );
        }
    }

    #[test]
    fn the_eight_orientations_have_eight_names() {
        let mut names = std::collections::BTreeSet::new();
        for flips in 0..2 {
            for quarters in 0..4 {
                let mut turns = vec![Turn::FlipHorizontally; flips];
                turns.extend(vec![Turn::RotateRight; quarters]);
                let _ = names.insert(after(&turns).words());
            }
        }
        assert_eq!(names.len(), 8, "{names:?}");
    }

    #[test]
    fn a_place_on_screen_is_found_again_however_the_picture_is_turned() {
        let turns = [Turn::RotateRight, Turn::FlipVertically, Turn::RotateLeft];
        let mut orientation = Orientation::default();
        for turn in turns {
            orientation = orientation.turned(turn);
            let there = orientation.to_picture([0.2, 0.7]);
            let [x, y] = orientation.to_screen(there);
            assert!((x - 0.2).abs() < 1e-6 && (y - 0.7).abs() < 1e-6);
        }
    }
}

//! What a limb on a table may also look like: the same change for input and target, drawn by a seed.
//!
//! The change keeps what the pictures show but not where: answers that name a place (`upper left`) do not survive a mirror or a
//! turn, so it is for tasks that make pictures.

use serde::{Deserialize, Serialize};

use crate::model::random::Random;

/// What may change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Mirrored left to right, half of the time.
    pub mirror: bool,
    /// Mirrored top to bottom, half of the time.
    pub flip: bool,
    /// Turned by 0 to 3 quarters.
    pub turn: bool,
    /// Moved by up to so many pixels, right or left and up or down; black comes in.
    pub shift: usize,
}

impl Default for Augmentation {
    /// Left and right limbs exist; upside-down ones do not.
    fn default() -> Self {
        Self {
            mirror: true,
            flip: false,
            turn: false,
            shift: 8,
        }
    }
}

/// One change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    mirror: bool,
    flip: bool,
    quarters: usize,
    shift: [i64; 2],
}

impl Augmentation {
    /// A change of this kind.
    pub fn draw(&self, random: &mut Random) -> Change {
        let mut coin = |wanted: bool| wanted && random.uniform() < 0.5;
        let (mirror, flip) = (coin(self.mirror), coin(self.flip));
        let quarters = if self.turn { random.below(4) } else { 0 };
        let mut step = || random.below(2 * self.shift + 1) as i64 - self.shift as i64;
        Change {
            mirror,
            flip,
            quarters,
            shift: [step(), step()],
        }
    }
}

impl Change {
    /// The changed picture: grey levels of a square, row by row.
    pub fn apply(&self, levels: &[u8], side: usize) -> Vec<u8> {
        let last = side as i64 - 1;
        (0..levels.len() as i64)
            .map(|i| {
                let (mut x, mut y) = (
                    i % (last + 1) + self.shift[0],
                    i / (last + 1) + self.shift[1],
                );
                for _ in 0..self.quarters {
                    (x, y) = (y, last - x);
                }
                if self.mirror {
                    x = last - x;
                }
                if self.flip {
                    y = last - y;
                }
                let inside = (0..=last).contains(&x) && (0..=last).contains(&y);
                let at = inside.then_some((y * (last + 1) + x) as usize);
                at.and_then(|at| levels.get(at)).copied().unwrap_or(0)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_does_what_it_says() {
        let picture = [1, 2, 3, 4];
        let apply = |change: Change| change.apply(&picture, 2);
        let none = Change::default();
        assert_eq!(apply(none), picture);
        assert_eq!(
            apply(Change {
                mirror: true,
                ..none
            }),
            [2, 1, 4, 3]
        );
        assert_eq!(apply(Change { flip: true, ..none }), [3, 4, 1, 2]);
        assert_eq!(
            apply(Change {
                quarters: 1,
                ..none
            }),
            [3, 1, 4, 2]
        );
        assert_eq!(
            apply(Change {
                shift: [1, 0],
                ..none
            }),
            [2, 0, 4, 0]
        );
    }

    #[test]
    fn a_seed_repeats_its_changes_and_nothing_changes_that_may_not() {
        let all = Augmentation {
            mirror: true,
            flip: true,
            turn: true,
            shift: 3,
        };
        let draws = |seed| -> Vec<Change> {
            let mut random = Random(seed);
            (0..20).map(|_| all.draw(&mut random)).collect()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        let nothing = Augmentation {
            mirror: false,
            flip: false,
            turn: false,
            shift: 0,
        };
        assert_eq!(nothing.draw(&mut Random(1)), Change::default());
    }
}

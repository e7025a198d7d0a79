//! Colours for grey levels: for the screen only. The picture a model gets is always grey.
//!
//! The maps rise evenly in lightness and can be read by colour-blind people; they are viridis, cividis and inferno at
//! every eighth level (published by their authors as CC0), with straight lines between.

use serde::{Deserialize, Serialize};

/// Which colours grey levels have on screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColourMap {
    /// Black to white.
    #[default]
    Grey,
    /// Violet to yellow.
    Viridis,
    /// Blue to yellow, made for the colour-blind.
    Cividis,
    /// Black over red to yellow.
    Inferno,
}

/// Levels between two points of a map.
const STEP: usize = 8;

type Points = [[u8; 3]; 33];

impl ColourMap {
    /// In menu order.
    pub const ALL: [Self; 4] = [Self::Grey, Self::Viridis, Self::Cividis, Self::Inferno];

    /// `Grey`, `Viridis`, `Cividis`, `Inferno`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grey => "Grey",
            Self::Viridis => "Viridis",
            Self::Cividis => "Cividis",
            Self::Inferno => "Inferno",
        }
    }

    /// Red, green and blue of every grey level.
    pub fn table(self) -> [[u8; 3]; 256] {
        let points = match self {
            Self::Grey => return std::array::from_fn(|level| [level as u8; 3]),
            Self::Viridis => &VIRIDIS,
            Self::Cividis => &CIVIDIS,
            Self::Inferno => &INFERNO,
        };
        std::array::from_fn(|level| {
            let (low, rest) = (level / STEP, level % STEP);
            // The last point is that of level 255: one level less than a step from the one before.
            let step = if low == 31 { STEP - 1 } else { STEP };
            let share = rest as f32 / step as f32;
            [0, 1, 2].map(|channel| {
                let [from, to] = [points[low], points[low + 1]].map(|c| f32::from(c[channel]));
                (from + (to - from) * share).round() as u8
            })
        })
    }
}

#[rustfmt::skip]
const VIRIDIS: Points = [
    [68, 1, 84], [71, 13, 96], [72, 24, 106], [72, 35, 116], [71, 45, 123], [69, 55, 129],
    [66, 64, 134], [62, 73, 137], [59, 82, 139], [55, 91, 141], [51, 99, 141], [47, 107, 142],
    [44, 114, 142], [41, 122, 142], [38, 130, 142], [35, 137, 142], [33, 145, 140], [31, 152, 139],
    [31, 160, 136], [34, 167, 133], [40, 174, 128], [50, 182, 122], [63, 188, 115], [78, 195, 107],
    [94, 201, 98], [112, 207, 87], [132, 212, 75], [152, 216, 62], [173, 220, 48], [194, 223, 35],
    [216, 226, 25], [236, 229, 27], [253, 231, 37],
];

#[rustfmt::skip]
const CIVIDIS: Points = [
    [0, 34, 78], [0, 40, 91], [0, 46, 106], [5, 51, 113], [26, 56, 111], [39, 62, 110],
    [50, 67, 109], [59, 73, 108], [67, 78, 108], [75, 84, 108], [83, 90, 109], [90, 95, 110],
    [97, 101, 111], [104, 106, 113], [111, 112, 115], [118, 118, 118], [125, 124, 120], [132, 130, 121],
    [140, 136, 120], [147, 142, 120], [155, 148, 118], [163, 154, 116], [171, 160, 114], [180, 167, 111],
    [188, 174, 108], [196, 180, 104], [205, 187, 99], [213, 194, 94], [222, 201, 88], [231, 209, 80],
    [240, 216, 70], [249, 224, 58], [254, 232, 56],
];

#[rustfmt::skip]
const INFERNO: Points = [
    [0, 0, 4], [4, 3, 18], [11, 7, 36], [21, 11, 55], [33, 12, 74], [47, 10, 91],
    [61, 9, 101], [74, 12, 107], [87, 16, 110], [100, 21, 110], [113, 25, 110], [125, 30, 109],
    [138, 34, 106], [151, 39, 102], [163, 44, 97], [176, 49, 91], [188, 55, 84], [199, 62, 76],
    [210, 70, 68], [219, 80, 59], [228, 90, 49], [235, 102, 40], [241, 115, 29], [246, 128, 19],
    [249, 142, 9], [251, 157, 7], [252, 172, 17], [251, 188, 33], [249, 203, 53], [245, 219, 76],
    [242, 234, 105], [243, 246, 138], [252, 255, 164],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_end_where_they_are_published_to_end() {
        let ends = |map: ColourMap| [map.table()[0], map.table()[255]];
        assert_eq!(ends(ColourMap::Grey), [[0; 3], [255; 3]]);
        assert_eq!(ends(ColourMap::Viridis), [[68, 1, 84], [253, 231, 37]]);
        assert_eq!(ends(ColourMap::Cividis), [[0, 34, 78], [254, 232, 56]]);
        assert_eq!(ends(ColourMap::Inferno), [[0, 0, 4], [252, 255, 164]]);
    }

    /// Rec. 709 luma: a brighter sample must look brighter.
    #[test]
    fn every_map_gets_lighter_from_level_to_level() {
        for map in ColourMap::ALL {
            let light = map.table().map(|[r, g, b]| {
                0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b)
            });
            let falls = light.windows(9).filter(|nine| nine[8] <= nine[0]).count();
            assert_eq!(falls, 0, "{map:?}");
        }
    }
}

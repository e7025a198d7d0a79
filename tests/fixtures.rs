//! Synthetic scans, written byte by byte so that they can also lie. No patient's data.

use std::fs;
use std::path::Path;

/// Explicit VR little endian.
pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// A DICOM file, element by element.
#[derive(Clone)]
pub struct Dicom {
    elements: Vec<(u32, [u8; 2], Vec<u8>)>,
    /// The transfer syntax in the file meta group.
    pub transfer_syntax: String,
    /// Write VRs.
    pub explicit: bool,
    /// Write the most significant byte first.
    pub big_endian: bool,
}

impl Dicom {
    /// An axial CT slice at `z` mm: 4 columns of 2 mm and 3 rows of 1.5 mm, signed 16 bit, all pixels 0.
    pub fn ct_slice(number: usize, z: f64) -> Self {
        let mut file = Self {
            elements: Vec::new(),
            transfer_syntax: EXPLICIT.to_owned(),
            explicit: true,
            big_endian: false,
        };
        file.text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.2")
            .text(0x0008_0018, "UI", &format!("1.2.3.{number}"))
            .text(0x0008_0020, "DA", "20240229")
            .text(0x0008_0060, "CS", "CT")
            .text(0x0008_1030, "LO", "Study")
            .text(0x0008_103E, "LO", "Phantom")
            .text(0x0010_0010, "PN", "Phantom^Test")
            .text(0x0010_0020, "LO", "T-1")
            .text(0x0018_0015, "CS", "HEAD")
            .text(0x0018_0050, "DS", "3")
            .text(0x0020_000D, "UI", "1.2.3.1000")
            .text(0x0020_000E, "UI", "1.2.3.2000")
            .text(0x0020_0011, "IS", "7")
            .text(0x0020_0013, "IS", &number.to_string())
            .orientation([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
            .position([-10.0, 20.0, z])
            .text(0x0028_0004, "CS", "MONOCHROME2")
            .text(0x0028_0030, "DS", "1.5\\2")
            .shorts(0x0028_0002, &[1])
            .size(4, 3)
            .bits(16, 16, true)
            .pixels_i16(&[0; 12]);
        file
    }

    /// Sets an element by its tag in hexadecimal, group first.
    pub fn set(&mut self, tag: u32, vr: &str, value: Vec<u8>) -> &mut Self {
        let vr = vr.as_bytes().first_chunk().copied().unwrap();
        self.elements.retain(|(other, ..)| *other != tag);
        self.elements.push((tag, vr, value));
        self.elements.sort_by_key(|(tag, ..)| *tag);
        self
    }

    /// Takes an element out.
    pub fn remove(&mut self, tag: u32) -> &mut Self {
        self.elements.retain(|(other, ..)| *other != tag);
        self
    }

    /// Sets a text, padded to an even length.
    pub fn text(&mut self, tag: u32, vr: &str, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        if bytes.len() % 2 == 1 {
            bytes.push(if vr == "UI" { 0 } else { b' ' });
        }
        self.set(tag, vr, bytes)
    }

    /// Sets 16-bit numbers.
    pub fn shorts(&mut self, tag: u32, values: &[u16]) -> &mut Self {
        let bytes = self.words(values.iter().copied());
        self.set(tag, "US", bytes)
    }

    /// 16-bit words in the order of the file.
    fn words(&self, values: impl Iterator<Item = u16>) -> Vec<u8> {
        let order = if self.big_endian {
            u16::to_be_bytes
        } else {
            u16::to_le_bytes
        };
        values.flat_map(order).collect()
    }

    /// Columns and rows.
    pub fn size(&mut self, columns: u16, rows: u16) -> &mut Self {
        self.shorts(0x0028_0010, &[rows])
            .shorts(0x0028_0011, &[columns])
    }

    /// Bits Allocated, Bits Stored, High Bit and Pixel Representation.
    pub fn bits(&mut self, allocated: u16, stored: u16, signed: bool) -> &mut Self {
        self.shorts(0x0028_0100, &[allocated])
            .shorts(0x0028_0101, &[stored])
            .shorts(0x0028_0102, &[stored - 1])
            .shorts(0x0028_0103, &[u16::from(signed)])
    }

    /// Image Position (Patient).
    pub fn position(&mut self, [x, y, z]: [f64; 3]) -> &mut Self {
        self.text(0x0020_0032, "DS", &format!("{x}\\{y}\\{z}"))
    }

    /// Image Orientation (Patient): where columns and where rows run to.
    pub fn orientation(&mut self, columns: [f64; 3], rows: [f64; 3]) -> &mut Self {
        let numbers = columns.iter().chain(&rows).map(f64::to_string);
        let text = numbers.collect::<Vec<_>>().join("\\");
        self.text(0x0020_0037, "DS", &text)
    }

    /// Rescale Intercept and Slope.
    pub fn rescale(&mut self, slope: f64, intercept: f64) -> &mut Self {
        self.text(0x0028_1052, "DS", &intercept.to_string()).text(
            0x0028_1053,
            "DS",
            &slope.to_string(),
        )
    }

    /// Pixel Data of 16-bit words.
    pub fn pixels_i16(&mut self, values: &[i16]) -> &mut Self {
        let bytes = self.words(values.iter().map(|value| value.cast_unsigned()));
        self.set(0x7FE0_0010, "OW", bytes)
    }

    /// Pixel Data as fragments behind an empty offset table.
    pub fn fragments(&mut self, transfer_syntax: &str, fragments: &[&[u8]]) -> &mut Self {
        self.transfer_syntax = transfer_syntax.to_owned();
        let mut bytes = item(&[]);
        for fragment in fragments {
            let padded = [*fragment, &[0][..fragment.len() % 2]].concat();
            bytes.extend(item(&padded));
        }
        bytes.extend(sequence_end());
        self.set(0x7FE0_0010, "??", bytes)
    }

    /// A sequence of items.
    pub fn sequence(&mut self, tag: u32, items: &[Vec<u8>]) -> &mut Self {
        let items = items.iter().flat_map(|bytes| item(bytes));
        self.set(tag, "SQ", items.collect())
    }

    /// The data set alone.
    pub fn data_set(&self) -> Vec<u8> {
        self.elements
            .iter()
            .flat_map(|(tag, vr, value)| self.element(*tag, *vr, value))
            .collect()
    }

    /// The whole file: preamble, meta group, data set.
    pub fn bytes(&self) -> Vec<u8> {
        let meta = Self {
            elements: Vec::new(),
            transfer_syntax: String::new(),
            explicit: true,
            big_endian: false,
        }
        .text(0x0002_0010, "UI", &self.transfer_syntax)
        .data_set();
        [vec![0; 128], b"DICM".to_vec(), meta, self.data_set()].concat()
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) {
        fs::write(path, self.bytes()).unwrap();
    }

    fn element(&self, tag: u32, vr: [u8; 2], value: &[u8]) -> Vec<u8> {
        let short = |value: u16| {
            if self.big_endian {
                value.to_be_bytes()
            } else {
                value.to_le_bytes()
            }
        };
        let long = |value: u32| {
            if self.big_endian {
                value.to_be_bytes()
            } else {
                value.to_le_bytes()
            }
        };
        let encapsulated = &vr == b"??";
        let vr = if encapsulated { *b"OB" } else { vr };
        let length = if encapsulated {
            u32::MAX
        } else {
            value.len() as u32
        };
        let mut bytes = [short((tag >> 16) as u16), short(tag as u16)].concat();
        if !self.explicit {
            bytes.extend(long(length));
        } else if [b"OB", b"OW", b"OF", b"OD", b"SQ", b"UN", b"UT"].contains(&&vr) {
            bytes.extend(vr);
            bytes.extend([0, 0]);
            bytes.extend(long(length));
        } else {
            bytes.extend(vr);
            bytes.extend(short(value.len() as u16));
        }
        bytes.extend(value);
        bytes
    }
}

/// An item with a length.
pub fn item(bytes: &[u8]) -> Vec<u8> {
    let head = [0xFE, 0xFF, 0x00, 0xE0];
    [&head, &(bytes.len() as u32).to_le_bytes()[..], bytes].concat()
}

fn sequence_end() -> [u8; 8] {
    [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]
}

/// A data set for an item: explicit VR little endian.
pub fn item_set(fill: impl Fn(&mut Dicom)) -> Vec<u8> {
    let mut set = Dicom {
        elements: Vec::new(),
        transfer_syntax: String::new(),
        explicit: true,
        big_endian: false,
    };
    fill(&mut set);
    set.data_set()
}

/// A NIfTI-1 or NIfTI-2 file.
#[derive(Clone)]
pub struct Nifti {
    /// `dim[1..]`.
    pub dim: Vec<i64>,
    /// `pixdim[1..4]`.
    pub pixdim: [f64; 3],
    /// `datatype`.
    pub datatype: i16,
    /// The voxels as bytes, in the byte order of `big_endian`.
    pub voxels: Vec<u8>,
    /// `scl_slope` and `scl_inter`.
    pub scaling: (f64, f64),
    /// RAS affine.
    pub sform: Option<[[f64; 4]; 3]>,
    /// Quaternion b, c, d, offset x, y, z and `pixdim[0]`.
    pub qform: Option<([f64; 3], [f64; 3], f64)>,
    /// `xyzt_units`: 2 is mm.
    pub units: u8,
    /// Most significant byte first.
    pub big_endian: bool,
    /// NIfTI-2.
    pub two: bool,
    /// The voxels are in another file.
    pub pair: bool,
}

impl Nifti {
    /// A volume of 16-bit voxels, 1 mm, without any orientation.
    pub fn of_i16(size: [usize; 3], voxels: &[i16]) -> Self {
        Self {
            dim: size.iter().map(|length| *length as i64).collect(),
            pixdim: [1.0; 3],
            datatype: 4,
            voxels: voxels.iter().flat_map(|x| x.to_le_bytes()).collect(),
            scaling: (0.0, 0.0),
            sform: None,
            qform: None,
            units: 2,
            big_endian: false,
            two: false,
            pair: false,
        }
    }

    /// Header and 4 bytes that say "no extensions".
    pub fn header(&self) -> Vec<u8> {
        let mut bytes = vec![0; if self.two { 544 } else { 352 }];
        let big = self.big_endian;
        let mut put = |at: usize, word: &[u8]| {
            let place = &mut bytes[at..at + word.len()];
            place.copy_from_slice(word);
            if big {
                place.reverse();
            }
        };
        let mut dim = vec![self.dim.len() as i64];
        dim.extend(&self.dim);
        dim.resize(8, 1);
        let (quaternion, offset, handedness) = self.qform.unwrap_or(([0.0; 3], [0.0; 3], 1.0));
        let pixdim = [&[handedness], &self.pixdim[..]].concat();
        let sform = self.sform.unwrap_or([[0.0; 4]; 3]);
        let codes = [
            i32::from(self.qform.is_some()),
            i32::from(self.sform.is_some()),
        ];
        let start = if self.pair {
            0
        } else if self.two {
            544
        } else {
            352
        };
        let rows: Vec<f64> = sform.iter().flatten().copied().collect();
        let q: Vec<f64> = [quaternion, offset].concat();
        if self.two {
            put(0, &540_i32.to_le_bytes());
            put(12, &self.datatype.to_le_bytes());
            for (i, length) in dim.iter().enumerate() {
                put(16 + 8 * i, &length.to_le_bytes());
            }
            for (i, size) in pixdim.iter().enumerate() {
                put(104 + 8 * i, &size.to_le_bytes());
            }
            put(168, &i64::from(start).to_le_bytes());
            put(176, &self.scaling.0.to_le_bytes());
            put(184, &self.scaling.1.to_le_bytes());
            put(344, &codes[0].to_le_bytes());
            put(348, &codes[1].to_le_bytes());
            for (i, value) in q.iter().enumerate() {
                put(352 + 8 * i, &value.to_le_bytes());
            }
            for (i, value) in rows.iter().enumerate() {
                put(400 + 8 * i, &value.to_le_bytes());
            }
            put(500, &i32::from(self.units).to_le_bytes());
        } else {
            put(0, &348_i32.to_le_bytes());
            put(70, &self.datatype.to_le_bytes());
            for (i, length) in dim.iter().enumerate() {
                put(40 + 2 * i, &(*length as i16).to_le_bytes());
            }
            for (i, size) in pixdim.iter().enumerate() {
                put(76 + 4 * i, &(*size as f32).to_le_bytes());
            }
            put(108, &(start as f32).to_le_bytes());
            put(112, &(self.scaling.0 as f32).to_le_bytes());
            put(116, &(self.scaling.1 as f32).to_le_bytes());
            put(123, &[self.units]);
            put(252, &(codes[0] as i16).to_le_bytes());
            put(254, &(codes[1] as i16).to_le_bytes());
            for (i, value) in q.iter().enumerate() {
                put(256 + 4 * i, &(*value as f32).to_le_bytes());
            }
            for (i, value) in rows.iter().enumerate() {
                put(280 + 4 * i, &(*value as f32).to_le_bytes());
            }
        }
        let magic: &[u8] = match (self.two, self.pair) {
            (false, false) => b"n+1\0",
            (false, true) => b"ni1\0",
            (true, false) => b"n+2\0\r\n\x1a\n",
            (true, true) => b"ni2\0\r\n\x1a\n",
        };
        let at = if self.two { 4 } else { 344 };
        bytes[at..at + magic.len()].copy_from_slice(magic);
        bytes
    }

    /// Header and voxels.
    pub fn bytes(&self) -> Vec<u8> {
        [self.header(), self.voxels.clone()].concat()
    }
}

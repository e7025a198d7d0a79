//! Sequential Huffman JPEG with 12 bits a sample (ISO 10918-1, process 4; DICOM PS3.5 A.4.1), which `jpeg-decoder` refuses.
//!
//! Scans of one or several components, restart intervals, any sampling factors; the inverse cosine transform is the definition
//! (A.3.3) in floating point, so a sample is within 1 of integer decoders.

use std::f32::consts::{FRAC_1_SQRT_2, PI};

/// Largest number of rows and columns of blocks in a component: 65535 samples.
const BLOCKS: usize = 8192;

/// Decodes one frame of `rows * columns * components` samples, which its header must have too: components interleaved, row by row.
///
/// # Errors
/// What is wrong with it.
pub fn decode(bytes: &[u8], [rows, columns, components]: [usize; 3]) -> Result<Vec<u16>, String> {
    let mut decoder = Decoder {
        size: [rows, columns],
        ..Decoder::default()
    };
    let start = bytes.windows(2).position(|pair| pair == [0xFF, 0xD8]);
    let mut at = start.ok_or("has no beginning")? + 2;
    // Data that end without a marker end the loop too: what is missing was noticed in its scan.
    while let Some(segment) = Segment::read(bytes, at) {
        at = segment.end;
        match segment.marker {
            0xC1 => decoder.frame(segment.content, components)?,
            0xC4 => decoder.huffman_tables(segment.content)?,
            0xDB => decoder.quantisation(segment.content)?,
            0xDD => decoder.restart = usize::from(word(segment.content, 0)?),
            0xDA => at += decoder.scan(segment.content, bytes.get(at..).unwrap_or_default())?,
            0xD9 => break,
            _ => {}
        }
    }
    decoder.finish()
}

/// A marker and what belongs to it.
struct Segment<'a> {
    marker: u8,
    content: &'a [u8],
    end: usize,
}

impl<'a> Segment<'a> {
    /// The next one from `at` on; bytes before its marker are passed over.
    fn read(bytes: &'a [u8], at: usize) -> Option<Self> {
        let rest = bytes.get(at..)?;
        let found = rest
            .windows(2)
            .position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xFF | 0xD0..=0xD7))?;
        let (marker, at) = (*rest.get(found + 1)?, at + found + 2);
        if matches!(marker, 0xD8 | 0xD9 | 0x01) {
            return Some(Self {
                marker,
                content: &[],
                end: at,
            });
        }
        let length = usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let end = at + length.max(2);
        Some(Self {
            marker,
            content: bytes.get(at + 2..end)?,
            end,
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u16, String> {
    let pair = bytes.get(at..).and_then(<[u8]>::first_chunk);
    pair.map(|pair| u16::from_be_bytes(*pair))
        .ok_or_else(|| "has a segment that is too short".to_owned())
}

fn byte(bytes: &[u8], at: usize) -> Result<u8, String> {
    let found = bytes.get(at).copied();
    found.ok_or_else(|| "has a segment that is too short".to_owned())
}

/// Codes of 1 to 16 bits (ISO 10918-1 C and F.2.2.3).
#[derive(Clone, Debug, Default)]
struct Huffman {
    /// First code, first value and number of codes of each length.
    lengths: [(u32, usize, u32); 17],
    values: Vec<u8>,
}

impl Huffman {
    fn new(counts: &[u8], values: &[u8]) -> Self {
        let mut lengths = [(0, 0, 0); 17];
        let (mut code, mut first) = (0_u32, 0);
        for (length, count) in lengths.iter_mut().skip(1).zip(counts) {
            let count = u32::from(*count);
            *length = (code, first, count);
            code = (code + count) << 1;
            first += count as usize;
        }
        Self {
            lengths,
            values: values.to_vec(),
        }
    }

    fn decode(&self, bits: &mut Bits<'_>) -> Result<u8, String> {
        let mut code = 0;
        for (first_code, first, count) in self.lengths.iter().skip(1) {
            code = code << 1 | bits.take(1)?;
            if let Some(offset) = code.checked_sub(*first_code).filter(|of| of < count) {
                let value = self.values.get(first + offset as usize);
                return value.copied().ok_or_else(|| "has a bad table".to_owned());
            }
        }
        Err("has a code that its table does not know".to_owned())
    }
}

/// Bits of a scan, without stuffed zeros, up to the next marker.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u32,
    count: u32,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Result<u32, String> {
        while self.count < count {
            let next = self.bytes.get(self.at).copied();
            let stuffed = next == Some(0xFF) && self.bytes.get(self.at + 1) == Some(&0);
            match next {
                Some(byte) if byte != 0xFF || stuffed => {
                    self.held = self.held << 8 | u32::from(byte);
                    self.at += if stuffed { 2 } else { 1 };
                    self.count += 8;
                }
                _ => return Err("ends within a picture".to_owned()),
            }
        }
        self.count -= count;
        let taken = self.held >> self.count;
        self.held &= (1 << self.count) - 1;
        Ok(taken)
    }

    /// A number of `size` bits, whose first bit is its sign (F.2.2.1).
    fn signed(&mut self, size: u32) -> Result<i32, String> {
        if size == 0 {
            return Ok(0);
        }
        if size > 16 {
            return Err("has a coefficient of more than 16 bits".to_owned());
        }
        let raw = self.take(size)? as i32;
        let negative = raw < 1 << (size - 1);
        Ok(if negative { raw - (1 << size) + 1 } else { raw })
    }

    /// Leaves the rest of a byte and the restart marker behind it.
    fn restart(&mut self) -> Result<(), String> {
        (self.held, self.count) = (0, 0);
        while self.bytes.get(self.at) == Some(&0xFF) && self.bytes.get(self.at + 1) == Some(&0xFF) {
            self.at += 1; // fill bytes
        }
        match self.bytes.get(self.at..self.at + 2) {
            Some([0xFF, 0xD0..=0xD7]) => {
                self.at += 2;
                Ok(())
            }
            _ => Err("lacks a restart marker".to_owned()),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Component {
    id: u8,
    /// Horizontal and vertical sampling factors.
    factors: [usize; 2],
    table: usize,
    /// Blocks in a row, with those that fill the last unit of an interleaved scan.
    stride: usize,
    /// `[block rows * 8, stride * 8]`.
    samples: Vec<u16>,
}

#[derive(Default)]
struct Decoder {
    /// Rows and columns.
    size: [usize; 2],
    precision: u32,
    quantisation: [Option<[u16; 64]>; 4],
    dc: [Option<Huffman>; 4],
    ac: [Option<Huffman>; 4],
    components: Vec<Component>,
    /// Largest factors.
    largest: [usize; 2],
    /// Units between two restart markers; 0 is none.
    restart: usize,
    scanned: usize,
}

/// What a scan decodes of a component.
struct Part {
    component: usize,
    dc: usize,
    ac: usize,
    previous: i32,
}

impl Decoder {
    fn frame(&mut self, content: &[u8], components: usize) -> Result<(), String> {
        self.precision = u32::from(byte(content, 0)?);
        let size = [word(content, 1)?, word(content, 3)?].map(usize::from);
        if self.precision != 12 || size != self.size || !self.components.is_empty() {
            return Err("has a frame header that contradicts itself".to_owned());
        }
        if usize::from(byte(content, 5)?) != components {
            return Err("has another number of components than the header says".to_owned());
        }
        for specification in content.get(6..).unwrap_or_default().chunks_exact(3) {
            let [id, factors, table] = *specification else {
                continue;
            };
            let factors = [usize::from(factors >> 4), usize::from(factors & 15)];
            if !factors.iter().all(|factor| (1..=4).contains(factor)) {
                return Err("has sampling factors that do not exist".to_owned());
            }
            self.largest[0] = self.largest[0].max(factors[0]);
            self.largest[1] = self.largest[1].max(factors[1]);
            self.components.push(Component {
                id,
                factors,
                table: usize::from(table),
                ..Component::default()
            });
        }
        if self.components.len() != components || components == 0 {
            return Err("has a frame header that is too short".to_owned());
        }
        let [across, down] = self.units();
        for component in &mut self.components {
            let [h, v] = component.factors;
            let (stride, rows) = (across * h, down * v);
            if stride > BLOCKS + 4 || rows > BLOCKS + 4 {
                return Err("is too large".to_owned());
            }
            component.stride = stride;
            component.samples = vec![0; 64 * stride * rows];
        }
        Ok(())
    }

    /// Units of an interleaved scan, across and down.
    fn units(&self) -> [usize; 2] {
        let [rows, columns] = self.size;
        [
            columns.div_ceil(8 * self.largest[0].max(1)),
            rows.div_ceil(8 * self.largest[1].max(1)),
        ]
    }

    fn quantisation(&mut self, mut content: &[u8]) -> Result<(), String> {
        while let Some((kind, rest)) = content.split_first() {
            let wide = kind >> 4 != 0;
            let length = if wide { 128 } else { 64 };
            let values = rest
                .get(..length)
                .ok_or("has a quantisation table cut off")?;
            let mut table = [0; 64];
            for (i, value) in table.iter_mut().enumerate() {
                *value = match wide {
                    true => word(values, 2 * i)?,
                    false => u16::from(byte(values, i)?),
                };
            }
            let slot = self.quantisation.get_mut(usize::from(kind & 15));
            *slot.ok_or("has a quantisation table that does not exist")? = Some(table);
            content = rest.get(length..).unwrap_or_default();
        }
        Ok(())
    }

    fn huffman_tables(&mut self, mut content: &[u8]) -> Result<(), String> {
        while let Some((kind, rest)) = content.split_first() {
            let counts = rest.get(..16).ok_or("has a Huffman table cut off")?;
            let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
            let values = rest.get(16..16 + total);
            let values = values.ok_or("has a Huffman table cut off")?;
            let of_class = match kind >> 4 {
                0 => &mut self.dc,
                _ => &mut self.ac,
            };
            let slot = of_class.get_mut(usize::from(kind & 15));
            let slot = slot.ok_or("has a Huffman table that does not exist")?;
            *slot = Some(Huffman::new(counts, values));
            content = rest.get(16 + total..).unwrap_or_default();
        }
        Ok(())
    }

    /// Decodes a scan; its length in bytes.
    fn scan(&mut self, header: &[u8], data: &[u8]) -> Result<usize, String> {
        let count = usize::from(byte(header, 0)?);
        let mut parts = Vec::new();
        for i in 0..count {
            let (id, tables) = (byte(header, 1 + 2 * i)?, byte(header, 2 + 2 * i)?);
            let component = self.components.iter().position(|c| c.id == id);
            parts.push(Part {
                component: component.ok_or("has a scan of a component that does not exist")?,
                dc: usize::from(tables >> 4),
                ac: usize::from(tables & 15),
                previous: 0,
            });
        }
        let mut bits = Bits {
            bytes: data,
            at: 0,
            held: 0,
            count: 0,
        };
        let basis = basis();
        let alone = parts.len() == 1;
        let [across, down] = match parts.first().and_then(|p| self.components.get(p.component)) {
            // A component alone has its own blocks only, none that fill a unit (A.2.2).
            Some(component) if alone => {
                let [rows, columns] = self.size;
                let own = |size: usize, i: usize| {
                    (size * component.factors[i])
                        .div_ceil(self.largest[i].max(1))
                        .div_ceil(8)
                };
                [own(columns, 0), own(rows, 1)]
            }
            Some(_) => self.units(),
            None => return Err("has a scan of nothing".to_owned()),
        };
        for unit in 0..across * down {
            if self.restart > 0 && unit > 0 && unit.is_multiple_of(self.restart) {
                bits.restart()?;
                parts.iter_mut().for_each(|part| part.previous = 0);
            }
            let [x, y] = [unit % across, unit / across];
            for part in &mut parts {
                let factors = self.components.get(part.component).map(|c| c.factors);
                let [h, v] = factors.filter(|_| !alone).unwrap_or([1, 1]);
                for block in 0..h * v {
                    let at = [x * h + block % h, y * v + block / h];
                    self.block(part, at, &mut bits, &basis)?;
                }
            }
        }
        self.scanned += parts.len();
        Ok(bits.at)
    }

    /// Decodes a block (F.2.2), dequantises and transforms it.
    fn block(
        &mut self,
        part: &mut Part,
        [x, y]: [usize; 2],
        bits: &mut Bits<'_>,
        basis: &[[f32; 8]; 8],
    ) -> Result<(), String> {
        let missing = || "uses a table that it does not have".to_owned();
        let dc = self.dc.get(part.dc).and_then(Option::as_ref);
        let ac = self.ac.get(part.ac).and_then(Option::as_ref);
        let (dc, ac) = (dc.ok_or_else(missing)?, ac.ok_or_else(missing)?);
        let component = self.components.get_mut(part.component);
        let component = component.ok_or_else(missing)?;
        let steps = self.quantisation.get(component.table);
        let steps = steps.and_then(Option::as_ref).ok_or_else(missing)?;

        let size = dc.decode(bits)?;
        part.previous = part.previous.saturating_add(bits.signed(u32::from(size))?);
        let mut coefficients = [0.0_f32; 64];
        coefficients[0] = part.previous as f32 * f32::from(steps[0]);
        let mut k = 1;
        while k < 64 {
            let symbol = ac.decode(bits)?;
            let (zeros, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 {
                if zeros != 15 {
                    break; // end of block
                }
                k += 16;
                continue;
            }
            k += zeros;
            let value = bits.signed(size)?;
            let (Some(at), Some(step)) = (ZIGZAG.get(k), steps.get(k)) else {
                return Err("has more than 64 coefficients in a block".to_owned());
            };
            coefficients[usize::from(*at)] = value as f32 * f32::from(*step);
            k += 1;
        }

        let middle = f32::from(1_u16 << (self.precision - 1));
        let highest = 2.0 * middle - 1.0;
        let pixels = inverse(&coefficients, basis);
        let width = 8 * component.stride;
        for (row, pixels) in pixels.chunks_exact(8).enumerate() {
            let from = (8 * y + row) * width + 8 * x;
            let Some(to) = component.samples.get_mut(from..from + 8) else {
                continue;
            };
            for (to, pixel) in to.iter_mut().zip(pixels) {
                *to = (pixel + middle).round().clamp(0.0, highest) as u16;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<u16>, String> {
        if self.components.is_empty() || self.scanned < self.components.len() {
            return Err("ends before its picture".to_owned());
        }
        let [rows, columns] = self.size;
        let mut samples = Vec::with_capacity(rows * columns * self.components.len());
        for y in 0..rows {
            for x in 0..columns {
                for component in &self.components {
                    // Components of fewer samples are repeated.
                    let [h, v] = component.factors;
                    let (x, y) = (x * h / self.largest[0], y * v / self.largest[1]);
                    let at = y * 8 * component.stride + x;
                    samples.push(component.samples.get(at).copied().unwrap_or_default());
                }
            }
        }
        Ok(samples)
    }
}

/// `basis[x][u] = C(u) / 2 * cos((2 x + 1) u pi / 16)` (A.3.3).
fn basis() -> [[f32; 8]; 8] {
    let mut basis = [[0.0; 8]; 8];
    for (x, row) in basis.iter_mut().enumerate() {
        for (u, value) in row.iter_mut().enumerate() {
            let scale = if u == 0 { FRAC_1_SQRT_2 } else { 1.0 };
            *value = 0.5 * scale * ((2 * x + 1) as f32 * u as f32 * PI / 16.0).cos();
        }
    }
    basis
}

fn inverse(coefficients: &[f32; 64], basis: &[[f32; 8]; 8]) -> [f32; 64] {
    // Along rows of frequencies first, then along columns.
    let mut half = [0.0; 64];
    for (half, row) in half.chunks_exact_mut(8).zip(coefficients.chunks_exact(8)) {
        for (to, basis) in half.iter_mut().zip(basis) {
            *to = row.iter().zip(basis).map(|(c, b)| c * b).sum();
        }
    }
    let mut pixels = [0.0; 64];
    for (pixels, basis) in pixels.chunks_exact_mut(8).zip(basis) {
        for (half, b) in half.chunks_exact(8).zip(basis) {
            for (to, from) in pixels.iter_mut().zip(half) {
                *to += from * b;
            }
        }
    }
    pixels
}

/// Where the coefficients of a block, in their order, belong (ISO 10918-1 figure A.6).
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
        let length = (content.len() + 2) as u16;
        [&[0xFF, marker], &length.to_be_bytes()[..], content].concat()
    }

    /// 32 x 16, a luminance of twice the resolution, one restart interval for each of the two units; every block is flat.
    fn flat(luminance: [u16; 2]) -> Vec<u8> {
        let mut table = vec![0];
        table.extend([1; 64]);
        // DC: 0 is a difference of no bits, 10 one of ten. AC: 0 ends a block.
        let mut dc = vec![0x00, 1, 1];
        dc.extend([0; 14]);
        dc.extend([0, 10]);
        let mut ac = vec![0x10, 1];
        ac.extend([0; 15]);
        ac.push(0);
        let frame = [12, 0, 16, 0, 32, 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0];
        let scan = [3, 1, 0, 2, 0, 3, 0, 0, 63, 0];
        let mut file = vec![0xFF, 0xD8];
        file.extend(segment(0xDB, &table));
        file.extend(segment(0xC4, &dc));
        file.extend(segment(0xC4, &ac));
        file.extend(segment(0xDD, &[0, 1]));
        file.extend(segment(0xC1, &frame));
        file.extend(segment(0xDA, &scan));
        for (unit, value) in luminance.into_iter().enumerate() {
            let mut bits = format!("10{value:010b}0");
            bits.push_str(&"00".repeat(5));
            while !bits.len().is_multiple_of(8) {
                bits.push('1');
            }
            for byte in bits.as_bytes().chunks(8) {
                let text = std::str::from_utf8(byte).unwrap();
                let byte = u8::from_str_radix(text, 2).unwrap();
                file.push(byte);
                if byte == 0xFF {
                    file.push(0);
                }
            }
            if unit == 0 {
                file.extend([0xFF, 0xD0]);
            }
        }
        file.extend([0xFF, 0xD9]);
        file
    }

    #[test]
    fn units_sampling_factors_and_restarts_are_followed() {
        // A block's first coefficient is eight times its mean.
        let samples = decode(&flat([800, 1000]), [16, 32, 3]).unwrap();
        assert_eq!(samples.len(), 16 * 32 * 3);
        for (i, sample) in samples.iter().enumerate() {
            let (component, x) = (i % 3, i / 3 % 32);
            let expected = match (component, x < 16) {
                (0, true) => 2048 + 100,
                (0, false) => 2048 + 125,
                _ => 2048,
            };
            assert_eq!(*sample, expected, "component {component}, column {x}");
        }
    }

    #[test]
    fn damage_is_an_error_wherever_it_is() {
        let whole = flat([800, 1000]);
        for length in 0..whole.len() - 2 {
            assert!(decode(&whole[..length], [16, 32, 3]).is_err(), "{length}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                let _ = decode(&damaged, [16, 32, 3]); // must not panic
            }
        }
        let error = decode(&whole, [16, 31, 3]).unwrap_err();
        assert!(error.contains("contradicts"), "{error}");
    }
}

//! The few instructions that products are made of: portable, and AVX2 where the processor has it.

use half::f16;
use pulp::NullaryFnOnce;
#[cfg(target_arch = "x86_64")]
use pulp::x86::V3;

use crate::gpu::pack::BLOCK;

/// Instructions to use.
#[derive(Clone, Copy, Debug)]
pub enum Simd {
    /// What every processor of the architecture has.
    Portable,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(V3),
}

impl Simd {
    /// The best that this processor has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(v3) = V3::try_new() {
            return Self::Avx2(v3);
        }
        Self::Portable
    }

    /// For the user.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable instructions",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "AVX2",
        }
    }

    /// Runs plain code compiled for these instructions.
    #[inline(always)]
    pub(super) fn run<F: NullaryFnOnce>(self, work: F) -> F::Output {
        match self {
            Self::Portable => work.call(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(v3) => v3.vectorize(work),
        }
    }
}

/// A block of 32 weights times a block of 32 inputs.
pub(super) trait Lanes: Copy {
    /// 32 weights as 16-bit levels.
    type Weights: Copy;
    /// A sum under way.
    type Sum: Copy;
    /// Nothing yet.
    fn zero(self) -> Self::Sum;
    /// A block of q8.
    fn q8(self, bytes: &[u8; BLOCK]) -> Self::Weights;
    /// A block of q4, all low halves first.
    fn q4(self, bytes: &[u8; BLOCK / 2]) -> Self::Weights;
    /// The sum with a block's products added, times what a level of either side stands for.
    fn add(
        self,
        sum: Self::Sum,
        weights: Self::Weights,
        levels: &[i16; BLOCK],
        of_weights: f32,
        of_levels: f32,
    ) -> Self::Sum;
    /// 8 weights as floats.
    type Halves: Copy;
    /// 8 finite weights of f16.
    fn halves(self, bytes: &[u8; 16]) -> Self::Halves;
    /// The sum with 8 products added.
    fn add_halves(self, sum: Self::Sum, weights: Self::Halves, x: &[f32; 8]) -> Self::Sum;
    /// 8 numbers with 8 weights times `by` added.
    fn mix_halves(self, to: [f32; 8], weights: Self::Halves, by: f32) -> [f32; 8];
    /// The sum as a number.
    fn total(self, sum: Self::Sum) -> f32;
}

/// Plain loops.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Lanes for Portable {
    type Weights = [i16; BLOCK];
    type Sum = f32;

    #[inline(always)]
    fn zero(self) -> f32 {
        0.0
    }

    #[inline(always)]
    fn q8(self, bytes: &[u8; BLOCK]) -> [i16; BLOCK] {
        bytes.map(|byte| i16::from(byte as i8))
    }

    #[inline(always)]
    fn q4(self, bytes: &[u8; BLOCK / 2]) -> [i16; BLOCK] {
        let mut weights = [0; BLOCK];
        let (low, high) = weights.split_at_mut(BLOCK / 2);
        for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
            *low = i16::from(byte & 15) - 8;
            *high = i16::from(byte >> 4) - 8;
        }
        weights
    }

    #[inline(always)]
    fn add(
        self,
        sum: f32,
        weights: [i16; BLOCK],
        levels: &[i16; BLOCK],
        of_weights: f32,
        of_levels: f32,
    ) -> f32 {
        let products = weights
            .iter()
            .zip(levels)
            .map(|(w, x)| i32::from(*w) * i32::from(*x));
        sum + of_weights * of_levels * products.sum::<i32>() as f32
    }

    type Halves = [f32; 8];

    #[inline(always)]
    fn halves(self, bytes: &[u8; 16]) -> [f32; 8] {
        let mut wide = [0.0; 8];
        for (to, half) in wide.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *to = finite(f16::from_le_bytes(*half));
        }
        wide
    }

    #[inline(always)]
    fn add_halves(self, sum: f32, weights: [f32; 8], x: &[f32; 8]) -> f32 {
        let products = weights.iter().zip(x).map(|(w, x)| w * x);
        sum + products.sum::<f32>()
    }

    #[inline(always)]
    fn mix_halves(self, mut to: [f32; 8], weights: [f32; 8], by: f32) -> [f32; 8] {
        for (to, weight) in to.iter_mut().zip(weights) {
            *to += weight * by;
        }
        to
    }

    #[inline(always)]
    fn total(self, sum: f32) -> f32 {
        sum
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{__m128i, __m256, __m256i};

    use pulp::cast;
    use pulp::x86::V3;

    use super::{BLOCK, Lanes};

    /// Both halves of a block.
    #[inline(always)]
    fn split(levels: &[i16; BLOCK]) -> [__m256i; 2] {
        cast(*levels)
    }

    impl Lanes for V3 {
        type Weights = [__m256i; 2];
        type Sum = __m256;

        #[inline(always)]
        fn zero(self) -> __m256 {
            self.avx._mm256_set1_ps(0.0)
        }

        #[inline(always)]
        fn q8(self, bytes: &[u8; BLOCK]) -> [__m256i; 2] {
            let [first, second]: [__m128i; 2] = cast(*bytes);
            [
                self.avx2._mm256_cvtepi8_epi16(first),
                self.avx2._mm256_cvtepi8_epi16(second),
            ]
        }

        #[inline(always)]
        fn q4(self, bytes: &[u8; BLOCK / 2]) -> [__m256i; 2] {
            let wide = self.avx2._mm256_cvtepu8_epi16(cast(*bytes));
            let (mask, eight) = (
                self.avx._mm256_set1_epi16(15),
                self.avx._mm256_set1_epi16(8),
            );
            let low = self.avx2._mm256_and_si256(wide, mask);
            let high = self.avx2._mm256_srli_epi16::<4>(wide);
            [
                self.avx2._mm256_sub_epi16(low, eight),
                self.avx2._mm256_sub_epi16(high, eight),
            ]
        }

        #[inline(always)]
        fn add(
            self,
            sum: __m256,
            weights: [__m256i; 2],
            levels: &[i16; BLOCK],
            of_weights: f32,
            of_levels: f32,
        ) -> __m256 {
            let ([first, second], [x, y]) = (weights, split(levels));
            let products = self.avx2._mm256_add_epi32(
                self.avx2._mm256_madd_epi16(first, x),
                self.avx2._mm256_madd_epi16(second, y),
            );
            let products = self.avx._mm256_cvtepi32_ps(products);
            let scale = self.avx._mm256_mul_ps(
                self.avx._mm256_set1_ps(of_weights),
                self.avx._mm256_set1_ps(of_levels),
            );
            self.fma._mm256_fmadd_ps(products, scale, sum)
        }

        type Halves = __m256;

        /// As [`finite`](super::finite), 8 at once.
        #[inline(always)]
        fn halves(self, bytes: &[u8; 16]) -> __m256 {
            let bits = self.avx2._mm256_cvtepu16_epi32(cast(*bytes));
            let (magnitude, sign) = (
                self.avx._mm256_set1_epi32(0x7fff),
                self.avx._mm256_set1_epi32(0x8000),
            );
            let magnitude = self.avx2._mm256_and_si256(bits, magnitude);
            let magnitude = self.avx2._mm256_slli_epi32::<13>(magnitude);
            let up = self.avx._mm256_set1_ps(f32::from_bits(0x7780_0000)); // 2^112
            let magnitude = self.avx._mm256_mul_ps(cast(magnitude), up);
            let sign = self.avx2._mm256_and_si256(bits, sign);
            let sign = self.avx2._mm256_slli_epi32::<16>(sign);
            self.avx._mm256_or_ps(magnitude, cast(sign))
        }

        #[inline(always)]
        fn add_halves(self, sum: __m256, weights: __m256, x: &[f32; 8]) -> __m256 {
            self.fma._mm256_fmadd_ps(weights, cast(*x), sum)
        }

        #[inline(always)]
        fn mix_halves(self, to: [f32; 8], weights: __m256, by: f32) -> [f32; 8] {
            let by = self.avx._mm256_set1_ps(by);
            cast(self.fma._mm256_fmadd_ps(weights, by, cast(to)))
        }

        #[inline(always)]
        fn total(self, sum: __m256) -> f32 {
            let lanes: [f32; 8] = cast(sum);
            lanes.iter().sum()
        }
    }
}

/// What 16 bits stand for, where they are a finite number. Without the branches of a conversion that knows infinities, so that
/// loops over it become vector code.
#[inline(always)]
pub(super) fn finite(half: f16) -> f32 {
    let bits = u32::from(half.to_bits());
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits(0x7780_0000); // times 2^112
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

/// The product of two rows of floats, in 32 sums so that it becomes vector code.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<32>(), b.as_chunks::<32>());
    let mut sums = [0.0f32; 32];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    let (eights, _) = sums.as_chunks::<8>();
    let mut lanes = [0.0f32; 8];
    for eight in eights {
        for (lane, x) in lanes.iter_mut().zip(eight) {
            *lane += x;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_half_is_itself() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            if half.is_finite() {
                assert_eq!(finite(half).to_bits(), half.to_f32().to_bits(), "{bits:x}");
            }
        }
    }

    #[test]
    fn a_dot_product_counts_the_rest_too() {
        let a: Vec<f32> = (0..70).map(|i| i as f32).collect();
        assert_eq!(dot(&a, &vec![2.0; 70]), 70.0 * 69.0);
    }
}

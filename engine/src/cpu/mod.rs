//! The language model on the CPU from packed rows: q8 and q4 are multiplied where the file has them, never unpacked.
//!
//! A product rounds its input to 16 bits (blocks of 32 with one scale, [`columns`]) and adds up level times level in 32-bit
//! integers ([`product`]): half the work of floats, and exact to some 1e-5 of the largest input of a block. Prompts go through in
//! blocks of tokens, two of which share what a row unpacks to; between the products of a token the threads stay awake. The burn
//! twin defines the arithmetic; [`decoder`] is its counterpart.

mod attention;
mod awake;
pub mod columns;
pub mod decoder;
mod lanes;
mod linear;
pub mod load;
pub mod product;
pub mod rows;

pub use decoder::PackedDecoder;
pub use lanes::Simd;
pub use rows::Rows;

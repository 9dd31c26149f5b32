//! The vectors of AVX-512 lane by lane, so that its kernels, shuffles included, are tested on
//! every machine.

use super::words::{Shuffle8, Shuffle16, Words32, Words64, load8, xor16};
use super::{blake2b, chacha};
use std::array;
use zeroize::Zeroize;

/// Eight lanes of 64 bits.
#[derive(Clone, Copy, Zeroize)]
pub(super) struct Emulated8([u64; 8]);

/// Sixteen lanes of 32 bits.
#[derive(Clone, Copy, Zeroize)]
pub(super) struct Emulated16([u32; 16]);

/// `blake2b::eight`.
pub(crate) fn blake2b_eight(keys: [&[u8; 64]; 8], messages: [&[u8]; 8]) -> [[u8; 32]; 8] {
    blake2b::keyed::<Emulated8, 8, 32>((), keys, messages)
}

/// `chacha::sixteen`.
pub(crate) fn chacha_sixteen(key: &[u8; 32], data: &mut [u8]) {
    chacha::apply::<Emulated16, 16>((), key, [0; 4], data);
}

impl Words64<8> for Emulated8 {
    type Cpu = ();

    fn splat(_cpu: (), word: u64) -> Self {
        Self([word; 8])
    }

    fn load(cpu: (), blocks: [&[u8; 128]; 8]) -> [Self; 16] {
        load8(cpu, blocks)
    }

    fn words(self) -> [u64; 8] {
        self.0
    }

    fn add(self, other: Self) -> Self {
        Self(array::from_fn(|i| self.0[i].wrapping_add(other.0[i])))
    }

    fn xor(self, other: Self) -> Self {
        Self(array::from_fn(|i| self.0[i] ^ other.0[i]))
    }

    fn ror32(self) -> Self {
        Self(self.0.map(|word| word.rotate_right(32)))
    }

    fn ror24(self) -> Self {
        Self(self.0.map(|word| word.rotate_right(24)))
    }

    fn ror16(self) -> Self {
        Self(self.0.map(|word| word.rotate_right(16)))
    }

    fn ror63(self) -> Self {
        Self(self.0.map(|word| word.rotate_right(63)))
    }
}

impl Emulated8 {
    /// Lanes chosen from those of both: 0 to 7 are the first's, 8 to 15 the second's.
    fn pick(self, other: Self, lanes: [usize; 8]) -> Self {
        let both = [self.0, other.0].concat();
        Self(lanes.map(|lane| both[lane]))
    }
}

impl Shuffle8 for Emulated8 {
    type Cpu = ();

    fn halves(_cpu: (), low: &[u8; 32], high: &[u8; 32]) -> Self {
        let bytes = [*low, *high].concat();
        Self(array::from_fn(|i| {
            u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().unwrap())
        }))
    }

    fn unpack_low(self, other: Self) -> Self {
        self.pick(other, [0, 8, 2, 10, 4, 12, 6, 14])
    }

    fn unpack_high(self, other: Self) -> Self {
        self.pick(other, [1, 9, 3, 11, 5, 13, 7, 15])
    }

    fn pairs_low(self, other: Self) -> Self {
        self.pick(other, [0, 1, 8, 9, 4, 5, 12, 13])
    }

    fn pairs_high(self, other: Self) -> Self {
        self.pick(other, [2, 3, 10, 11, 6, 7, 14, 15])
    }
}

impl Words32<16> for Emulated16 {
    type Cpu = ();

    fn splat(_cpu: (), word: u32) -> Self {
        Self([word; 16])
    }

    fn count(_cpu: ()) -> Self {
        Self([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
    }

    fn xor_into(stream: [Self; 16], blocks: &mut [[u8; 64]; 16]) {
        xor16(stream, blocks);
    }

    fn add(self, other: Self) -> Self {
        Self(array::from_fn(|i| self.0[i].wrapping_add(other.0[i])))
    }

    fn xor(self, other: Self) -> Self {
        Self(array::from_fn(|i| self.0[i] ^ other.0[i]))
    }

    fn rol16(self) -> Self {
        Self(self.0.map(|word| word.rotate_left(16)))
    }

    fn rol12(self) -> Self {
        Self(self.0.map(|word| word.rotate_left(12)))
    }

    fn rol8(self) -> Self {
        Self(self.0.map(|word| word.rotate_left(8)))
    }

    fn rol7(self) -> Self {
        Self(self.0.map(|word| word.rotate_left(7)))
    }
}

impl Emulated16 {
    /// In each four of lanes these ones: 0 to 3 are the first's, 4 to 7 the second's.
    fn in_fours(self, other: Self, lanes: [usize; 4]) -> Self {
        Self(array::from_fn(|i| {
            let (four, lane) = (i & !3, lanes[i & 3]);
            if lane < 4 {
                self.0[four + lane]
            } else {
                other.0[four + lane - 4]
            }
        }))
    }

    /// Whole fours of lanes: two of the first, then two of the second.
    fn fours(self, other: Self, [a, b]: [usize; 2]) -> Self {
        let fours = [
            &self.0[4 * a..][..4],
            &self.0[4 * b..][..4],
            &other.0[4 * a..][..4],
            &other.0[4 * b..][..4],
        ];
        Self(fours.concat().try_into().unwrap())
    }
}

impl Shuffle16 for Emulated16 {
    fn unpack_low(self, other: Self) -> Self {
        self.in_fours(other, [0, 4, 1, 5])
    }

    fn unpack_high(self, other: Self) -> Self {
        self.in_fours(other, [2, 6, 3, 7])
    }

    fn pairs_low(self, other: Self) -> Self {
        self.in_fours(other, [0, 1, 4, 5])
    }

    fn pairs_high(self, other: Self) -> Self {
        self.in_fours(other, [2, 3, 6, 7])
    }

    fn fours_even(self, other: Self) -> Self {
        self.fours(other, [0, 2])
    }

    fn fours_odd(self, other: Self) -> Self {
        self.fours(other, [1, 3])
    }

    fn xor_block(self, block: &mut [u8; 64]) {
        for (byte, stream) in block
            .iter_mut()
            .zip(self.0.map(u32::to_le_bytes).as_flattened())
        {
            *byte ^= stream;
        }
    }
}

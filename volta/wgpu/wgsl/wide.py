"""Floats of 64 bits, of devices that have them and integers of 64 bits: what formulas ask for."""

from typing import Final

from volta.wgpu.wgsl.declared import functions

__all__ = ["FUNCTIONS"]

FUNCTIONS: Final = tuple(
    functions("""
// what is not reassociated with what it is used in
fn v_keep_f64(x: f64) -> f64 {
  return bitcast<f64>(bitcast<u64>(x) ^ u64(v_zero));
}

fn v_copysign_f64(x: f64, sign: f64) -> f64 {
  let size = bitcast<u64>(x) & 0x7ffffffffffffffflu;
  return bitcast<f64>(size | (bitcast<u64>(sign) & 0x8000000000000000lu));
}

// -1, 0 or 1; 0 of both zeros
fn v_sign_f64(x: f64) -> f64 {
  let bits = bitcast<u64>(x);
  let size = bits & 0x7ffffffffffffffflu;
  let one = 0x3ff0000000000000lu | (bits & 0x8000000000000000lu);
  return bitcast<f64>(select(select(one, 0lu, size == 0lu), bits, size > 0x7ff0000000000000lu));
}

fn v_trunc_f64(x: f64) -> f64 {
  return v_copysign_f64(trunc(x), x);
}

fn v_floor_f64(x: f64) -> f64 {
  return v_copysign_f64(floor(x), x);
}

fn v_ceil_f64(x: f64) -> f64 {
  return v_copysign_f64(ceil(x), x);
}

// to the even one of two integers that are as near: those above 2 to the power of 52 have no others
fn v_round_f64(x: f64) -> f64 {
  let shift = v_copysign_f64(4503599627370496.0lf, x);
  let out = v_keep_f64(x + shift) - shift;
  let size = bitcast<u64>(x) & 0x7ffffffffffffffflu;
  return v_copysign_f64(select(x, out, size < 0x4330000000000000lu), x);
}

// 2 to the power of n from -1022 to 1023
fn v_power_of_2_f64(n: i64) -> f64 {
  return bitcast<f64>(bitcast<u64>(n + 1023li) << 52u);
}

// x times 2 to the power of n from -2044 to 2046
fn v_scaled_f64(x: f64, n: i64) -> f64 {
  let half = n >> 1u;
  return v_keep_f64(x * v_power_of_2_f64(half)) * v_power_of_2_f64(n - half);
}

// of C: what is left of a division of integers, bit by bit
fn v_fmod_f64(x: f64, y: f64) -> f64 {
  let infinite = 0x7ff0000000000000lu;
  let one = 0x10000000000000lu;
  let a = bitcast<u64>(x) & 0x7ffffffffffffffflu;
  let b = bitcast<u64>(y) & 0x7ffffffffffffffflu;
  if a >= infinite || b > infinite || b == 0lu {
    return bitcast<f64>(0x7ff8000000000000lu ^ u64(v_zero));
  }
  if a < b {
    return x;
  }
  let normal = (a >> 52u) > 0lu;
  var left = select(a, (a & (one - 1lu)) | one, normal);
  let divisor = select(b, (b & (one - 1lu)) | one, (b >> 52u) > 0lu);
  var exponent = max(b >> 52u, 1lu);
  for (var steps = max(a >> 52u, 1lu) - exponent; steps > 0lu; steps -= 1lu) {
    left = (left - select(0lu, divisor, left >= divisor)) << 1u;
  }
  left -= select(0lu, divisor, left >= divisor);
  for (; left != 0lu && left < one && exponent > 1lu; exponent -= 1lu) {
    left = left << 1u;
  }
  let bits = select(left, (left - one) | (exponent << 52u), left >= one);
  return v_copysign_f64(bitcast<f64>(bits), x);
}
""")
)

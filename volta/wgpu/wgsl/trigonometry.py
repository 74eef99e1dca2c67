"""Trigonometric functions and their inverses.

Angles beyond ¼ π are reduced in integers, all of them alike: M. H. Payne and R. N. Hanek, "Radian
reduction for trigonometric functions", SIGNUM Newsletter 18 (1983). The polynomials interpolate
their functions at Chebyshev points.
"""

from typing import Final

from volta.wgpu.wgsl.declared import functions, polynomial

__all__ = ["FUNCTIONS"]

_SIN: Final = (  # (sin x / x − 1) / x² in x² where |x| ≤ ¼ π and a little more
    *(-0.16666666662, 0.0083333312662, -0.0001983977751, 2.7212163631e-6),
)
_COS: Final = (  # (cos x − 1 + ½ x²) / x⁴ in x² there
    *(0.041666663822, -0.0013888149879, 0.000024516776341),
)
_ATAN: Final = (  # (atan x / x − 1) / x² in x² where |x| ≤ tan ⅛ π
    *(-0.33333331761, 0.19999540484, -0.14263955598, 0.10743731491, -0.064519282081),
)
_ASIN: Final = (  # (asin x / x − 1) / x² in x² where |x| ≤ ½
    *(0.16666666337, 0.075000945435, 0.044599401529, 0.031100662735, 0.017149238358),
    0.033690847203,
)

FUNCTIONS: Final = (
    polynomial("v_sin_tail", _SIN),
    polynomial("v_cos_tail", _COS),
    polynomial("v_atan_tail", _ATAN),
    polynomial("v_asin_tail", _ASIN),
    *functions("""
// upper half of the product
fn v_multiply_high(x: u32, y: u32) -> u32 {
  let x0 = x & 0xffffu;
  let x1 = x >> 16u;
  let y0 = y & 0xffffu;
  let y1 = y >> 16u;
  let one = x0 * y1;
  let other = x1 * y0;
  let middle = ((x0 * y0) >> 16u) + (one & 0xffffu) + (other & 0xffffu);
  return x1 * y1 + (one >> 16u) + (other >> 16u) + (middle >> 16u);
}

// four words of 2 / pi, which has a word of zeros before it
fn v_two_over_pi(index: u32) -> vec4<u32> {
  switch index {
    case 0u: { return vec4<u32>(0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u); }
    case 1u: { return vec4<u32>(0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u); }
    case 2u: { return vec4<u32>(0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u); }
    case 3u: { return vec4<u32>(0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u); }
    default: { return vec4<u32>(0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu); }
  }
}

// two parts of what is left of |x| beside the nearest multiple of pi / 2, and that multiple
// modulo 4. Bits of 2 / pi whose product with x is a multiple of 4 are left out.
fn v_angle(x: f32) -> vec3<f32> {
  let size = v_size(x);
  let digits = (size & 0x007fffffu) | 0x00800000u;
  let first = (size >> 23u) - 120u;
  let words = v_two_over_pi(first >> 5u);
  let shift = first & 31u;
  let upper = (words.xyz << vec3<u32>(shift));
  let window = upper | ((words.yzw >> vec3<u32>(1u)) >> vec3<u32>(31u - shift));
  let low = digits * window.y;
  let middle = low + v_multiply_high(digits, window.z);
  let carry = select(0u, 1u, middle < low);
  let top = digits * window.x + v_multiply_high(digits, window.y) + carry;
  // two bits of the multiple, 62 bits of a fraction of which nearly 32 may be equal
  let negative = (top & 0x20000000u) != 0u;
  let fraction = vec2<u32>((top << 2u) | (middle >> 30u), middle << 2u);
  let left = select(fraction, ~fraction, negative);
  let zeros = min(countLeadingZeros(left.x), 31u);
  let found = (left.x << zeros) | ((left.y >> 1u) >> (31u - zeros));
  let radians = v_multiply_high(found, 0xc90fdaa2u);  // pi / 2, of which 2^31 is 1
  let scale = v_flipped(v_power_of_2(-31 - i32(zeros)), select(1.0, -1.0, negative));
  let parts = vec2<f32>(f32(radians & 0xffffff00u), f32(radians & 0xffu)) * scale;
  let out = vec3<f32>(parts, f32(((top + 0x20000000u) >> 30u) & 3u));
  return select(out, vec3<f32>(v_abs(x), 0.0, 0.0), size < 0x3f490fdbu);
}

fn v_sin_part(x: f32, low: f32) -> f32 {
  let z = x * x;
  return x + (low + x * z * v_sin_tail(z));
}

fn v_cos_part(x: f32, low: f32) -> f32 {
  let z = x * x;
  return 1.0 - (0.5 * z - (z * z * v_cos_tail(z) - x * low));
}

// sine of an angle and of so many right angles
fn v_turned(angle: vec3<f32>, more: u32) -> f32 {
  let turns = u32(angle.z) + more;
  let sine = v_sin_part(angle.x, angle.y);
  let out = select(sine, v_cos_part(angle.x, angle.y), (turns & 1u) != 0u);
  return select(out, -out, (turns & 2u) != 0u);
}

fn v_sin(x: f32) -> f32 {
  let out = v_flipped(v_turned(v_angle(x), 0u), x);
  return select(select(out, v_nan(), !v_isfinite(x)), x, v_size(x) < 0x39800000u);
}

fn v_cos(x: f32) -> f32 {
  return select(v_turned(v_angle(x), 1u), v_nan(), !v_isfinite(x));
}

fn v_tan(x: f32) -> f32 {
  let angle = v_angle(x);
  let z = angle.x * angle.x;
  // both in two parts
  let s = v_sum(angle.x, angle.y + angle.x * z * v_sin_tail(z));
  let c = v_sum(1.0, angle.x * -angle.y - (0.5 * z - z * z * v_cos_tail(z)));
  let odd = (u32(angle.z) & 1u) != 0u;
  let above = select(s, -c, odd);
  let below = select(c, s, odd);
  let quotient = above.x / below.x;
  let out = v_flipped(quotient + (above.y - quotient * below.y) / below.x, x);
  return select(select(out, v_nan(), !v_isfinite(x)), x, v_size(x) < 0x39800000u);
}

// s, which is |x| or beyond 1/2 sqrt((1 - |x|) / 2), and what its inverse sine is more
fn v_asin_parts(x: f32) -> vec2<f32> {
  let size = v_abs(x);
  let far = size > 0.5;
  let half = 0.5 - 0.5 * size;
  let z = select(size * size, half, far);
  let near = select(size, sqrt(half), far);
  return vec2<f32>(near, near * z * v_asin_tail(z));
}

fn v_asin(x: f32) -> f32 {
  let parts = v_asin_parts(x);
  let beyond = 1.57079637 - 2.0 * (parts.x + (parts.y + 2.18556941e-8));
  let out = v_copysign(select(parts.x + parts.y, beyond, v_abs(x) > 0.5), x);
  let known = select(out, v_nan(), v_size(x) > 0x3f800000u);
  return select(known, x, v_size(x) < 0x39800000u);
}

fn v_acos(x: f32) -> f32 {
  let parts = v_asin_parts(x);
  let twice = 2.0 * (parts.x + parts.y);
  let beyond = select(twice, 3.14159274 - twice, v_signbit(x));
  let near = 1.57079637 - (x + v_flipped(parts.y, x));
  let out = select(near, beyond, v_abs(x) > 0.5);
  return select(out, v_nan(), v_size(x) > 0x3f800000u);
}

// angle of a point with no negative and no infinite coordinate, from 0 to pi / 2. In the middle
// quarter it is that of the point turned by pi / 4, added to or taken from that, and above taken
// from pi / 2.
fn v_point_angle(y: f32, x: f32) -> f32 {
  let upper = y > x;
  let larger = select(x, y, upper);
  let smaller = select(y, x, upper);
  let middle = smaller > larger * 0.414213562;
  let up = select(smaller, larger - smaller, middle);
  let along = select(larger, larger + smaller, middle);
  let quotient = select(up / along, up, along == 0.0);
  let t = select(quotient, -quotient, upper != middle);
  let z = t * t;
  let base = select(select(0.0, 1.57079637, upper), 0.785398185, middle);
  let low = select(select(0.0, -4.37113883e-8, upper), -2.18556941e-8, middle);
  return base + (t + (t * z * v_atan_tail(z) + low));
}

fn v_atan(x: f32) -> f32 {
  let size = bitcast<f32>(min(v_size(x), 0x7f000000u));
  let out = v_copysign(v_point_angle(size, 1.0), x);
  return select(out, x, v_isnan(x) | (v_size(x) < 0x39800000u));
}

fn v_atan2(y: f32, x: f32) -> f32 {
  let larger = max(v_size(y), v_size(x));
  // sums are not to be infinite, and what is small is to have all digits
  let less = select(1.0, 0.0625, larger > 0x7d000000u);
  let factor = select(less, v_power_of_2(48), larger < 0x0c000000u);
  let infinite = larger == 0x7f800000u;
  let one_up = select(0.0, 1.0, v_isinf(y));
  let one_along = select(0.0, 1.0, v_isinf(x));
  let up = select(v_abs(y) * factor, one_up, infinite);
  let along = select(v_abs(x) * factor, one_along, infinite);
  let out = v_point_angle(up, along);
  let turned = select(out, 3.14159274 - out, v_signbit(x));
  return select(v_copysign(turned, y), v_nan(), v_isnan(x) | v_isnan(y));
}
"""),
)

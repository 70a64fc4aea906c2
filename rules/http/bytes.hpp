// Where a token, a target, a host or a field value of a message head ends: sixteen bytes a step where the bytes are
// there. Inline, because every byte that a client sends goes through here.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "rules/base/text.hpp"

namespace larder::rules {

inline constexpr std::uint8_t token_byte = 1;     // RFC 9110 §5.6.2
inline constexpr std::uint8_t target_byte = 2;    // visible ASCII without "#": no fragment is ever sent
inline constexpr std::uint8_t reg_name_byte = 4;  // RFC 3986 §3.2.2, without "%"

inline constexpr auto byte_classes = [] {
    std::array<std::uint8_t, 256> classes{};
    for (unsigned i = 0; i < 128; ++i) {
        const char c = static_cast<char>(i);
        if (is_token_char(c)) classes[i] |= token_byte;
        if (c > ' ' && c < 0x7f && c != '#') classes[i] |= target_byte;
        if (is_alpha(c) || is_digit(c) || std::string_view("-._~!$&'()*+,;=").find(c) != std::string_view::npos)
            classes[i] |= reg_name_byte;
    }
    return classes;
}();

inline bool is_of(std::uint8_t byte_class, char c) noexcept
{
    return (byte_classes[static_cast<unsigned char>(c)] & byte_class) != 0;
}

/// Behind the last byte of a class, one byte at a time.
inline const char* skip(std::uint8_t byte_class, const char* at, const char* end) noexcept
{
    while (at != end && is_of(byte_class, *at)) ++at;
    return at;
}

#ifdef __SSE2__
/// 0xff for each letter and digit.
inline __m128i alphanumerics(__m128i bytes) noexcept
{
    const __m128i letters = _mm_set1_epi8('z' - 'a'), digits = _mm_set1_epi8('9' - '0');
    const __m128i in_alphabet = _mm_sub_epi8(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    const __m128i in_digits = _mm_sub_epi8(bytes, _mm_set1_epi8('0'));
    return _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(in_alphabet, letters), in_alphabet),
                        _mm_cmpeq_epi8(_mm_min_epu8(in_digits, digits), in_digits));
}
#endif

/// Behind the last byte of a token. Most are letters, digits and "-", which takes a step for sixteen.
inline const char* skip_token(const char* at, const char* end) noexcept
{
#ifdef __SSE2__
    while (end - at >= 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
        const __m128i is_dash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('-'));
        const __m128i is_usual = _mm_or_si128(alphanumerics(bytes), is_dash);
        const unsigned others = static_cast<unsigned>(_mm_movemask_epi8(is_usual)) ^ 0xffff;
        if (others == 0) {
            at += 16;
            continue;
        }
        at += std::countr_zero(others);
        if (!is_of(token_byte, *at)) return at;
        ++at;  // one of the rarer ones, as "_"
    }
#endif
    return skip(token_byte, at, end);
}

/// Behind the last byte that may stand in a request target.
inline const char* skip_target(const char* at, const char* end) noexcept
{
#ifdef __SSE2__
    for (; end - at >= 16; at += 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
        const __m128i is_visible = _mm_cmpgt_epi8(bytes, _mm_set1_epi8(' '));            // signed: not from 0x80 on
        const __m128i is_out = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)),  //
                                            _mm_cmpeq_epi8(bytes, _mm_set1_epi8('#')));
        const unsigned others = static_cast<unsigned>(_mm_movemask_epi8(_mm_andnot_si128(is_out, is_visible))) ^ 0xffff;
        if (others != 0) return at + std::countr_zero(others);
    }
#endif
    return skip(target_byte, at, end);
}

/// The first control byte (below 0x20, or DEL), or `end`.
inline const char* find_control(const char* at, const char* end) noexcept
{
#ifdef __SSE2__
    const auto controls = [](const char* from) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
        const __m128i is_low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        return _mm_or_si128(is_low, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)));
    };
    for (; end - at >= 32; at += 32) {  // values are long
        const auto low = static_cast<unsigned>(_mm_movemask_epi8(controls(at)));
        const auto high = static_cast<unsigned>(_mm_movemask_epi8(controls(at + 16)));
        const unsigned found = low | high << 16;
        if (found != 0) return at + std::countr_zero(found);
    }
    if (end - at >= 16) {
        const auto found = static_cast<unsigned>(_mm_movemask_epi8(controls(at)));
        if (found != 0) return at + std::countr_zero(found);
        at += 16;
    }
#endif
    if constexpr (std::endian::native == std::endian::little) {
        constexpr std::uint64_t ones = 0x0101010101010101;
        while (end - at >= 8) {
            std::uint64_t word = 0;
            std::memcpy(&word, at, 8);
            const std::uint64_t low = (word - ones * 0x20) & ~word;
            const std::uint64_t not_del = word ^ (ones * 0x7f);
            const std::uint64_t del = (not_del - ones) & ~not_del;
            // A borrow can only raise flags above a true one, so the lowest flag is always right.
            const std::uint64_t flags = (low | del) & (ones * 0x80);
            if (flags != 0) return at + std::countr_zero(flags) / 8;
            at += 8;
        }
    }
    while (at != end && static_cast<unsigned char>(*at) >= 0x20 && *at != 0x7f) ++at;
    return at;
}

/// Behind the last byte of a field value or phrase: the first control byte that is not a tab.
inline const char* find_value_end(const char* at, const char* end) noexcept
{
    for (;; ++at) {
        at = find_control(at, end);
        if (at == end || *at != '\t') return at;
    }
}

}  // namespace larder::rules

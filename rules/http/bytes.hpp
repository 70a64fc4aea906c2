// Where a token, a target, a host or a field value of a message head ends: sixteen bytes a step, thirty-two where the
// processor has AVX2. Inline, because every byte that a client sends goes through here.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__SSE2__)
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

constexpr bool is_of(std::uint8_t byte_class, char c) noexcept
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

/// Is `test`, given sixteen bytes, true of all bytes of a text? False for a text of less than eight bytes.
template <class Test>
bool holds_throughout(std::string_view text, Test test) noexcept
{
    if (text.size() < 8) return false;
    const char* at = text.data();
    const char* const end = at + text.size();
    const auto load = [](const char* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); };
    const auto half = [](const char* from) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)); };
    for (; end - at > 16; at += 16)
        if (!test(load(at))) return false;
    // The last steps overlap.
    return test(text.size() >= 16 ? load(end - 16) : _mm_unpacklo_epi64(half(at), half(end - 8)));
}
#endif

/// The steps that every processor can take.
struct UsualBytes {
    /// Behind the last byte of a token. Most are letters, digits and "-", which takes a step for sixteen.
    static const char* skip_token(const char* at, const char* end) noexcept
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
    static const char* skip_target(const char* at, const char* end) noexcept
    {
#ifdef __SSE2__
        for (; end - at >= 16; at += 16) {
            const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
            const __m128i is_visible = _mm_cmpgt_epi8(bytes, _mm_set1_epi8(' '));            // signed: not from 0x80 on
            const __m128i is_out = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)),  //
                                                _mm_cmpeq_epi8(bytes, _mm_set1_epi8('#')));
            const unsigned others =
                static_cast<unsigned>(_mm_movemask_epi8(_mm_andnot_si128(is_out, is_visible))) ^ 0xffff;
            if (others != 0) return at + std::countr_zero(others);
        }
#endif
        return skip(target_byte, at, end);
    }

    /// The first control byte (below 0x20, or DEL), or `end`.
    static const char* find_control(const char* at, const char* end) noexcept
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
};

#if defined(__x86_64__)
/// The steps of a processor with AVX2, which has to be asked for (`has_avx2`).
struct Avx2Bytes {
    [[gnu::target("avx2,bmi")]] static const char* skip_token(const char* at, const char* end) noexcept
    {
        // Bit n of low_nibbles[i]: the byte 0xni may stand in a token.
        static constexpr auto low_nibbles = [] {
            std::array<std::uint8_t, 32> table{};
            for (unsigned c = 0; c < 128; ++c)
                if (is_of(token_byte, static_cast<char>(c)))
                    for (const unsigned lane : {0u, 16u})
                        table[lane + c % 16] = static_cast<std::uint8_t>(table[lane + c % 16] | 1u << c / 16);
            return table;
        }();
        static constexpr auto high_nibbles = [] {
            std::array<std::uint8_t, 32> table{};
            for (unsigned high = 0; high < 8; ++high)
                table[high] = table[16 + high] = static_cast<std::uint8_t>(1u << high);
            return table;
        }();
        const __m256i low_table = load(low_nibbles.data()), high_table = load(high_nibbles.data());
        for (; end - at >= 32; at += 32) {
            const __m256i bytes = load(at);
            const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0x0f));
            // A byte from 0x80 on finds zero in the first table.
            const __m256i is_token =
                _mm256_and_si256(_mm256_shuffle_epi8(low_table, bytes), _mm256_shuffle_epi8(high_table, high));
            const std::uint32_t others = mask(_mm256_cmpeq_epi8(is_token, _mm256_setzero_si256()));
            if (others != 0) return at + _tzcnt_u32(others);
        }
        return UsualBytes::skip_token(at, end);
    }

    [[gnu::target("avx2,bmi")]] static const char* skip_target(const char* at, const char* end) noexcept
    {
        for (; end - at >= 32; at += 32) {
            const __m256i bytes = load(at);
            const __m256i is_visible = _mm256_cmpgt_epi8(bytes, _mm256_set1_epi8(' '));  // signed: not from 0x80 on
            const __m256i is_out = _mm256_or_si256(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x7f)),
                                                   _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('#')));
            const std::uint32_t others = ~mask(_mm256_andnot_si256(is_out, is_visible));
            if (others != 0) return at + _tzcnt_u32(others);
        }
        return UsualBytes::skip_target(at, end);
    }

    [[gnu::target("avx2,bmi")]] static const char* find_control(const char* at, const char* end) noexcept
    {
        for (; end - at >= 32; at += 32) {
            const __m256i bytes = load(at);
            const __m256i is_low = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);
            const std::uint32_t found = mask(_mm256_or_si256(is_low, _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x7f))));
            if (found != 0) return at + _tzcnt_u32(found);
        }
        return UsualBytes::find_control(at, end);
    }

  private:
    [[gnu::target("avx2,bmi")]] static __m256i load(const void* at) noexcept
    {
        return _mm256_loadu_si256(static_cast<const __m256i*>(at));
    }
    [[gnu::target("avx2,bmi")]] static std::uint32_t mask(__m256i bytes) noexcept
    {
        return static_cast<std::uint32_t>(_mm256_movemask_epi8(bytes));
    }
};

inline bool has_avx2() noexcept { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi"); }
#endif

/// Behind the last byte of a field value or phrase: the first control byte that is not a tab.
template <class Bytes = UsualBytes>
inline const char* find_value_end(const char* at, const char* end) noexcept
{
    for (;; ++at) {
        at = Bytes::find_control(at, end);
        if (at == end || *at != '\t') return at;
    }
}

}  // namespace larder::rules

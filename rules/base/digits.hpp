// Eight decimal digits at a time.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace larder::rules {

/// Eight bytes in a word, the first of them the lowest.
inline std::uint64_t load_eight(const char* at) noexcept
{
    std::uint64_t word = 0;
    std::memcpy(&word, at, sizeof word);
    return std::endian::native == std::endian::little ? word : __builtin_bswap64(word);
}

inline void save_eight(char* at, std::uint64_t word) noexcept
{
    if (std::endian::native != std::endian::little) word = __builtin_bswap64(word);
    std::memcpy(at, &word, sizeof word);
}

/// The same byte eight times.
constexpr std::uint64_t eight_times(unsigned char byte) noexcept { return byte * std::uint64_t{0x0101010101010101}; }

/// Not 0: one of the bytes is no value from 0 to 9.
constexpr std::uint64_t beyond_nine(std::uint64_t word) noexcept
{
    return ((word + eight_times(0x80 - 10)) | word) & eight_times(0x80);
}

/// The number whose digits are the bytes, each from 0 to 9, the lowest byte first.
constexpr std::uint64_t join_digits(std::uint64_t word) noexcept
{
    // Each step joins neighbours: digits to pairs, pairs to fours, fours to eight.
    word = (word * 10 + (word >> 8)) & 0x00ff00ff00ff00ff;
    word = (word * 100 + (word >> 16)) & 0x0000ffff0000ffff;
    return (word * 10'000 + (word >> 32)) & 0xffffffff;
}

/// The other way round: the digits of a number below 100,000,000, zeros in front.
constexpr std::uint64_t split_digits(std::uint64_t number) noexcept
{
    // Each step parts all that there is at once, dividing by a multiplication that is exact for so few digits.
    std::uint64_t word = number / 10'000 | number % 10'000 << 32;
    const std::uint64_t hundreds = (word * 5'243 >> 19) & 0x0000007f0000007f;
    word = hundreds | (word - hundreds * 100) << 16;
    const std::uint64_t tens = (word * 103 >> 10) & 0x000f000f000f000f;
    return tens | (word - tens * 10) << 8;
}

}  // namespace larder::rules

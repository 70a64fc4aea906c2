// Bytes from outside as text that JSON can hold.
#pragma once

#include <string>
#include <string_view>

namespace larder::rules {

/// The text with U+FFFD for each byte that is not part of valid UTF-8.
inline std::string valid_utf8(std::string_view text)
{
    std::string out;
    for (std::size_t i = 0; i < text.size();) {
        const auto at = [&](std::size_t k) { return static_cast<unsigned char>(text[i + k]); };
        const unsigned char first = at(0);
        std::size_t length = 0;  // 0: nothing begins so
        if (first < 0x80) length = 1;
        if (first >= 0xC2 && first < 0xE0) length = 2;
        if (first >= 0xE0 && first < 0xF0) length = 3;
        if (first >= 0xF0 && first < 0xF5) length = 4;
        bool is_whole = length > 0 && i + length <= text.size();
        for (std::size_t k = 1; is_whole && k < length; ++k) is_whole = (at(k) & 0xC0) == 0x80;
        if (is_whole && length > 2)  // neither longer than need be, nor a surrogate, nor beyond the last character
            is_whole = !(first == 0xE0 && at(1) < 0xA0) && !(first == 0xED && at(1) > 0x9F) &&
                       !(first == 0xF0 && at(1) < 0x90) && !(first == 0xF4 && at(1) > 0x8F);
        if (is_whole)
            out += text.substr(i, length);
        else
            out += "\xEF\xBF\xBD";
        i += is_whole ? length : 1;
    }
    return out;
}

}  // namespace larder::rules

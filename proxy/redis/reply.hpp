// What Redis answered, as a value.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace larder::proxy {

struct Reply {
    enum class Kind : std::uint8_t { nil, status, error, integer, text, array };

    Kind kind = Kind::nil;
    std::int64_t integer = 0;
    std::string text;  // of status, error and text; any bytes
    std::vector<Reply> elements;

    bool is_nil() const noexcept { return kind == Kind::nil; }
    bool is_error() const noexcept { return kind == Kind::error; }
    bool is_text() const noexcept { return kind == Kind::text; }
    bool is_array() const noexcept { return kind == Kind::array; }

    friend void swap(Reply& one, Reply& other) noexcept
    {
        std::swap(one.kind, other.kind);
        std::swap(one.integer, other.integer);
        one.text.swap(other.text);
        one.elements.swap(other.elements);
    }
};

}  // namespace larder::proxy

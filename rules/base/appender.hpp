// Appends to a string: a number, or many small pieces with a look at the room for each, and no call.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace larder::rules {

template <std::size_t Bytes>
void copy_ends(char* at, std::string_view text) noexcept
{
    char first[Bytes], last[Bytes];
    std::memcpy(first, text.data(), Bytes);
    std::memcpy(last, text.data() + text.size() - Bytes, Bytes);
    std::memcpy(at, first, Bytes);
    std::memcpy(at + text.size() - Bytes, last, Bytes);
}

/// Copies a text that as a rule has up to 32 bytes: two loads and two stores, which may overlap. Returns the end.
inline char* copy_short(char* at, std::string_view text) noexcept
{
    const std::size_t size = text.size();
    if (size > 32)
        std::memcpy(at, text.data(), size);
    else if (size >= 16)
        copy_ends<16>(at, text);
    else if (size >= 8)
        copy_ends<8>(at, text);
    else if (size >= 4)
        copy_ends<4>(at, text);
    else
        for (std::size_t i = 0; i < size; ++i) at[i] = text[i];
    return at + size;
}

/// One number, with zeros in front up to `width` digits.
inline void append_number(std::string& out, std::uint64_t number, std::size_t width = 1)
{
    char digits[20];
    const char* const end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    const auto length = static_cast<std::size_t>(end - digits);
    if (length < width) out.append(width - length, '0');
    out.append(digits, length);
}

/// For heads and the like, which are put together of dozens of pieces of a few bytes. The string has its final text
/// when the appender ends; until then nobody else may touch it.
class Appender {
  public:
    /// @param expected  bytes that will be added; more cost a copy
    Appender(std::string& out, std::size_t expected) : out_(out), used_(out.size()) { make_room(expected); }
    ~Appender() { out_.resize(used()); }
    Appender(const Appender&) = delete;
    Appender& operator=(const Appender&) = delete;

    Appender& operator+=(std::string_view text)
    {
        need(text.size());
        copy(text);
        return *this;
    }
    Appender& operator+=(char c)
    {
        need(1);
        *at_++ = c;
        return *this;
    }
    template <std::size_t Size>
    Appender& operator+=(const char (&literal)[Size])
    {
        need(Size - 1);
        std::memcpy(at_, literal, Size - 1);
        at_ += Size - 1;
        return *this;
    }
    Appender& operator+=(std::uint64_t number)
    {
        need(20);
        at_ = std::to_chars(at_, end_, number).ptr;
        return *this;
    }
    /// `name: value` and CR LF.
    void add_field(std::string_view name, std::string_view value)
    {
        need(name.size() + value.size() + 4);
        copy(name);
        *at_++ = ':';
        *at_++ = ' ';
        copy(value);
        *at_++ = '\r';
        *at_++ = '\n';
    }

  private:
    std::size_t used() const noexcept { return static_cast<std::size_t>(at_ - out_.data()); }
    [[gnu::always_inline]] void need(std::size_t bytes)
    {
        if (static_cast<std::size_t>(end_ - at_) < bytes) [[unlikely]]
            grow(bytes);
    }
    /// Out of line, so that the look at the room is not.
    [[gnu::noinline]] void grow(std::size_t bytes)
    {
        used_ = used();
        make_room(bytes + used_);
    }
    void make_room(std::size_t bytes)
    {
        out_.resize(used_ + bytes);
        at_ = out_.data() + used_;
        end_ = out_.data() + out_.size();
    }
    void copy(std::string_view text) noexcept { at_ = copy_short(at_, text); }

    std::string& out_;
    std::size_t used_;
    char* at_ = nullptr;
    char* end_ = nullptr;
};

}  // namespace larder::rules

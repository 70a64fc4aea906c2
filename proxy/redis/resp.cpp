#include "proxy/redis/resp.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "rules/base/appender.hpp"

namespace larder::proxy {

namespace {

constexpr std::size_t longest_length = 24;  // "$", digits, CR LF

/// A number of one digit or two and CR LF, as most lengths are, to be copied as one word.
constexpr auto short_lines = [] {
    std::array<std::array<char, 4>, 100> lines{};
    for (std::size_t number = 0; number < lines.size(); ++number) {
        auto at = lines[number].begin();
        if (number >= 10) *at++ = static_cast<char>('0' + number / 10);
        for (const char c : {static_cast<char>('0' + number % 10), '\r', '\n'}) *at++ = c;
    }
    return lines;
}();

/// The number and CR LF, at `at`, where there is room for `longest_length`. Returns the end.
char* write_line(char* at, std::size_t number) noexcept
{
    if (number < short_lines.size()) {
        std::memcpy(at, short_lines[number].data(), 4);
        return at + (number < 10 ? 3 : 4);
    }
    at = std::to_chars(at, at + 20, number).ptr;
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

char* write_number(char* at, char kind, std::size_t number) noexcept
{
    *at++ = kind;
    return write_line(at, number);
}

}  // namespace

void append_command(std::string& out, std::span<const std::string_view> args)
{
    // Written in one go where there is room for all of it; an append for each part costs more than all else.
    std::array<char, 512> room;
    constexpr std::size_t longest_at_once = 16 * 1024;  // from here on clearing the room costs more than it spares
    std::size_t bytes = longest_length;
    for (const std::string_view arg : args) bytes += arg.size() + longest_length + 2;
    const bool is_short = bytes <= room.size(), is_long = bytes > longest_at_once;
    const std::size_t begin = out.size();
    if (!is_short && !is_long) out.resize(begin + bytes);
    char* at = is_short || is_long ? room.data() : out.data() + begin;
    const auto flush = [&] {
        out.append(room.data(), static_cast<std::size_t>(at - room.data()));
        at = room.data();
    };
    at = write_number(at, '*', args.size());
    for (const std::string_view arg : args) {
        at = write_number(at, '$', arg.size());
        if (is_long) {
            flush();
            out.append(arg);
        } else {
            at = rules::copy_short(at, arg);
        }
        *at++ = '\r';
        *at++ = '\n';
    }
    if (is_short || is_long)
        flush();
    else
        out.resize(static_cast<std::size_t>(at - out.data()));
}

CommandFrame::CommandFrame(std::span<const std::string_view> args_before, std::string_view begin,
                           std::span<const std::string_view> args_behind)
    : begin_(begin)
{
    std::array<char, longest_length> room;
    const auto append = [&room](std::string& out, char kind, std::size_t number) {
        out.append(room.data(), write_number(room.data(), kind, number));
    };
    append(before_, '*', args_before.size() + 1 + args_behind.size());
    for (const std::string_view arg : args_before) {
        append(before_, '$', arg.size());
        before_.append(arg).append("\r\n");
    }
    before_ += '$';
    behind_ = "\r\n";
    for (const std::string_view arg : args_behind) {
        append(behind_, '$', arg.size());
        behind_.append(arg).append("\r\n");
    }
}

void CommandFrame::append_to(std::string& out, std::span<const std::string_view> pieces) const
{
    std::size_t argument_bytes = begin_.size();
    for (const std::string_view piece : pieces) argument_bytes += piece.size();
    const std::size_t most_bytes = before_.size() + longest_length + argument_bytes + behind_.size();
    // As a rule all of it is short, and becomes one before the output has to grow.
    std::array<char, 256> room;
    const bool is_short = most_bytes <= room.size();
    const std::size_t begin = out.size();
    if (!is_short) out.resize(begin + most_bytes);
    char* const first = is_short ? room.data() : out.data() + begin;
    char* at = rules::copy_short(first, before_);
    at = write_line(at, argument_bytes);
    at = rules::copy_short(at, begin_);
    for (const std::string_view piece : pieces) at = rules::copy_short(at, piece);
    at = rules::copy_short(at, behind_);
    const auto bytes = static_cast<std::size_t>(at - first);
    if (is_short)
        out.append(first, bytes);
    else
        out.resize(begin + bytes);
}

bool append_login(std::string& out, std::string_view user, std::string_view password)
{
    if (!user.empty()) {
        const std::string_view auth[] = {"AUTH", user, password};
        append_command(out, auth);
        return true;
    }
    if (password.empty()) return false;
    const std::string_view auth[] = {"AUTH", password};
    append_command(out, auth);
    return true;
}

}  // namespace larder::proxy

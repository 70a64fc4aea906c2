#include "proxy/redis/resp.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace larder::proxy {

namespace {

constexpr std::size_t longest_length = 24;  // "$", digits, CR LF

/// `kind`, the number, CR LF, at `at`. Returns the end.
char* write_number(char* at, char kind, std::size_t number) noexcept
{
    *at++ = kind;
    at = std::to_chars(at, at + 20, number).ptr;
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

}  // namespace

void append_command(std::string& out, std::span<const std::string_view> args)
{
    // Most commands are short and become one piece here; an append for each part costs more than all else.
    std::array<char, 512> room;
    std::size_t bytes = longest_length;
    for (const std::string_view arg : args) bytes += arg.size() + longest_length + 2;
    const bool is_short = bytes <= room.size();
    char* at = write_number(room.data(), '*', args.size());
    const auto flush = [&] {
        out.append(room.data(), static_cast<std::size_t>(at - room.data()));
        at = room.data();
    };
    for (const std::string_view arg : args) {
        at = write_number(at, '$', arg.size());
        if (is_short) {
            at = std::copy(arg.begin(), arg.end(), at);
        } else {
            flush();
            out.append(arg);
        }
        *at++ = '\r';
        *at++ = '\n';
    }
    flush();
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

#include "proxy/redis/resp.hpp"

#include <array>
#include <charconv>
#include <cstring>
#include <utility>

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

/// Puts short pieces together before the output has to grow: an append for each costs more than all else.
class Gatherer {
  public:
    explicit Gatherer(std::string& out) noexcept : out_(out) {}
    Gatherer(const Gatherer&) = delete;
    Gatherer& operator=(const Gatherer&) = delete;

    void add(std::string_view text)
    {
        if (text.size() > left()) [[unlikely]] {
            flush();
            if (text.size() > room_.size() / 2) {
                out_ += text;
                return;
            }
        }
        at_ = rules::copy_short(at_, text);
    }
    void add_number(char kind, std::size_t number)
    {
        if (left() < longest_length) [[unlikely]]
            flush();
        at_ = write_number(at_, kind, number);
    }
    /// The number and CR LF.
    void add_line(std::size_t number)
    {
        if (left() < longest_length) [[unlikely]]
            flush();
        at_ = write_line(at_, number);
    }
    /// Appends what is gathered: to be called at the end, as a destructor must not fail.
    void flush()
    {
        out_.append(room_.data(), static_cast<std::size_t>(at_ - room_.data()));
        at_ = room_.data();
    }

  private:
    std::size_t left() const noexcept { return static_cast<std::size_t>(room_.data() + room_.size() - at_); }

    std::string& out_;
    std::array<char, 512> room_;
    char* at_ = room_.data();
};

}  // namespace

void append_command(std::string& out, std::span<const std::string_view> args)
{
    Gatherer gatherer(out);
    gatherer.add_number('*', args.size());
    for (const std::string_view arg : args) {
        gatherer.add_number('$', arg.size());
        gatherer.add(arg);
        gatherer.add("\r\n");
    }
    gatherer.flush();
}

CommandFrame::CommandFrame(std::initializer_list<Command> commands) : commands_count_(commands.size())
{
    std::array<char, longest_length> room;
    std::string fixed;  // since the last argument that changes
    const auto append = [&room, &fixed](char kind, std::size_t number) {
        fixed.append(room.data(), write_number(room.data(), kind, number));
    };
    for (const Command& command : commands) {
        append('*', command.size());
        for (const FrameArgument& argument : command) {
            if (argument.has_rest) {
                fixed += '$';
                parts_.push_back({std::exchange(fixed, {}), std::string(argument.text)});
            } else {
                append('$', argument.text.size());
                fixed += argument.text;
            }
            fixed += "\r\n";
        }
    }
    behind_ = std::move(fixed);
}

void CommandFrame::append_to(std::string& out, std::span<const Rest> rests) const
{
    Gatherer gatherer(out);
    auto rest = rests.begin();
    for (const Part& part : parts_) {
        std::size_t argument_bytes = part.begin.size();
        for (const std::string_view piece : *rest) argument_bytes += piece.size();
        gatherer.add(part.before);
        gatherer.add_line(argument_bytes);
        gatherer.add(part.begin);
        for (const std::string_view piece : *rest) gatherer.add(piece);
        ++rest;
    }
    gatherer.add(behind_);
    gatherer.flush();
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

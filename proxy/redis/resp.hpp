// Commands for Redis as bytes. What comes back: reply_reader.hpp.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace larder::proxy {

/// Appends one command as an array of bulk strings.
void append_command(std::string& out, std::span<const std::string_view> args);

/// An argument as it is, or the beginning of one whose rest is given each time.
struct FrameArgument {
    std::string_view text;
    bool has_rest = false;
};

/// Commands of which some arguments change: the bytes around what changes stand ready.
class CommandFrame {
  public:
    using Command = std::initializer_list<FrameArgument>;
    /// Pieces, of which the rest of an argument is put together.
    using Rest = std::span<const std::string_view>;

    CommandFrame(std::initializer_list<Command> commands);

    /// As `append_command` of each.
    /// @param rests  one for each argument that has one, in their order
    void append_to(std::string& out, std::span<const Rest> rests) const;

    std::size_t commands_count() const noexcept { return commands_count_; }

  private:
    struct Part {
        std::string before;  // up to the argument's length
        std::string begin;   // of the argument
    };
    std::vector<Part> parts_;
    std::string behind_;
    std::size_t commands_count_;
};

/// Appends what logs a connection in: nothing without a password. AUTH's reply is the only one to come.
/// @return a command was appended
bool append_login(std::string& out, std::string_view user, std::string_view password);

}  // namespace larder::proxy

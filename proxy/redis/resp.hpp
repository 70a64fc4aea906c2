// Commands for Redis as bytes. What comes back: reply_reader.hpp.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace larder::proxy {

/// Appends one command as an array of bulk strings.
void append_command(std::string& out, std::span<const std::string_view> args);

/// A command of which one argument changes from its beginning on: the bytes around what changes stand ready.
class CommandFrame {
  public:
    /// @param begin  what the argument begins with
    CommandFrame(std::span<const std::string_view> args_before, std::string_view begin,
                 std::span<const std::string_view> args_behind);

    /// As `append_command` of all arguments.
    /// @param pieces  of which the rest of the argument is put together
    void append_to(std::string& out, std::span<const std::string_view> pieces) const;

  private:
    std::string before_;  // up to the argument's length
    std::string begin_;   // of the argument
    std::string behind_;
};

/// Appends what logs a connection in: nothing without a password. AUTH's reply is the only one to come.
/// @return a command was appended
bool append_login(std::string& out, std::string_view user, std::string_view password);

}  // namespace larder::proxy

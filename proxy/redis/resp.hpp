// Commands for Redis as bytes. What comes back: reply_reader.hpp.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace larder::proxy {

/// Appends one command as an array of bulk strings.
void append_command(std::string& out, std::span<const std::string_view> args);

/// A command of which one argument changes: the bytes around it stand ready.
class CommandFrame {
  public:
    CommandFrame(std::span<const std::string_view> args_before, std::span<const std::string_view> args_behind);

    /// As `append_command` of all arguments.
    void append_to(std::string& out, std::string_view argument) const;

  private:
    std::string before_, behind_;  // up to its length, and from the end of its line on
};

/// Appends what logs a connection in: nothing without a password. AUTH's reply is the only one to come.
/// @return a command was appended
bool append_login(std::string& out, std::string_view user, std::string_view password);

}  // namespace larder::proxy

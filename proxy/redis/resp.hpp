// Commands for Redis as bytes. What comes back: reply_reader.hpp.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace larder::proxy {

/// Appends one command as an array of bulk strings.
void append_command(std::string& out, std::span<const std::string_view> args);

/// The bytes of a command of which one argument changes: in front of that argument's length and behind the argument.
struct CommandFrame {
    CommandFrame(std::span<const std::string_view> args_before, std::span<const std::string_view> args_behind);

    std::string before, behind;
};

/// Appends what logs a connection in: nothing without a password. AUTH's reply is the only one to come.
/// @return a command was appended
bool append_login(std::string& out, std::string_view user, std::string_view password);

}  // namespace larder::proxy

// The Redis protocol as bytes: commands out, replies in. The only user of hiredis. No socket.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "proxy/redis/reply.hpp"

struct redisReader;

namespace larder::proxy {

/// Appends one command as an array of bulk strings.
void append_command(std::string& out, std::span<const std::string_view> args);

/// Appends what logs a connection in: nothing without a password. AUTH's reply is the only one to come.
/// @return a command was appended
bool append_login(std::string& out, std::string_view user, std::string_view password);

/// Bytes in, replies out, in order.
class ReplyReader {
  public:
    ReplyReader() { reset(); }
    ReplyReader(const ReplyReader&) = delete;
    ReplyReader& operator=(const ReplyReader&) = delete;

    /// Forgets everything: for a new connection.
    void reset();
    /// Small portions are cheaper: what is left is moved after each reply. False: out of memory.
    bool feed(std::string_view bytes);
    /// False: there is no whole reply yet, or the bytes cannot be understood (`failed`).
    bool next(Reply& reply);
    bool failed() const noexcept;

  private:
    struct Deleter {
        void operator()(redisReader* reader) const noexcept;
    };
    std::unique_ptr<redisReader, Deleter> reader_;
    Reply root_;  // what the reader is building
};

}  // namespace larder::proxy

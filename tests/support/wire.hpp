// One blocking connection, plain or TLS, whose every step has a deadline. Client and origin of a test both speak
// through it, and both see the raw bytes. What a message means is in message.hpp.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tests/support/eventually.hpp"

namespace larder::tests {

/// The peer closed the connection, or it broke.
struct Ended : std::runtime_error {
    using std::runtime_error::runtime_error;
};
/// A step took longer than its deadline.
struct TooLate : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Single-threaded, except for `interrupt`.
class Wire {
  public:
    /// Takes over a connected socket and, if given, its TLS session.
    explicit Wire(int fd, SSL* ssl = nullptr);
    ~Wire();
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;

    static std::unique_ptr<Wire> to_port(std::uint16_t port, int receive_buffer_bytes = 0);
    static std::unique_ptr<Wire> to_unix(const std::string& path);

    /// How long one step waits; negative: forever.
    void set_limit(milliseconds limit) { limit_ = limit; }

    /// Sends all of it. Throws Ended, TooLate.
    void send(std::string_view bytes);
    /// Sends what the kernel takes at once; returns the count, 0 when it takes nothing now.
    std::size_t send_some(std::string_view bytes);

    /// Appends what is there to the unread bytes; false at the end of the stream. Throws TooLate, Ended when it broke.
    bool receive();
    /// Bytes received and not taken yet.
    std::string& unread() { return unread_; }
    /// Takes everything up to and with `mark`. Throws Ended when the stream ends first.
    std::string take_through(std::string_view mark);
    std::string take(std::size_t bytes_count);
    /// Takes what is left until the peer closes.
    std::string take_to_end();
    /// Waits until something is there and throws away at most so much of it, without a copy; returns the count, 0 at
    /// the end of the stream. The fastest of readers; not over TLS. Throws TooLate, Ended when it broke.
    std::size_t discard(std::size_t most);
    /// True when nothing arrives within `window`. Only for "nothing must come": it costs the whole window.
    bool is_silent_for(milliseconds window);
    /// True when the peer has closed or reset and nothing unread is left; waits for that at most the limit.
    bool is_closed_by_peer();

    void shutdown_send();
    /// Closes with a reset instead of an orderly end.
    void reset();
    void close();
    /// From any thread: makes present and future steps fail.
    void interrupt();
    int fd() const { return fd_; }

  private:
    bool wait(short events, milliseconds limit);

    int fd_;
    SSL* ssl_;
    milliseconds limit_ = step_limit();
    std::string unread_;
};

}  // namespace larder::tests

// The client of a test: one kept-alive connection, raw bytes out, parsed responses in.
#pragma once

#include <string>
#include <vector>

#include "tests/support/message.hpp"

namespace larder::tests {

class HttpClient {
  public:
    explicit HttpClient(std::uint16_t port, int receive_buffer_bytes = 0)
        : wire_(Wire::to_port(port, receive_buffer_bytes))
    {
    }

    /// Sends a request in HTTP/1.1 with a Host (its own unless one is given), the given field lines ("Name: value")
    /// and, if not empty, the body.
    void send(const std::string& method, const std::string& target, const std::vector<std::string>& fields = {},
              const std::string& body = "");
    void send_bytes(std::string_view bytes) { wire_->send(bytes); }
    Response read(bool to_head = false) { return read_response(*wire_, to_head); }

    Response request(const std::string& method, const std::string& target, const std::vector<std::string>& fields = {},
                     const std::string& body = "");
    Response get(const std::string& target, const std::vector<std::string>& fields = {})
    {
        return request("GET", target, fields);
    }

    Wire& wire() { return *wire_; }

  private:
    std::unique_ptr<Wire> wire_;
};

}  // namespace larder::tests

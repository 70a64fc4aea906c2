// A real redis-server of the test's own: without persistence, on a free port or a unix socket, with the user that
// Larder runs under, which may use no command that scans.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/certificates.hpp"
#include "tests/support/child_process.hpp"

namespace larder::tests {

/// A command as the all-powerful user of a server; the reply as text, the elements of an array one a line.
std::string redis_command(const std::string& socket_path, const std::vector<std::string>& words);

class RedisProcess {
  public:
    enum class Kind { tcp, unix_socket, tls };
    explicit RedisProcess(Kind kind = Kind::tcp);

    /// What stands in `store:` to reach it as the restricted user.
    std::string url() const;
    std::string authority_file() const { return directory_.path() + "/ca.pem"; }

    void kill();   // SIGKILL: connections are reset, nothing is kept
    void start();  // on the same address, empty
    void stop();   // SIGSTOP: connections stay, nothing is answered
    void go_on();  // SIGCONT

    /// A command as the all-powerful user; the reply as text, the elements of an array one a line.
    std::string command(const std::vector<std::string>& words) const;
    /// Calls of one command since the start, from INFO commandstats.
    std::uint64_t calls(const std::string& lower_case_command) const;

    static constexpr const char* password = "a-secret-of-the-test";

  private:
    Kind kind_;
    TemporaryDirectory directory_;
    std::uint16_t port_ = 0;
    std::unique_ptr<ChildProcess> process_;
};

}  // namespace larder::tests

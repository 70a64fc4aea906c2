// The built binary with a configuration of the test's, from start to an orderly end.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/support/child_process.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/larder_binary.hpp"

namespace larder::tests {

class LarderProcess {
  public:
    /// Starts it and waits until it is ready. `listen` and `admin` are added to the configuration, on free ports.
    /// @param yaml         everything else
    /// @param environment  NAME=VALUE
    /// @param arguments    in place of `--config FILE`, for the form without a file; must contain the free ports
    /// themselves
    explicit LarderProcess(const std::string& yaml, const std::vector<std::string>& environment = {},
                           const std::vector<std::string>& arguments = {});
    ~LarderProcess();

    std::uint16_t port() const { return port_; }
    std::uint16_t admin_port() const { return admin_port_; }
    ChildProcess& process() { return *process_; }
    /// Diagnostics so far (stderr).
    std::string log() const { return process_->standard_error(); }
    /// Access-log lines so far (stdout).
    std::string access_log() const { return process_->standard_output(); }

    /// One request to the admin listener on a connection of its own.
    Response admin(const std::string& method, const std::string& target, const std::string& body = "");
    /// The same with a JSON body, and `fields` in place of its Content-Type.
    Response post(const std::string& target, const std::string& json,
                  std::vector<std::string> fields = {"Content-Type: application/json"});
    /// Its configuration file. Not with `arguments`.
    const std::string& file() const { return file_; }
    /// Puts another text into the place of the file, at once, as editors do. `listen` and `admin` are added as they
    /// were.
    void rewrite(const std::string& yaml);
    /// Sum of a metric over all label sets whose text contains `labels`; 0 when there is none.
    double metric(const std::string& name, const std::string& labels = "");

    /// SIGTERM, then the exit code. A sanitizer's finding is an exit code other than 0.
    int stop();

  private:
    TemporaryDirectory directory_;
    std::unique_ptr<ChildProcess> process_;
    std::string file_;
    std::uint16_t port_ = 0, admin_port_ = 0;
};

}  // namespace larder::tests

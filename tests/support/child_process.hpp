// A program that a test starts, watches and ends. Its output goes to files of its own, its life ends with the test's.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/eventually.hpp"

namespace larder::tests {

/// A directory that is removed with all it holds when the object goes.
class TemporaryDirectory {
  public:
    TemporaryDirectory();
    ~TemporaryDirectory();
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    const std::string& path() const { return path_; }
    /// Writes a file into it; returns its full name.
    std::string write(const std::string& name, const std::string& text) const;

  private:
    std::string path_;
};

class ChildProcess {
  public:
    /// @param arguments    program first
    /// @param environment  NAME=VALUE, added to the test's own
    ChildProcess(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {});
    ~ChildProcess();  // SIGKILL when it still runs
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;

    pid_t pid() const { return pid_; }
    void signal(int number) const;
    /// The exit code, 128 + number when a signal ended it; empty while it runs.
    std::optional<int> exit_code();
    /// Waits for the end. Throws when `limit` passes first.
    int wait_for_exit(milliseconds limit = step_limit());
    std::string standard_output() const;
    std::string standard_error() const;
    /// A memory figure of /proc/PID/status in KiB: "VmRSS", "VmHWM".
    std::uint64_t memory_kib(const std::string& figure) const;

  private:
    TemporaryDirectory directory_;
    pid_t pid_ = -1;
    std::optional<int> exit_code_;
};

std::string read_whole_file(const std::string& path);

/// The highest number of open files that this process and its children may have, raised to `wanted` if the hard limit
/// allows it.
std::uint64_t raise_open_files_limit(std::uint64_t wanted);

}  // namespace larder::tests

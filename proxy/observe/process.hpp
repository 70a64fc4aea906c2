// What the kernel says of this process, and what its cgroup allows: for the process_* metrics that Prometheus' clients
// share, and for the sizes that follow from it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace larder::proxy {

struct ProcessFigures {
    double cpu_seconds = 0;  // user and system, of all threads
    std::uint64_t resident_bytes = 0, virtual_bytes = 0;
    std::uint64_t open_files = 0, files_limit = 0;
    std::uint64_t threads = 0;
    double started_seconds = 0;  // since 1970
};

/// What cannot be read is 0.
ProcessFigures process_figures();

/// Cores that this process may use: its affinity, and the cgroup's quota rounded up.
/// @param root  of the file system: tests have their own
std::uint32_t allowed_cores(const std::string& root = {});

/// The least that a cgroup above this process allows it of memory, in bytes; empty: as much as there is.
std::optional<std::uint64_t> allowed_memory(const std::string& root = {});

}  // namespace larder::proxy

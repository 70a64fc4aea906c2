#include "proxy/observe/process.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace larder::proxy {

namespace {

constexpr const char* cgroups = "/sys/fs/cgroup";

/// The folder of our cgroup and those above it: inside a container the root is our own.
template <class Visit>
void for_each_cgroup(Visit visit)
{
    std::ifstream own("/proc/self/cgroup");
    std::string path;
    for (std::string line; std::getline(own, line);)
        if (line.starts_with("0::")) path = line.substr(3);
    for (;;) {
        visit(std::string(cgroups) + path);
        if (path.empty() || path == "/") return;
        path.erase(path.rfind('/'));
    }
}

}  // namespace

ProcessFigures process_figures()
{
    ProcessFigures figures;
    std::ifstream stat("/proc/self/stat");
    std::string text{std::istreambuf_iterator<char>(stat), {}};
    // The name in brackets may hold spaces and brackets of its own.
    const std::size_t name_end = text.rfind(')');
    if (name_end != std::string::npos) {
        std::istringstream rest(text.substr(name_end + 1));
        std::string word;
        const double ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
        const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
        double started_ticks = 0;
        for (int field = 3; rest >> word && field <= 24; ++field) {
            const double value = std::strtod(word.c_str(), nullptr);
            if (field == 14 || field == 15) figures.cpu_seconds += value / ticks;
            if (field == 20) figures.threads = static_cast<std::uint64_t>(value);
            if (field == 22) started_ticks = value / ticks;
            if (field == 23) figures.virtual_bytes = static_cast<std::uint64_t>(value);
            if (field == 24) figures.resident_bytes = static_cast<std::uint64_t>(value) * page;
        }
        std::ifstream system("/proc/stat");
        for (std::string line; std::getline(system, line);)
            if (line.starts_with("btime "))
                figures.started_seconds = std::strtod(line.c_str() + 6, nullptr) + started_ticks;
    }
    std::error_code ec;
    const std::filesystem::directory_iterator files("/proc/self/fd", ec);
    if (!ec) figures.open_files = static_cast<std::uint64_t>(std::distance(begin(files), end(files)));
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) figures.files_limit = limit.rlim_cur;
    return figures;
}

std::uint32_t allowed_cores()
{
    cpu_set_t set;
    CPU_ZERO(&set);
    std::uint32_t cores = 1;
    if (::sched_getaffinity(0, sizeof set, &set) == 0) cores = static_cast<std::uint32_t>(CPU_COUNT(&set));
    for_each_cgroup([&cores](const std::string& folder) {
        std::ifstream file(folder + "/cpu.max");
        std::string quota;
        double period = 0;
        if (!(file >> quota >> period) || quota == "max" || period <= 0) return;
        const double limit = (std::strtod(quota.c_str(), nullptr) + period - 1) / period;
        if (limit >= 1 && limit < cores) cores = static_cast<std::uint32_t>(limit);
    });
    return cores;
}

std::optional<std::uint64_t> allowed_memory()
{
    std::optional<std::uint64_t> least;
    for_each_cgroup([&least](const std::string& folder) {
        std::ifstream file(folder + "/memory.max");
        std::uint64_t bytes = 0;
        if (file >> bytes) least = std::min(least.value_or(UINT64_MAX), bytes);  // "max" is no number
    });
    return least;
}

}  // namespace larder::proxy

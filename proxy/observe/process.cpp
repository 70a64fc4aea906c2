#include "proxy/observe/process.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace larder::proxy {

namespace {

/// The folder of our cgroup and those above it, of version 2 and of the old controller: inside a container the root is
/// our own.
template <class Visit>
void for_each_cgroup(const std::string& root, std::string_view controller, Visit visit)
{
    std::ifstream own(root + "/proc/self/cgroup");
    for (std::string line; std::getline(own, line);) {
        const std::size_t first = line.find(':'), second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
        std::string folder = root + "/sys/fs/cgroup";
        if (controllers.find("," + std::string(controller) + ",") != std::string::npos)
            folder.append("/").append(controller);
        else if (controllers != ",,")
            continue;
        for (std::string path = line.substr(second + 1);; path.erase(path.rfind('/'))) {
            visit(folder + path);
            if (path.empty()) break;
        }
    }
}

template <class... Values>
bool read_file(const std::string& path, Values&... values)
{
    std::ifstream file(path);
    return static_cast<bool>((file >> ... >> values));
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
    // Not of the ticks in /proc: those are of 10 ms, less of which a process may have used for long.
    rusage used{};
    if (::getrusage(RUSAGE_SELF, &used) == 0)
        for (const timeval& part : {used.ru_utime, used.ru_stime})
            figures.cpu_seconds += static_cast<double>(part.tv_sec) + static_cast<double>(part.tv_usec) / 1e6;
    std::error_code ec;
    const std::filesystem::directory_iterator files("/proc/self/fd", ec);
    if (!ec) figures.open_files = static_cast<std::uint64_t>(std::distance(begin(files), end(files)));
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) figures.files_limit = limit.rlim_cur;
    return figures;
}

std::uint32_t allowed_cores(const std::string& root)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    std::uint32_t cores = 1;
    if (::sched_getaffinity(0, sizeof set, &set) == 0) cores = static_cast<std::uint32_t>(CPU_COUNT(&set));
    const auto take = [&cores](double quota, double period) {
        if (quota <= 0 || period <= 0) return;
        const double limit = std::ceil(quota / period);
        if (limit < cores) cores = static_cast<std::uint32_t>(limit);
    };
    for_each_cgroup(root, "cpu", [&take](const std::string& folder) {
        std::string word;
        double quota = 0, period = 0;
        if (read_file(folder + "/cpu.max", word, period)) take(std::strtod(word.c_str(), nullptr), period);  // "max": 0
        if (read_file(folder + "/cpu.cfs_quota_us", quota) && read_file(folder + "/cpu.cfs_period_us", period))
            take(quota, period);
    });
    return cores;
}

std::optional<std::uint64_t> allowed_memory(const std::string& root)
{
    const std::uint64_t unlimited = std::uint64_t{1} << 60;  // the old controller says a number near 2^63
    std::optional<std::uint64_t> least;
    for_each_cgroup(root, "memory", [&](const std::string& folder) {
        for (const char* name : {"/memory.max", "/memory.limit_in_bytes"}) {
            std::uint64_t bytes = 0;
            const bool is_limit = read_file(folder + name, bytes) && bytes < unlimited;  // "max" is no number
            if (is_limit) least = std::min(least.value_or(unlimited), bytes);
        }
    });
    return least;
}

}  // namespace larder::proxy

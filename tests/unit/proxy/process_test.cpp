// What a cgroup allows, of both versions, and what the kernel says of this process.
#include "proxy/observe/process.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

using namespace larder::proxy;

namespace {

/// A file system of the test's, as far as cgroups are concerned.
class Root {
  public:
    Root()
    {
        char name[] = "/tmp/larder-test-XXXXXX";
        REQUIRE(::mkdtemp(name) != nullptr);
        folder_ = name;
    }
    ~Root() { std::filesystem::remove_all(folder_); }
    Root(const Root&) = delete;
    Root& operator=(const Root&) = delete;

    void write(const std::string& path, const std::string& text)
    {
        const std::filesystem::path file = folder() + path;
        std::filesystem::create_directories(file.parent_path());
        std::ofstream(file) << text;
    }
    const std::string& folder() const { return folder_; }

  private:
    std::string folder_;
};

}  // namespace

TEST_CASE("the least limit of the cgroup and those above it counts")
{
    Root root;
    CHECK_FALSE(allowed_memory(root.folder()));
    root.write("/proc/self/cgroup", "0::/pod/larder\n");
    root.write("/sys/fs/cgroup/pod/larder/memory.max", "max\n");
    root.write("/sys/fs/cgroup/pod/larder/cpu.max", "max 100000\n");
    CHECK_FALSE(allowed_memory(root.folder()));
    const std::uint32_t all = allowed_cores(root.folder());
    CHECK(all >= 1);
    root.write("/sys/fs/cgroup/pod/memory.max", "268435456\n");
    root.write("/sys/fs/cgroup/memory.max", "536870912\n");
    CHECK(allowed_memory(root.folder()) == 268435456u);
    root.write("/sys/fs/cgroup/pod/cpu.max", "20000 100000\n");
    CHECK(allowed_cores(root.folder()) == 1);  // a fifth of one
}

TEST_CASE("the old controllers say it in files of their own, and a number near 2^63 for no limit")
{
    Root root;
    root.write("/proc/self/cgroup", "4:memory:/pod\n2:cpu,cpuacct:/pod\n0::/\n");
    root.write("/sys/fs/cgroup/memory/pod/memory.limit_in_bytes", "9223372036854771712\n");
    CHECK_FALSE(allowed_memory(root.folder()));
    root.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "100000000\n");  // as it is seen inside a container
    CHECK(allowed_memory(root.folder()) == 100'000'000u);
    root.write("/sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us", "-1\n");
    root.write("/sys/fs/cgroup/cpu/pod/cpu.cfs_period_us", "100000\n");
    const std::uint32_t all = allowed_cores(root.folder());
    root.write("/sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us", "100000\n");
    CHECK(allowed_cores(root.folder()) == 1);
    root.write("/sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us", "6400000\n");
    CHECK(allowed_cores(root.folder()) == all);
}

TEST_CASE("the kernel knows this process")
{
    const ProcessFigures figures = process_figures();
    CHECK(figures.resident_bytes > 1'000'000);
    CHECK(figures.virtual_bytes >= figures.resident_bytes);
    CHECK(figures.open_files >= 3);
    CHECK(figures.files_limit >= figures.open_files);
    CHECK(figures.threads >= 1);
    CHECK(figures.started_seconds > 1.7e9);
}

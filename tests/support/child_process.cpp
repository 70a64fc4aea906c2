#include "tests/support/child_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

extern char** environ;

namespace larder::tests {

TemporaryDirectory::TemporaryDirectory()
{
    std::string name = std::filesystem::temp_directory_path() / "larder-test-XXXXXX";
    if (!::mkdtemp(name.data())) throw std::runtime_error("mkdtemp " + name);
    path_ = name;
}

TemporaryDirectory::~TemporaryDirectory()
{
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryDirectory::write(const std::string& name, const std::string& text) const
{
    const std::string full = path_ + "/" + name;
    std::ofstream(full, std::ios::binary) << text;
    return full;
}

std::string read_whole_file(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, const std::vector<std::string>& environment)
{
    // Everything that allocates is done before fork: the test has threads.
    std::vector<char*> argument_pointers, environment_pointers;
    for (const std::string& argument : arguments) argument_pointers.push_back(const_cast<char*>(argument.c_str()));
    argument_pointers.push_back(nullptr);
    for (char** entry = environ; *entry; ++entry) environment_pointers.push_back(*entry);
    std::vector<char*> all;
    for (const std::string& added : environment) all.push_back(const_cast<char*>(added.c_str()));
    all.insert(all.end(), environment_pointers.begin(), environment_pointers.end());
    all.push_back(nullptr);
    const int out = ::open((directory_.path() + "/out").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const int err = ::open((directory_.path() + "/err").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    const pid_t parent = ::getpid();

    pid_ = ::fork();
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent) ::_exit(127);
        ::dup2(nothing, 0);
        ::dup2(out, 1);
        ::dup2(err, 2);
        ::execvpe(argument_pointers[0], argument_pointers.data(), all.data());
        ::_exit(127);
    }
    ::close(out);
    ::close(err);
    ::close(nothing);
    if (pid_ < 0) throw std::runtime_error("fork");
}

ChildProcess::~ChildProcess()
{
    if (exit_code()) return;
    ::kill(pid_, SIGKILL);
    ::kill(pid_, SIGCONT);
    ::waitpid(pid_, nullptr, 0);
}

void ChildProcess::signal(int number) const { ::kill(pid_, number); }

std::optional<int> ChildProcess::exit_code()
{
    if (exit_code_) return exit_code_;
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
    if (WIFEXITED(status)) exit_code_ = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) exit_code_ = 128 + WTERMSIG(status);
    return exit_code_;
}

int ChildProcess::wait_for_exit(milliseconds limit)
{
    await_condition(
        "the process ends", [&] { return exit_code().has_value(); }, limit);
    return *exit_code_;
}

std::string ChildProcess::standard_output() const { return read_whole_file(directory_.path() + "/out"); }
std::string ChildProcess::standard_error() const { return read_whole_file(directory_.path() + "/err"); }

std::uint64_t ChildProcess::memory_kib(const std::string& figure) const
{
    std::istringstream status(read_whole_file("/proc/" + std::to_string(pid_) + "/status"));
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with(figure + ":")) return std::strtoull(line.c_str() + figure.size() + 1, nullptr, 10);
    }
    throw std::runtime_error("no " + figure + " of process " + std::to_string(pid_));
}

std::uint64_t raise_open_files_limit(std::uint64_t wanted)
{
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur;
}

}  // namespace larder::tests

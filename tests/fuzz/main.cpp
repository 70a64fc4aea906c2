// Runs the targets on their seeds, then on mutations of them. Each target runs in a process of its own, and what it is
// about to read stands in memory that both see: whatever ends it, the parent writes that input down.
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <new>
#include <optional>
#include <vector>

#include "input.hpp"
#include "mutator.hpp"
#include "targets.hpp"

namespace larder::fuzz {

namespace {

constexpr std::string_view usage =
    R"(usage: fuzz_parsers [--runs N] [--seed S] [TARGET...]   seeds, then N mutated inputs
       fuzz_parsers TARGET FILE...                       these inputs: a failure again, or what another fuzzer found
       fuzz_parsers --list                               the targets

A target that is slow gets a part of N (--list says which). An input that fails is made smaller and written to
fuzz-TARGET-HASH in the present folder. Exit 0 when all that must hold did.
)";

constexpr unsigned input_limit_s = 60;  // one that takes longer is a failure, on a busy machine with sanitizers too
constexpr int exit_broken = 3;

/// What a target's process tells its parent.
struct Shared {
    static constexpr std::size_t input_limit_bytes = 1 << 20;
    std::size_t inputs_count;
    std::size_t size;
    bool done;
    char why[8192];
    char input[input_limit_bytes];

    void set_input(std::string_view bytes)
    {
        size = std::min(bytes.size(), input_limit_bytes);
        std::memcpy(input, bytes.data(), size);
    }
    void set_why(std::string_view text)
    {
        const std::size_t length = std::min(text.size(), sizeof why - 1);
        std::memcpy(why, text.data(), length);
        why[length] = '\0';
    }
};

std::string read_file(const std::filesystem::path& path)
{
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot be read: " + path.string());
    return {std::istreambuf_iterator<char>(file), {}};
}

const std::filesystem::path folder = std::filesystem::path(LARDER_SOURCE_DIR) / "tests/fuzz";

/// In the order of their names, so that a run is the same everywhere.
std::vector<std::string> seeds_of(const Target& target)
{
    std::vector<std::filesystem::path> paths;
    for (const auto& file : std::filesystem::directory_iterator(folder / "seeds" / target.name))
        if (file.is_regular_file()) paths.push_back(file.path());
    std::sort(paths.begin(), paths.end());
    std::vector<std::string> seeds;
    for (const auto& path : paths) seeds.push_back(read_file(path));
    return seeds;
}

Mutator mutator_of(const Target& target)
{
    const auto dictionary = folder / "dictionaries" / target.name;
    std::vector<std::string> words;
    if (std::filesystem::exists(dictionary)) words = read_dictionary(read_file(dictionary));
    return {seeds_of(target), std::move(words)};
}

std::uint64_t number_of(const Target& target, std::uint64_t seed, std::uint64_t index)
{
    return hash_of(std::string(target.name) + ' ' + std::to_string(seed) + ' ' + std::to_string(index));
}

/// What is wrong; empty: nothing.
std::optional<std::string> run_once(const Target& target, std::string_view input)
{
    const ExactCopy copy(input);
    try {
        target.check(copy.view());
    } catch (const Broken& broken) {
        return broken.what();
    } catch (const std::exception& e) {
        return std::string("an exception left it: ") + e.what();
    }
    return std::nullopt;
}

/// Leaves parts out as long as it still fails.
std::string make_smaller(const Target& target, std::string input, Shared& shared)
{
    for (std::size_t size = std::max<std::size_t>(1, input.size() / 2);; size /= 2) {
        for (std::size_t at = 0; at + size <= input.size();) {
            std::string shorter = input;
            shorter.erase(at, size);
            shared.set_input(shorter);
            if (run_once(target, shorter))
                input = std::move(shorter);
            else
                at += size;
        }
        if (size <= 1) return input;
    }
}

/// The life of a target's process.
[[noreturn]] void run_inputs(const Target& target, Shared& shared, const std::vector<std::string>& inputs,
                             const Mutator* mutator, std::uint64_t seed, std::size_t runs)
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const auto run = [&](std::string input) {
        shared.set_input(input);
        ++shared.inputs_count;
        ::alarm(input_limit_s);
        auto why = run_once(target, input);
        if (!why) return;
        input = make_smaller(target, std::move(input), shared);
        shared.set_input(input);
        if (auto smaller = run_once(target, input)) why = std::move(smaller);
        shared.set_why(*why);
        ::_exit(exit_broken);
    };
    for (const std::string& input : inputs) run(input);
    for (std::size_t i = 0; i < runs; ++i) run(mutator->make(number_of(target, seed, i)));
    ::alarm(0);
    shared.done = true;
    std::exit(0);  // the sanitizer looks for leaks now
}

std::string how_it_ended(int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return "one input took more than " + std::to_string(input_limit_s) + " s";
    if (WIFSIGNALED(status)) return std::string("ended by ") + ::strsignal(WTERMSIG(status));
    return "ended with exit code " + std::to_string(WEXITSTATUS(status));
}

/// Runs one target. False: something failed, and was told.
bool run_target(const Target& target, const std::vector<std::string>& inputs, const Mutator* mutator,
                std::uint64_t seed, std::size_t runs)
{
    void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    auto* const shared = static_cast<Shared*>(memory);  // zeroes, as the kernel gives them
    std::fflush(stdout);
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error("no process can be started");
    if (child == 0) run_inputs(target, *shared, inputs, mutator, seed, runs);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0)
        if (errno != EINTR) throw std::runtime_error("the target's process is lost");

    const std::string name(target.name);
    const bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (good) {
        std::printf("%s: %zu inputs\n", name.c_str(), shared->inputs_count);
    } else if (shared->done) {
        std::printf("%s: FAILED after all inputs (a leak?): %s\n", name.c_str(), how_it_ended(status).c_str());
    } else {
        const std::string_view input(shared->input, shared->size);
        char hash[17];
        std::snprintf(hash, sizeof hash, "%016llx", static_cast<unsigned long long>(hash_of(input)));
        const auto path = std::filesystem::current_path() / ("fuzz-" + name + '-' + hash);
        std::ofstream(path, std::ios::binary) << input;
        const std::string why = shared->why[0] != '\0' ? std::string(shared->why) : how_it_ended(status);
        std::printf("%s: FAILED at input %zu: %s\nreplay: fuzz_parsers %s %s\n", name.c_str(), shared->inputs_count,
                    why.c_str(), name.c_str(), path.c_str());
    }
    ::munmap(memory, sizeof(Shared));
    return good;
}

const Target* find_target(std::string_view name)
{
    const auto* found =
        std::find_if(std::begin(targets), std::end(targets), [&](const Target& t) { return t.name == name; });
    return found == std::end(targets) ? nullptr : found;
}

std::uint64_t number_argument(std::string_view text)
{
    const auto number = rules::parse_digits(text);
    if (!number) throw std::runtime_error("not a number: " + std::string(text));
    return *number;
}

int run(const std::vector<std::string>& arguments)
{
    std::size_t runs = 8000;
    std::uint64_t seed = 1;
    std::vector<const Target*> chosen;
    std::vector<std::string> files;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& argument = arguments[i];
        const std::size_t left = arguments.size() - i - 1;
        if (argument == "--list") {
            for (const Target& target : targets)
                std::printf("%-14s 1/%-3u %s\n", target.name.data(), target.cost, target.what.data());
            return 0;
        }
        if (argument == "--runs" && left > 0)
            runs = number_argument(arguments[++i]);
        else if (argument == "--seed" && left > 0)
            seed = number_argument(arguments[++i]);
        else if (const Target* target = find_target(argument))
            chosen.push_back(target);
        else if (chosen.size() == 1 && std::filesystem::is_regular_file(argument))
            files.push_back(argument);
        else {
            std::fwrite(usage.data(), 1, usage.size(), argument == "--help" ? stdout : stderr);
            return argument == "--help" ? 0 : 2;
        }
    }

    if (!files.empty()) {
        if (chosen.size() != 1) throw std::runtime_error("files are inputs of one target");
        std::vector<std::string> inputs;
        for (const std::string& file : files) inputs.push_back(read_file(file));
        return run_target(*chosen.front(), inputs, nullptr, 0, 0) ? 0 : 1;
    }
    if (chosen.empty())
        for (const Target& target : targets) chosen.push_back(&target);
    std::size_t failed = 0;
    for (const Target* target : chosen) {
        const Mutator mutator = mutator_of(*target);
        if (!run_target(*target, seeds_of(*target), &mutator, seed, runs / target->cost)) ++failed;
    }
    std::printf("%zu targets held, %zu failed\n", chosen.size() - failed, failed);
    return failed == 0 ? 0 : 1;
}

}  // namespace

}  // namespace larder::fuzz

int main(int argc, char** argv)
try {
    return larder::fuzz::run({argv + 1, argv + argc});
} catch (const std::exception& e) {
    std::fprintf(stderr, "fuzz_parsers: %s\n", e.what());
    return 2;
}

// The history checker's command line. tests/coherence/run builds and calls it; usage below.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "tests/coherence/scenario.hpp"

namespace larder::tests {

namespace {

const char* const usage =
    "usage: coherence_checker [--seconds N | --short] [--seed N] [--peer nginx|varnish] [--larder FILE] [--brief]\n"
    "                         SCENARIO...\n"
    "       coherence_checker [--seed N] [--larder FILE] --guard NAME\n"
    "       coherence_checker --list [--short] [--peer NAME]\n"
    "Prints one table line for each scenario; exit 1 when one of them fails. tests/coherence/run --help tells more.\n";

struct Arguments {
    RunOptions run;
    int seconds = 10;
    bool least_time = false, list = false, header = false;
    bool brief = false;  // no examples
    std::string guard;   // to be taken out
    std::vector<std::string> names;
};

bool read_arguments(int count, char** words, Arguments& arguments)
{
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        const auto value = [&] { return i + 1 < count ? words[++i] : ""; };
        if (word == "--seconds")
            arguments.seconds = std::atoi(value());
        else if (word == "--short")
            arguments.least_time = true;
        else if (word == "--brief")
            arguments.brief = true;
        else if (word == "--seed")
            arguments.run.seed = std::strtoull(value(), nullptr, 10);
        else if (word == "--peer")
            arguments.run.peer = value();
        else if (word == "--larder")
            arguments.run.larder_binary = value();
        else if (word == "--guard")
            arguments.guard = value();
        else if (word == "--list")
            arguments.list = true;
        else if (word == "--header")
            arguments.header = true;
        else if (word.starts_with("--"))
            return false;
        else
            arguments.names.push_back(word);
    }
    return arguments.seconds > 0 &&
           (arguments.list || arguments.header || !arguments.guard.empty() || !arguments.names.empty());
}

void print_header()
{
    std::printf("%-20s %-26s %9s %5s %7s %7s %6s %6s %7s %8s %6s  %s\n", "scenario", "mode", "reads", "hits", "writes",
                "unknown", "stale", "back", "excused", "deferred", "faults", "result");
}

/// `deferred` also counts what `reject` has refused: the price of each mode, in one column.
bool print_result(const Scenario& scenario, const RunOptions& options, const Result& result)
{
    const Verdict& verdict = result.verdict;
    const bool passed = verdict.lawful() && result.wrong_answers == 0 && result.failure.empty();
    std::string word = passed ? "ok" : verdict.lawful() ? "FAILED" : "VIOLATED";
    if (!result.failure.empty()) word += ": " + result.failure;
    if (result.wrong_answers > 0) word += ": " + std::to_string(result.wrong_answers) + " answers of another item";
    if (verdict.refused > 0) word += " (" + std::to_string(verdict.refused) + " writes refused)";
    const std::string mode = options.peer.empty() ? scenario.mode : options.peer;
    const std::uint64_t hits_percent = result.reads == 0 ? 0 : result.hits * 100 / result.reads;
    std::printf("%-20s %-26s %9llu %4llu%% %7zu %7zu %6zu %6zu %7zu %8zu %6zu  %s\n", scenario.name.c_str(),
                mode.c_str(), static_cast<unsigned long long>(result.reads),
                static_cast<unsigned long long>(hits_percent), result.writes, verdict.unknown, verdict.stale,
                verdict.back_in_time, verdict.excused_reads, verdict.deferred, result.faults_done, word.c_str());
    for (const std::string& example : result.examples) std::printf("    %s\n", example.c_str());
    std::fflush(stdout);
    return passed;
}

/// Plays a binary without this guard in its scenario, longer each time, until a violation is found.
bool expose(const std::string& guard, RunOptions options)
{
    constexpr int seconds[] = {4, 8, 16, 30, 60, 90};
    const GuardScenario* row = nullptr;
    for (const GuardScenario& one : guard_scenarios())
        if (one.guard == guard) row = &one;
    if (!row) {
        std::printf("%-20s FAILED: no scenario for it; add one to guard_scenarios()\n", guard.c_str());
        return false;
    }
    options.environment = {"LARDER_WITHOUT_GUARD=" + guard};
    std::uint64_t reads = 0;
    int played_s = 0;
    for (const int attempt_s : seconds) {
        options.duration = std::chrono::seconds{attempt_s};
        ++options.seed;
        played_s += attempt_s;
        for (const Scenario& scenario : all_scenarios()) {
            if (scenario.name != row->scenario) continue;
            const Result result = play(scenario, options);
            reads += result.reads;
            if (result.verdict.lawful() && result.wrong_answers == 0) continue;
            std::printf("%-20s %-20s found: %zu stale, %zu back in time; %llu reads in %d s\n", guard.c_str(),
                        row->scenario.c_str(), result.verdict.stale, result.verdict.back_in_time,
                        static_cast<unsigned long long>(reads), played_s);
            return true;
        }
    }
    std::printf("%-20s %-20s FAILED: nothing found in %llu reads in %d s\n", guard.c_str(), row->scenario.c_str(),
                static_cast<unsigned long long>(reads), played_s);
    return false;
}

int run(const Arguments& arguments)
{
    if (!arguments.guard.empty()) return expose(arguments.guard, arguments.run) ? 0 : 1;
    if (arguments.header) print_header();
    bool all_passed = true;
    for (const Scenario& scenario : all_scenarios())
        if (arguments.list && (arguments.run.peer.empty() || scenario.for_peers) &&
            (!arguments.least_time || scenario.in_short))
            std::printf("%-20s %-26s %s\n", scenario.name.c_str(), scenario.mode.c_str(), scenario.about.c_str());
    for (const std::string& name : arguments.names) {
        const Scenario* found = nullptr;
        for (const Scenario& scenario : all_scenarios())
            if (scenario.name == name) found = &scenario;
        if (!found) {
            std::fprintf(stderr, "coherence_checker: no scenario \"%s\"; --list names them\n", name.c_str());
            return 2;
        }
        RunOptions options = arguments.run;
        options.duration = std::chrono::seconds{arguments.least_time ? found->short_seconds : arguments.seconds};
        Result result = play(*found, options);
        if (arguments.brief) result.examples.clear();
        all_passed &= print_result(*found, options, result);
    }
    return all_passed ? 0 : 1;
}

}  // namespace

}  // namespace larder::tests

int main(int count, char** words)
{
    larder::tests::Arguments arguments;
    if (!larder::tests::read_arguments(count, words, arguments)) {
        std::fputs(larder::tests::usage, stderr);
        return 2;
    }
    try {
        return larder::tests::run(arguments);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "coherence_checker: %s\n", e.what());
        return 3;
    }
}

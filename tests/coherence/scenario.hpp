// The scenarios: who plays, what is done to them meanwhile, and by which terms the history is judged. `all_scenarios`
// in scenario.cpp is the one list.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/coherence/backend.hpp"
#include "tests/coherence/gate.hpp"
#include "tests/coherence/history.hpp"
#include "tests/coherence/load.hpp"
#include "tests/coherence/proxies.hpp"
#include "tests/coherence/store.hpp"

namespace larder::tests {

/// One run of one scenario: the stage on which its script plays. All of it happens on the main thread, because a
/// process that a thread has started ends with that thread.
struct Run {
    std::unique_ptr<VersionedBackend> backend;
    std::unique_ptr<StoreUnderTest> store;  // null for peers
    std::unique_ptr<Gate> gate;             // between replica 0 and the store, when the scenario has one
    std::unique_ptr<Proxies> proxies;
    std::unique_ptr<Load> load;
    std::vector<StoreFault> faults;
    std::mt19937_64 random;
    Nanoseconds end{};
    std::size_t faults_done = 0;  // how often the script has done what it does
    std::string failure;          // why the run proves nothing, although nobody saw a violation

    bool over() const;
    void pause(std::chrono::milliseconds time);
    /// At random between the two.
    void pause(std::chrono::milliseconds least, std::chrono::milliseconds most);
    /// Does something to the store and notes when; `replica` is the one that is cut off, -1: all.
    void fault(int replica, const std::function<void()>& act);
};

struct Scenario {
    std::string name, mode;
    std::string about;
    LarderOptions larder;
    LoadOptions load;
    BackendOptions backend;
    std::function<void(Run&)> script;  // returns when `run.over()`, with all faults healed; null: no faults
    StoreKind store = StoreKind::single;
    bool gated = false;
    bool for_peers = false;  // makes sense without a shared store
    Terms terms;
    int short_seconds = 3;  // what it needs to mean something
    bool in_short = true;   // else only its like is played when time is short
    int least_hits_percent = 10;
};

const std::vector<Scenario>& all_scenarios();

/// The scenario in which a binary without this guard (proxy/coherence/guards.hpp) must be found out.
struct GuardScenario {
    std::string guard, scenario;
};
const std::vector<GuardScenario>& guard_scenarios();

struct RunOptions {
    std::uint64_t seed = 1;
    std::chrono::milliseconds duration{10'000};
    std::string peer;           // "nginx", "varnish"; empty: Larder
    std::string larder_binary;  // empty: of this build
    std::vector<std::string> environment;
};

struct Result {
    Verdict verdict;
    std::uint64_t reads = 0, hits = 0, failed_reads = 0;
    std::uint32_t wrong_answers = 0;
    std::size_t writes = 0, faults_done = 0;
    std::vector<std::string> examples;
    std::string failure;  // no violation, but proves nothing; empty: it does
};

Result play(const Scenario& scenario, const RunOptions& options);

}  // namespace larder::tests

// The parts that the protocol stands on, each with a name, so that a test can take one out and see the history checker
// find what it is there for. In a normal build there is nothing of it: `guarded` is constant. With the CMake option
// LARDER_TEST_GUARDS the environment variable LARDER_WITHOUT_GUARD=name,name takes parts out; never build that to
// serve.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace larder::proxy {

// Columns: name, what goes wrong without it.
#define LARDER_GUARDS(X)                                                                                             \
    X(prepare, "a sidecar that dies between the app's commit and its own leaves the old entry to its end")           \
    X(commit, "what was read from the app between PREPARE and its commit is served after the write's answer")        \
    X(late_commit, "a write whose answer was lost commits after its mark was forgotten: what was read before stays") \
    X(marks, "a read under way beside a write stores the new version, and then one that was read before is served")  \
    X(fence, "a fill that a purge known to this worker has overtaken is stored")                                     \
    X(store_check, "a fill that a purge unknown to this worker has overtaken is stored")                             \
    X(validate_memory, "a memory hit is served although another sidecar has purged it")                              \
    X(validate_read, "an entry from Redis is judged by a replica that does not know the newest purges")              \
    X(memory_check, "an entry in memory outlives the records of the log that match it")                              \
    X(pattern_check, "an entry in Redis outlives the patterns that match it: only exact purges remove it")           \
    X(watch, "an entry read before an exact purge and processed after it enters memory, where nothing removes it")   \
    X(run_id, "a server that has come back with an older state is trusted: purges that it lost are forgotten")       \
    X(chain, "records that were trimmed, flushed or lost are skipped: what they purged is served")                   \
    X(own_writes, "within `trust` a worker serves what another worker of the process has purged")                    \
    X(replay, "Redis is trusted while purges of this process wait to be appended")                                   \
    X(join, "a request that begins after a write joins a fetch that began before it")                                \
    X(unsent, "a request that passes by an open write shares a fetch sent before an earlier write was answered")     \
    X(path_normalisation, "GET /items/%37 makes an entry that PUT /items/7 does not purge")

enum class Guard : std::uint8_t {
#define X(name, without) name,
    LARDER_GUARDS(X)
#undef X
};

#ifdef LARDER_TEST_GUARDS

bool guarded(Guard guard) noexcept;
/// Takes out those named and puts the others back.
/// @param names  separated by commas; empty: none
/// @return the first name that is no guard; empty: all are known
std::string take_out_guards(std::string_view names);
/// The same as LARDER_WITHOUT_GUARD says. Once, at start.
std::string take_out_guards_of_environment();
/// Those that are out, separated by commas.
std::string guards_out();

#else

constexpr bool guarded(Guard) noexcept { return true; }
inline std::string take_out_guards_of_environment() { return {}; }
inline std::string guards_out() { return {}; }

#endif

}  // namespace larder::proxy

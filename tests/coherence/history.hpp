// What the clients of the checker saw, and the judgement of it: is there a read that must not have been? Pure: values
// in, values out; the times were taken by those who were there.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace larder::tests {

using Nanoseconds = std::chrono::nanoseconds;
inline constexpr Nanoseconds never = Nanoseconds::max();

/// One item's version as one answer showed it. An answer that shows several items is several of these.
struct Read {
    Nanoseconds begin{}, end{};  // just before the request was sent, just after the answer was complete
    std::uint32_t version = 0;
    std::uint16_t item = 0;
    std::uint16_t client = 0;
    std::uint16_t cache_status = 0;  // index into History::cache_statuses
    std::uint8_t replica = 0;
    std::uint8_t view = 0;  // which of the item's addresses: index into views
};

enum class WriteOutcome : std::uint8_t {
    acknowledged,  // 2xx received: from now on everybody must see it
    refused,       // answered without touching the backend (503 of `reject`)
    unknown,       // 5xx, or no answer: it may or may not have been done
};

struct Write {
    Nanoseconds begin{}, end{};
    std::uint32_t id = 0;  // as the backend was told
    std::uint16_t item = 0;
    std::uint16_t client = 0;
    std::uint8_t replica = 0;
    WriteOutcome outcome = WriteOutcome::unknown;
    bool deferred = false;  // the answer said `X-Cache-Purge: deferred`
};

/// The backend's own record: which write made which version.
struct Commit {
    Nanoseconds at{};
    std::uint32_t version = 0;
    std::uint32_t write_id = 0;
    std::uint16_t item = 0;
};

/// Something was done to the store in this time, such that a PREPARE may have failed or a mark may have been lost.
struct StoreFault {
    Nanoseconds begin{}, end{};
    int replica = -1;  // that was cut off; -1: all
};

/// A replica said of itself that the store is up and no purge is waiting: asked at `asked`, answered at `answered`.
struct Calm {
    Nanoseconds asked{}, answered{};
    std::uint8_t replica = 0;
};

struct History {
    std::vector<Read> reads;
    std::vector<Write> writes;
    std::vector<Commit> commits;
    std::vector<StoreFault> faults;
    std::vector<Calm> calms;
    std::vector<std::string> cache_statuses;
    std::uint32_t items = 0;
    std::uint32_t wrong_answers = 0;  // another item's body, or a version that was never committed
};

/// By what a history is judged.
struct Terms {
    /// `trust`: a read through another replica may be so much behind; zero is strict.
    Nanoseconds bound{};
    /// Off for `fence: after`: before its acknowledgement a write may be seen and unseen.
    bool never_back_in_time = true;
    /// Writes whose purge was deferred are excused until their replica has replayed it (`on_store_error: forward`), but
    /// not in the eyes of that replica.
    bool excuse_deferred = false;
    /// A write that was under way during a store fault protects readers from its acknowledgement on only.
    bool excuse_unprepared = false;
    /// Nothing that began in a fault is excused longer than this after its end.
    Nanoseconds mark_life{std::chrono::seconds{6}};
};

struct Violation {
    enum class Kind : std::uint8_t { stale, back_in_time } kind = Kind::stale;
    std::size_t read = 0;            // index into History::reads
    std::uint32_t owed_version = 0;  // the least that it had to show
    std::size_t evidence = 0;        // index of the write (stale) or of the read (back in time) that says so
};

struct Verdict {
    std::size_t stale = 0, back_in_time = 0;  // reads; one that is both counts as stale
    std::size_t excused_reads = 0;            // would be violations but for Terms
    std::size_t acknowledged = 0, refused = 0, unknown = 0, unknown_done = 0;  // writes
    std::size_t deferred = 0;                                                  // writes
    std::vector<Violation> examples;                                           // the first few of each kind
    bool lawful() const { return stale == 0 && back_in_time == 0; }
};

/// @param history  in any order; it is sorted by item and time
Verdict judge(History& history, const Terms& terms);

/// One violation, told in full.
std::string describe(const Violation& violation, const History& history, const Verdict& verdict);

}  // namespace larder::tests

// The labelled cells of Counters: written by counters.cpp on the worker's thread, read by metrics.cpp on any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "proxy/observe/counters.hpp"

namespace larder::proxy {

#define X(...) +1
inline constexpr std::size_t errors_count = 1 LARDER_ERRORS(X);
inline constexpr std::size_t scans_count = 2 LARDER_HEAD_FAULTS(X);
#undef X
inline constexpr std::size_t verdicts_count = static_cast<std::size_t>(rules::Verdict::bypass) + 1;
inline constexpr std::size_t classes_count = 6;  // 1xx to 5xx by first digit; 0: no response was sent

/// Upper bounds of the duration buckets; one more cell counts what is above the last.
inline constexpr std::array<std::chrono::microseconds, 18> duration_bounds{{
    std::chrono::microseconds{50},
    std::chrono::microseconds{100},
    std::chrono::microseconds{250},
    std::chrono::microseconds{500},
    std::chrono::microseconds{1'000},
    std::chrono::microseconds{2'500},
    std::chrono::microseconds{5'000},
    std::chrono::microseconds{10'000},
    std::chrono::microseconds{25'000},
    std::chrono::microseconds{50'000},
    std::chrono::microseconds{100'000},
    std::chrono::microseconds{250'000},
    std::chrono::microseconds{500'000},
    std::chrono::microseconds{1'000'000},
    std::chrono::microseconds{2'500'000},
    std::chrono::microseconds{5'000'000},
    std::chrono::microseconds{10'000'000},
    std::chrono::microseconds{30'000'000},
}};

struct Counters::Cells {
    using Cell = std::atomic<std::uint64_t>;
    struct RuleRow {
        std::array<Cell, verdicts_count> verdicts{};
        std::array<Cell, rules::forward_reasons_count> forwards{};
        std::array<Cell, rules::store_reasons_count> not_stored{};
        Cell marked_passes{0};  // of a purge rule; the last row: of rules that this process does not know
    };
    struct Histogram {
        std::array<Cell, duration_bounds.size() + 1> buckets{};  // not cumulative
        Cell sum_nanoseconds{0};
    };

    explicit Cells(std::size_t rules_count) : rules(rules_count + 1) {}

    std::vector<RuleRow> rules;  // by rule index; the last row is "no rule"
    std::array<Cell, rules::outcomes_count> outcomes{};
    std::array<Cell, classes_count> classes{};
    std::array<Cell, errors_count> errors{};
    std::array<Cell, scans_count> head_faults{};
    std::array<Cell, purge_sources_count> purges{};
    std::array<Histogram, verdicts_count> durations{};
};

}  // namespace larder::proxy

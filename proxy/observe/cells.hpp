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
        std::array<std::array<Cell, classes_count>, method_classes_count> responses{};
        std::array<Cell, verified_count> verified{};
        Cell marked_passes{0};  // of a purge rule; the last row: of rules that this process does not know
        Cell purges{0};         // of a purge rule
        Cell saved_nanoseconds{0}, saved_bytes{0};
        Cell fetch_nanoseconds{0};  // what a fetch takes, lately: a moving average
    };
    struct Histogram {
        std::array<Cell, duration_bounds.size() + 1> buckets{};  // not cumulative
        Cell sum_nanoseconds{0};
    };

    /// Rows by `Rule::index`. There come more with a new configuration, and none ever moves: a scrape may be reading.
    class RuleRows {
      public:
        static constexpr std::size_t chunk_rows = 64, chunks_count = most_counted_names / chunk_rows;

        ~RuleRows()
        {
            for (auto& chunk : chunks_) delete chunk.load(std::memory_order_relaxed);
        }
        /// Of the writer. More than there can be rows count as "no rule".
        void reserve(std::size_t count)
        {
            count = std::min(count, chunk_rows * chunks_count);
            for (std::size_t i = 0; i * chunk_rows < count; ++i)
                if (!chunks_[i].load(std::memory_order_relaxed))
                    chunks_[i].store(new Chunk(), std::memory_order_release);
            if (count > size()) size_.store(count, std::memory_order_release);
        }
        std::size_t size() const noexcept { return size_.load(std::memory_order_acquire); }
        /// From `size()` on: "no rule".
        RuleRow& operator[](std::size_t row) noexcept
        {
            if (row >= size()) return none_;
            return (*chunks_[row / chunk_rows].load(std::memory_order_acquire))[row % chunk_rows];
        }
        const RuleRow& operator[](std::size_t row) const noexcept { return const_cast<RuleRows&>(*this)[row]; }

      private:
        using Chunk = std::array<RuleRow, chunk_rows>;
        std::array<std::atomic<Chunk*>, chunks_count> chunks_{};
        std::atomic<std::size_t> size_{0};
        RuleRow none_;
    };

    explicit Cells(std::size_t rules_count) { rules.reserve(rules_count); }

    RuleRows rules;
    std::array<Cell, rules::outcomes_count> outcomes{};
    std::array<Cell, errors_count> errors{};
    std::array<Cell, scans_count> head_faults{};
    std::array<Cell, purge_sources_count> purges{};
    std::array<Histogram, verdicts_count> durations{};
    Histogram fetches;
    std::array<Histogram, store_operations_count> store_operations{};
};

}  // namespace larder::proxy

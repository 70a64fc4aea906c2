// What workers hand to the exporter: each has a queue of its own, and all share one limit. Nobody waits: a worker takes
// a lock for one move, the exporter for one swap; what is above the limit is dropped and counted.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace larder::proxy {

/// The limit of all queues together. Spans count from `push` until the exporter has done with them.
class SpanRoom {
  public:
    /// @param on_batch  called by the worker whose span makes a whole batch of those that wait
    SpanRoom(std::size_t most, std::size_t batch, std::function<void()> on_batch)
        : most_(most), batch_(batch), on_batch_(std::move(on_batch))
    {
    }

    /// Any thread. False: full, which was counted.
    bool enter() noexcept
    {
        if (held_.fetch_add(1, std::memory_order_relaxed) < most_) return true;
        leave(1);
        dropped_.fetch_add(1, std::memory_order_relaxed);
        return false;
    }
    void leave(std::size_t count) noexcept { held_.fetch_sub(count, std::memory_order_relaxed); }
    bool has_batch() const noexcept { return held_.load(std::memory_order_relaxed) >= batch_; }
    /// After a push.
    void tell()
    {
        if (has_batch() && !told_.exchange(true)) on_batch_();
    }
    /// The exporter, before it takes what waits: it wants to be told of the next batch.
    void tell_again() noexcept { told_ = false; }
    std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

  private:
    const std::size_t most_, batch_;
    const std::function<void()> on_batch_;
    std::atomic<std::size_t> held_{0};
    std::atomic<std::uint64_t> dropped_{0};
    std::atomic<bool> told_{false};
};

/// From one worker to the exporter.
class SpanQueue {
  public:
    explicit SpanQueue(SpanRoom& room) : room_(room) {}

    /// The worker: is there room for one more? If so, `push` it.
    bool has_room() noexcept { return room_.enter(); }
    void push(std::string span)
    {
        {
            const std::lock_guard lock(mutex_);
            spans_.push_back(std::move(span));
        }
        room_.tell();
    }
    /// The exporter: all that wait. `room` is told when they are done with.
    std::vector<std::string> take()
    {
        std::vector<std::string> all;
        const std::lock_guard lock(mutex_);
        all.swap(spans_);
        return all;
    }

  private:
    SpanRoom& room_;
    std::mutex mutex_;
    std::vector<std::string> spans_;
};

}  // namespace larder::proxy
